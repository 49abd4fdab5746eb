"""Maximum a posteriori adaptation of a fitted model to new rows, by one E-step."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.drift.drift_pass import DriftStatistics
from dgmm.mixture.covariance.family import Family, Moments
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Estimate, Parameters, m_step
from dgmm.model.mixture_model import MixtureModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """An adapted model, and the share α_k (k,) that new rows have in each of its components."""

    model: MixtureModel
    shares: Array

    @classmethod
    def of(
        cls,
        model: MixtureModel,
        found: DriftStatistics,
        relevance: float,
        adapted: Collection[str],
        *,
        counts_are_rows: bool = False,
    ) -> Self:
        """Adapt some of the parameters (Reynolds, Quatieri & Dunn 2000, eq. 7-14).

        With n_k, E_k[y] and E_k[yyᵀ] of the E-step and α_k = n_k/(n_k + r): weights are α n_k/n +
        (1 − α)π, then scaled to sum to 1; means α E[y] + (1 − α)μ; covariances α E[yyᵀ] +
        (1 − α)(Σ + μμᵀ) − μ̂μ̂ᵀ with the new means μ̂. Where means stay, moments are about these.

        Parameters
        ----------
        model, found
            The earlier model, and its pass over the new rows.
        relevance
            r.
        adapted
            Of `weights`, `means`, `covariances` those that are adapted. No covariances of a family
            whose components share one.
        counts_are_rows
            Whether the rows' weights are counts.
        """
        old = model.parameters
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = m_step(old.family, found.statistics, before=old, by_weight=counts_are_rows)
        shares = estimate.counts / (estimate.counts + relevance)
        weights, means, covariances = old.weights, old.means, old.covariances
        noise = old.noise
        if "weights" in adapted:
            weights, noise = _mixed_weights(old, estimate, relevance)
        is_seen = np.isfinite(estimate.means)
        own = np.where(is_seen, estimate.means, old.means)
        if "means" in adapted:
            means = shares[:, None] * own + (1.0 - shares[:, None]) * old.means
        if "covariances" in adapted:
            covariances = _mixed_covariances(old, estimate, own, means, shares)
        parameters = Parameters.of(old.family, weights, means, covariances, noise)
        return cls(replace(model, parameters=parameters), shares)


def _mixed_weights(
    old: Parameters, estimate: Estimate, relevance: float
) -> tuple[Array, Noise | None]:
    """α n_k/n + (1 − α)π, scaled; noise is one of the components."""
    counts, weights = estimate.counts, old.weights
    if old.noise is not None and estimate.noise is not None:
        counts = np.append(counts, estimate.noise.weight)
        weights = np.append(weights, old.noise.weight)
    alpha = counts / (counts + relevance)
    mixed = alpha * counts / counts.sum() + (1.0 - alpha) * weights
    mixed = mixed / mixed.sum()
    k = old.n_components
    return mixed[:k], None if old.noise is None else old.noise.with_weight(float(mixed[k]))


def _mixed_covariances(
    old: Parameters, estimate: Estimate, own: Array, means: Array, shares: Array
) -> Array:
    """α(Σ̂ + (x̄ − μ̂)(x̄ − μ̂)ᵀ) + (1 − α)(Σ + (μ − μ̂)(μ − μ̂)ᵀ): the same about any origin.

    Raises
    ------
    ValueError
        If all components share a covariance, which no component's share can change.
    """
    family = old.family
    if family.is_shared:
        raise ValueError("a shared covariance is not adapted")
    axes = (-1,) + (1,) * (old.covariances.ndim - 1)
    alpha = shares.reshape(axes)
    is_seen = np.isfinite(estimate.covariances)
    found = np.where(is_seen, estimate.covariances, old.covariances)
    found = found + _squares(family, own - means)
    kept = old.covariances + _squares(family, old.means - means)
    return np.asarray(alpha * found + (1.0 - alpha) * kept)


def _squares(family: Family, differences: Array) -> Array:
    """Σ of one row at each of the differences (k, d), as the family has it."""
    k, d = differences.shape
    second = np.stack([family.second_moment(v[:, None], np.ones(1)) for v in differences])
    return family.covariances(Moments(np.ones(k), np.zeros((k, d)), second, None))
