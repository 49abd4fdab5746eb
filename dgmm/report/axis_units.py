"""Values of any size on an axis: powers of ten taken out where squares would overflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.report.formatting import number

_LARGEST_EXPONENT = 15


@dataclass(frozen=True, slots=True)
class AxisUnit:
    """A power of ten that an axis is given in.

    Parameters
    ----------
    exponent : int
        0 for values that need none.
    """

    exponent: int

    @classmethod
    def of(cls, values: NDArray[Any]) -> AxisUnit:
        """The unit in which the largest finite value is between 1 and 10, if it is extreme."""
        finite = np.abs(values[np.isfinite(values)])
        largest = float(finite.max()) if finite.size else 0.0
        exponent = int(np.floor(np.log10(largest))) if largest > 0 else 0
        return cls(exponent if abs(exponent) > _LARGEST_EXPONENT else 0)

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The values in this unit."""
        if self.exponent == 0:
            return np.asarray(values, dtype=np.float64)
        # Two steps: 10³²³ has no float64 inverse.
        half = self.exponent // 2
        return np.asarray(values / 10.0**half / 10.0 ** (self.exponent - half), dtype=np.float64)

    @property
    def label(self) -> str:
        """What an axis label needs besides: ` [×10³⁰⁰]`."""
        return f" [{number(10.0**self.exponent, 1)[1:]}]" if self.exponent else ""


def drawn_range(values: NDArray[np.float64], tail: float = 0.001) -> tuple[float, float]:
    """Limits that hold all but a share `tail` of the values at each end, with a margin.

    A single outlier must not shrink everything else into one pixel.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(q) for q in np.quantile(finite, [tail, 1 - tail]))
    margin = 0.06 * (high - low) or 0.5 * max(abs(low), 1e-12)
    return low - margin, high + margin
