"""The posterior of a mixture's weights: Dirichlet, or sticks broken one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Literal["dirichlet_process", "dirichlet_distribution"]


@dataclass(frozen=True, slots=True)
class WeightPosterior:
    """q(π) that goes with counts n_k; `concentration` is γ, or α₀ of each component.

    Sticks are Beta(1 + n_k, γ + Σ_{j>k} n_j), one for each component (Blei & Jordan 2006, eq. 18).
    """

    kind: Kind
    concentration: float

    @property
    def breaks_sticks(self) -> bool:
        """Whether it is the Dirichlet process, truncated."""
        return self.kind == "dirichlet_process"

    def expected_logs(self, counts: Array) -> Array:
        """E log π_k, (k,)."""
        from scipy.special import digamma  # noqa: PLC0415 - slow to import, rarely needed

        if not self.breaks_sticks:
            alpha = self.concentration + counts
            return np.asarray(digamma(alpha) - digamma(alpha.sum()))
        a, b = self._sticks(counts)
        rest = digamma(b) - digamma(a + b)
        before = np.concatenate([[0.0], np.cumsum(rest)[:-1]])
        return np.asarray(digamma(a) - digamma(a + b) + before)

    def means(self, counts: Array) -> Array:
        """E π_k, (k,), made to sum to 1."""
        if not self.breaks_sticks:
            alpha = self.concentration + counts
            return np.asarray(alpha / alpha.sum())
        a, b = self._sticks(counts)
        left = np.concatenate([[1.0], np.cumprod(b / (a + b))[:-1]])
        weights = a / (a + b) * left
        return np.asarray(weights / weights.sum())

    def divergence(self, counts: Array) -> float:
        """KL(q(π)‖prior)."""
        from scipy.special import betaln, digamma, gammaln  # noqa: PLC0415 - as above

        if not self.breaks_sticks:
            alpha, k = self.concentration + counts, len(counts)
            found = gammaln(alpha.sum()) - gammaln(alpha).sum()
            found -= gammaln(k * self.concentration) - k * gammaln(self.concentration)
            return float(found + counts @ (digamma(alpha) - digamma(alpha.sum())))
        a, b = self._sticks(counts)
        found = betaln(1.0, self.concentration) - betaln(a, b)
        found += (a - 1.0) * digamma(a) + (b - self.concentration) * digamma(b)
        found += (1.0 - a + self.concentration - b) * digamma(a + b)
        return float(found.sum())

    def _sticks(self, counts: Array) -> tuple[Array, Array]:
        later = np.concatenate([np.cumsum(counts[:0:-1])[::-1], [0.0]])
        return 1.0 + counts, self.concentration + later
