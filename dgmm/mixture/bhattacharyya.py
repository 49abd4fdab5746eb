"""Bhattacharyya distances between Gaussian components, of one mixture's and of two mixtures'."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance import family_named
from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]


def paired_distances(one: Parameters, other: Parameters) -> Array:
    """Distances (k,) between the jth components of two mixtures of one family, in equal units.

    B = ⅛ δᵀ Σ̄⁻¹ δ + ½ ln(|Σ̄| / √(|Σ₁||Σ₂|)) with Σ̄ = (Σ₁ + Σ₂)/2 (Bhattacharyya 1943; Kailath
    1967). A family's covariances are linear in Σ, so that their average is the average's. NaN where
    a covariance is singular.
    """
    family, (k, d) = one.family, one.means.shape
    between = family.precisions_cholesky(0.5 * (one.covariances + other.covariances))
    shift = other.means - one.means
    # ½ log|Λ| of each; |Σ̄| is at least √(|Σ₁||Σ₂|), but for rounding.
    halves = (
        family.half_log_det_precision(factors, k, d)
        for factors in (one.precisions_cholesky, other.precisions_cholesky, between)
    )
    first, second, middle = halves
    spread = np.maximum(0.5 * (first + second) - middle, 0.0)
    whitened = [family.whiten(between, j, shift[j][:, None]) for j in range(k)]
    return np.array([0.125 * float((z**2).sum()) for z in whitened]) + spread


def all_distances(one: Parameters, other: Parameters) -> Array:
    """Distances (k, l) between each component of one mixture and each of another, in equal units.

    Families may differ. NaN where a covariance is singular.
    """
    mine, theirs = as_full(one), as_full(other)
    rows = np.empty((one.n_components, other.n_components))
    for j in range(one.n_components):
        repeated = Parameters(
            mine.family,
            theirs.weights,
            np.broadcast_to(mine.means[j], theirs.means.shape),
            np.broadcast_to(mine.covariances[j], theirs.covariances.shape),
            np.broadcast_to(mine.precisions_cholesky[j], theirs.precisions_cholesky.shape),
        )
        rows[j] = paired_distances(repeated, theirs)
    return rows


def as_full(parameters: Parameters) -> Parameters:
    """The same mixture with a (d, d) covariance for each component."""
    p, d = parameters, parameters.n_features
    matrices = [p.family.full_covariance(p.covariances, j, d) for j in range(p.n_components)]
    return Parameters.of(family_named("full"), p.weights, p.means, np.array(matrices))


def hellinger(distances: Array) -> Array:
    """√(1 − e^−B): from 0, equal, to 1, which it is to rounding from B = 37 on."""
    return np.sqrt(-np.expm1(-distances))
