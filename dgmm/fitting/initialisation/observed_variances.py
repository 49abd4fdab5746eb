"""Variances of the values there are: those of filled-in rows are too small.

A filled-in value is an expected one and has none of its feature's scatter. The values that are
there have it all where values are missing at random: a start's covariances keep their correlations,
and their variances become those of the observed values of each component, where these are larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance.family import Array
from dgmm.mixture.parameters import Parameters


@dataclass(frozen=True, slots=True, eq=False)
class ObservedMoments:
    """Moments (k, d) of the observed values of each component's rows; a monoid.

    Attributes
    ----------
    counts, first, second : (k, d)
        Σ r, Σ r y and Σ r y², y about points that are the same for all parts.
    """

    counts: Array
    first: Array
    second: Array

    @classmethod
    def of_labels(
        cls,
        columns: Array,
        known: NDArray[np.bool_],
        labels: NDArray[np.intp],
        points: Array,
        weights: Array | None = None,
    ) -> Self:
        """Of columns (d, b), of which `known` (d, b) are observed, about their points (k, d)."""
        parts = []
        for y, is_known, own in zip(columns, known, points.T, strict=True):
            r = is_known.astype(np.float64) if weights is None else is_known * weights
            D = np.where(is_known, y - own[labels], 0.0)
            parts.append(
                [np.bincount(labels, r * power, minlength=len(points)) for power in (1.0, D, D * D)]
            )
        counts, first, second = np.moveaxis(np.array(parts), 0, -1)
        return cls(counts, first, second)

    @classmethod
    def of_posteriors(
        cls, columns: Array, known: NDArray[np.bool_], R: Array, point: Array
    ) -> Self:
        """The same about one point (d,), with posteriors R (k, b)."""
        D = np.where(known, columns - point[:, None], 0.0)
        return cls(R @ known.T.astype(np.float64), R @ D.T, R @ (D * D).T)

    def merge(self, other: Self) -> Self:
        """These rows and the others."""
        return type(self)(
            self.counts + other.counts, self.first + other.first, self.second + other.second
        )

    def widened(self, parameters: Parameters, regularisation: Array) -> Parameters:
        """Parameters whose variances are at least those of the observed values, regularised."""
        family, (k, d) = parameters.family, parameters.means.shape
        counts, added = (
            self.counts,
            regularisation.mean() if family.common_scale else regularisation,
        )
        mean = np.divide(self.first, counts, out=np.zeros_like(counts), where=counts > 0)
        scatter = self.second - self.first * mean
        if family.common_scale:
            scatter, counts = (np.repeat(x.sum(1)[:, None], d, axis=1) for x in (scatter, counts))
        if family.is_shared:
            scatter, counts = (x.sum(axis=0)[None] for x in (scatter, counts))
        held = family.variances(parameters.covariances, k, d)[: len(scatter)]
        found = np.divide(scatter, counts, out=np.zeros_like(scatter), where=counts > 0)
        scales = np.sqrt(np.maximum((found + added) / held, 1.0))
        if family.is_shared:
            covariances = family.rescaled(parameters.covariances, scales[0])
        else:
            covariances = parameters.covariances.copy()
            for j, scale in enumerate(scales):
                own = family.take(parameters.covariances, np.array([j]))
                covariances = family.replaced(covariances, j, family.rescaled(own, scale)[0])
        return Parameters.of(family, parameters.weights, parameters.means, covariances)
