"""Whether matrices that a user gives are symmetric, whatever their units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Entries opposite each other may differ by this share of themselves, and by this of the root of
#: their diagonal entries' product: scikit-learn's tolerances for matrices of unit diagonal.
_RELATIVE, _ABSOLUTE = 1e-5, 1e-8
#: Of values in a type narrower than float64 the latter is so many of its roundings.
_ROUNDINGS = 8.0


def asymmetric_entry(matrices: Array, eps: float) -> tuple[int, ...] | None:
    """Index of the entry that differs most from the one opposite it; None where all are symmetric.

    Parameters
    ----------
    matrices : (…, d, d)
        Values that are not finite differ from nothing.
    eps
        Relative rounding of the type that the values came in.
    """
    opposite = np.swapaxes(matrices, -1, -2)
    with np.errstate(over="ignore", invalid="ignore"):
        roots = np.sqrt(np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)))
        size = roots[..., :, None] * roots[..., None, :]
        allowed = max(_ABSOLUTE, _ROUNDINGS * eps) * size
        allowed += _RELATIVE * np.minimum(np.abs(matrices), np.abs(opposite))
        excess = np.abs(matrices - opposite) - allowed
    if not (excess > 0).any():
        return None
    worst = int(np.nan_to_num(excess).argmax())
    return tuple(int(i) for i in np.unravel_index(worst, excess.shape))


def opposite_entries(matrices: Array, entry: tuple[int, ...]) -> str:
    """An entry and the one opposite it, in words."""
    places = entry, (*entry[:-2], entry[-1], entry[-2])
    return ", ".join(f"[{', '.join(map(str, at))}] is {matrices[at]:.6g}" for at in places)
