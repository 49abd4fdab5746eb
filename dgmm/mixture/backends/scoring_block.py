"""What scoring a block at once reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tile = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class ScoringBlock:
    """A block's rows, the mixture in product form, and the arrays that results go to.

    Attributes
    ----------
    rows : (n, d)
        As stored.
    factor, offset : (d,)
        Of standardising, float64.
    form
        The quadratic part of φ: `none`, `pairs`, `squares` or `norm`.
    eta : (k, p)
        Natural parameters, float64.
    whitening : (d, d) or None
        W of the term −½ ‖W y‖² that η leaves out because all components share it.
    largest_radius
        Largest ‖y‖² at which the product form is exact enough (`dgmm.mixture.kernels.guard`). It is
        finite, so that a row which is not is never done.
    allocate
        Gives a flat float64 buffer by a name of its own and its size; its content is undefined.
    labels : (n,) int32
        Most probable component.
    max_posterior : (n,) float32
        Its posterior.
    log_density : (n,)
        Standardised units.
    posteriors : (m, k) float32 or float64, or None
        All posteriors; row i of the block has row `places[i]`.
    places : (n,) int64 or None
        None where that is row i.
    """

    rows: Tile
    factor: Tile
    offset: Tile
    form: str
    eta: Tile
    whitening: Tile | None
    largest_radius: float
    allocate: Callable[[str, int], Tile]
    labels: NDArray[np.int32]
    max_posterior: NDArray[np.float32]
    log_density: NDArray[np.float64]
    posteriors: Tile | None
    places: NDArray[np.int64] | None
