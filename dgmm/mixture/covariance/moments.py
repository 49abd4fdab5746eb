"""Moments: weighted sums about reference points, packed as a family packs them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """Weighted sums about a reference point: what the M-step reads.

    Attributes
    ----------
    counts : (k,)
        Σ r, effective rows of each component.
    first : (k, d)
        Σ r (y − c_k).
    second : (k, q)
        Σ r quadratic(y − c_k), packed as the family packs it; q = `quadratic_width`.
    scatter : (s,) or None
        Σ r quadratic(y − c_k) over rows and components, packed as the family packs it;
        s = `scatter_width`. None where the family has no such part.
    """

    counts: Array
    first: Array
    second: Array
    scatter: Array | None = None

    @property
    def sums(self) -> Array:
        """Columns in the order of φ: second, first, counts; (k, p)."""
        return np.concatenate([self.second, self.first, self.counts[:, None]], axis=1)
