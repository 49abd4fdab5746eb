"""The noise component: a uniform density for rows that belong to no Gaussian.

Its density is 1/V everywhere, V being the volume of a box that holds nearly all rows (Banfield &
Raftery, *Model-based Gaussian and non-Gaussian clustering*, Biometrics 49, 1993, section 5). Inside
the box that is a distribution; outside it is an improper constant (Hennig, *Breakdown points for
maximum likelihood estimators of location-scale mixtures*, Ann. Statist. 32, 2004), so that a row
however far out is noise and moves no mean. Likelihoods compare at equal V only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """The mixing weight π₀ and the box [low, high], (d,) each, in the units of the parameters.

    In an estimate the weight is the effective rows, as counts are those of the Gaussians.
    """

    weight: float
    low: Array
    high: Array

    @property
    def log_volume(self) -> float:
        """log V."""
        return float(np.log(self.high - self.low).sum())

    @property
    def weighted_log_density(self) -> float:
        """log π₀ − log V: the constant of η; −inf for weight 0."""
        with np.errstate(divide="ignore"):
            return float(np.log(self.weight)) - self.log_volume

    def with_weight(self, weight: float) -> Self:
        """The same box with another weight."""
        return replace(self, weight=weight)

    def marginal(self, features: NDArray[np.intp]) -> Self:
        """That of some of the features."""
        return replace(self, low=self.low[features], high=self.high[features])

    def rescaled(self, shift: Array, scale: Array) -> Self:
        """That of y·scale + shift."""
        return replace(self, low=self.low * scale + shift, high=self.high * scale + shift)

    def record(self) -> dict[str, Any]:
        """Weight, log V and bounds by name, for JSON."""
        return {
            "weight": self.weight,
            "log_volume": self.log_volume,
            "low": self.low.tolist(),
            "high": self.high.tolist(),
        }

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw rows (n, d), which lie in the box."""
        return rng.uniform(self.low, self.high, (n, len(self.low)))
