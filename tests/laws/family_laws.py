"""What every covariance family promises, as one suite: `check_family(family)` runs all of it."""

from __future__ import annotations

from collections.abc import Callable

import mixtures
import numpy as np
from mixtures import EPS, Array

from dgmm.mixture.backends import NumpyBackend
from dgmm.mixture.covariance import Family, Moments
from dgmm.mixture.criteria import n_parameters
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics

SHAPES = [(1, 1, 1.0), (1, 3, 10.0), (4, 1, 1.0), (3, 5, 1e4), (2, 40, 100.0)]


def check_family(family: Family) -> None:
    """Run every law on random mixtures of several shapes and condition numbers."""
    for k, d, condition in SHAPES:
        for law in LAWS:
            rng = np.random.default_rng([k, d])
            law(mixtures.mixture(family, k, d, rng, condition=condition), condition, rng)


def features_times_parameters_are_log_densities(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """η_k · φ(y) = log π_k + log N(y | μ_k, Σ_k), but for what a scatter stands in for."""
    Y = mixtures.draw(p, 200, rng)
    q = p.family.quadratic_width(p.n_features)
    Phi = np.ones((p.family.width(p.n_features), Y.shape[1]))
    for part in p.family.quadratic_parts(p.n_features, int(rng.integers(1, q + 2))):
        p.family.fill_quadratic(Y, part, Phi[part.start : part.stop], NumpyBackend())
    Phi[q:-1] = Y
    left_out = np.zeros(Y.shape[1])
    if p.family.scatter_width(p.n_features):
        left_out = -0.5 * (p.family.whiten(p.precisions_cholesky, 0, Y) ** 2).sum(axis=0)
    found = p.natural_parameters() @ Phi + left_out
    assert np.abs(found - mixtures.plain_log_prob(p, Y)).max() <= _rounding(p, Y, condition)


def whitened_deviations_give_distances(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """‖Uᵀ(y − μ)‖² and Σ log diag U make up the log density of the definition."""
    Y, d = mixtures.draw(p, 200, rng), p.n_features
    half = p.family.half_log_det_precision(p.precisions_cholesky, p.n_components, d)
    for k, expected in enumerate(mixtures.plain_log_prob(p, Y)):
        Z = p.family.whiten(p.precisions_cholesky, k, Y - p.means[k][:, None])
        constant = p.log_weights[k] + half[k] - 0.5 * d * np.log(2.0 * np.pi)
        found = constant - 0.5 * (Z**2).sum(axis=0)
        assert np.abs(found - expected).max() <= _rounding(p, Y, condition)


def precision_factors_invert_covariances(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """Uᵀ Σ U = I, shown on a root of Σ; and the precision's bound holds."""
    d = p.n_features
    bounds = p.family.precision_bound(p.precisions_cholesky, p.n_components)
    for k in range(p.n_components):
        covariance = p.family.full_covariance(p.covariances, k, d)
        W = p.family.whiten(p.precisions_cholesky, k, np.linalg.cholesky(covariance))
        assert np.abs(W @ W.T - np.eye(d)).max() <= 4 * d * EPS * np.sqrt(condition) + 8 * EPS
        largest = 1.0 / np.linalg.eigvalsh(covariance)[0]
        assert bounds[k] >= largest * (1.0 - 4 * d * EPS * condition)
        assert bounds[k] <= np.sqrt(d) * largest * (1.0 + 4 * d * EPS * condition)


def moments_about_any_point_give_the_covariances(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """Weighted rows, summed about the origin or about anything, give back mean and covariance."""
    family, k, d = p.family, p.n_components, p.n_features
    Y = mixtures.draw(p, 60 + 3 * d, rng)
    R = rng.uniform(size=(k, Y.shape[1]))
    R /= R.sum(axis=0)
    counts = R.sum(axis=1)
    means = (R @ Y.T) / counts[:, None]
    centred = [Y - mean[:, None] for mean in means]
    full = [(D * r) @ D.T / n for D, r, n in zip(centred, R, counts, strict=True)]
    centre = m_step(family, _statistics(family, Y, R, means)).covariances
    _assert_most_likely(family, centre, np.array(full), counts / counts.sum(), rng)
    for reference in (None, means, means + rng.normal(size=(k, d))):
        estimate = m_step(family, _statistics(family, Y, R, reference))
        shift = means - (0.0 if reference is None else reference)
        scale = 1.0 + (shift**2).sum(axis=1).max() + max(np.abs(C).max() for C in full)
        allowed = Y.shape[1] * EPS * scale
        assert np.abs(estimate.counts - counts).max() <= Y.shape[1] * EPS * counts.max()
        assert np.abs(estimate.means - means).max() <= allowed
        assert estimate.covariances.shape == family.covariance_shape(k, d)
        for j in range(k):
            found, expected = (
                family.full_covariance(c, j, d) for c in (estimate.covariances, centre)
            )
            assert np.abs(found - expected).max() <= allowed


def rescaling_features_rescales_covariances(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """Σ of s·y is S Σ S; its log density loses Σ log s."""
    family, d = p.family, p.n_features
    scale = np.exp2(rng.integers(-3, 4, size=1 if family.common_scale else d))
    scale = np.broadcast_to(scale, (d,))
    scaled = Parameters.of(
        family, p.weights, p.means * scale, family.rescaled(p.covariances, scale)
    )
    Y = mixtures.draw(p, 50, rng)
    found = mixtures.plain_log_prob(scaled, Y * scale[:, None]) + np.log(scale).sum()
    allowed = _rounding(p, Y, condition) + d * EPS * np.abs(np.log(scale)).sum()
    assert np.abs(found - mixtures.plain_log_prob(p, Y)).max() <= allowed
    for k in range(p.n_components):
        expected = family.full_covariance(p.covariances, k, d) * np.outer(scale, scale)
        np.testing.assert_array_equal(family.full_covariance(scaled.covariances, k, d), expected)


def regularisation_is_added_to_variances(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """Σ + diag(r); spherical adds the mean of r."""
    family, d = p.family, p.n_features
    added = rng.uniform(0.1, 1.0, size=d)
    held = family.regularised(p.covariances, added)
    if family.common_scale:
        added = np.full(d, added.mean())
    for k in range(p.n_components):
        found = family.full_covariance(held, k, d)
        expected = family.full_covariance(p.covariances, k, d) + np.diag(added)
        np.testing.assert_allclose(found, expected, rtol=4 * EPS)


def roots_with_log_variances_give_the_covariances_back(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """Σ from its coordinates, and a covariance from any others."""
    family, k, d = p.family, p.n_components, p.n_features
    roots = family.log_factors(p.covariances)
    assert roots.shape == family.covariance_shape(k, d)
    found = family.covariances_of_log_factors(roots)
    size = np.abs(p.covariances).max() * (1.0 + np.abs(roots).max())
    assert np.abs(found - p.covariances).max() <= 4 * (d + 1) * EPS * size
    moved = family.covariances_of_log_factors(roots + rng.normal(scale=0.1, size=roots.shape))
    assert not Parameters.of(family, p.weights, p.means, moved).singular.any()


def free_parameters_are_the_different_numbers(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """A random covariance array holds as many different numbers as the family has free ones."""
    k, d = p.n_components, p.n_features
    free = p.family.n_parameters(k, d)
    assert len(np.unique(p.covariances)) == free
    assert n_parameters(p.family, k, d) == k - 1 + k * d + free


def parts_of_a_mixture_keep_their_shapes(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """Taking, replacing and pooling components speak of the same matrices."""
    family, k, d = p.family, p.n_components, p.n_features
    assert p.covariances.shape == family.covariance_shape(k, d)
    chosen = rng.permutation(k)[: max(1, k - 1)]
    taken = family.take(p.covariances, chosen)
    assert taken.shape == family.covariance_shape(len(chosen), d)
    for place, j in enumerate(chosen):
        np.testing.assert_array_equal(
            family.full_covariance(taken, place, d), family.full_covariance(p.covariances, j, d)
        )
    matrices = np.stack([family.full_covariance(p.covariances, j, d) for j in range(k)])
    expected = np.einsum("k,kij->ij", p.weights, matrices)
    pooled = family.pooled(p.covariances, 7.0 * p.weights)
    replaced = family.replaced(p.covariances, k - 1, pooled)
    assert replaced.shape == family.covariance_shape(k, d)
    found = family.full_covariance(replaced, k - 1, d)
    assert np.abs(found - expected).max() <= (k + 2) * EPS * np.abs(expected).max()
    for j in range(k - 1):
        np.testing.assert_array_equal(family.full_covariance(replaced, j, d), matrices[j])
    variances = family.variances(p.covariances, k, d)
    np.testing.assert_array_equal(variances, np.diagonal(matrices, axis1=1, axis2=2))


def singular_covariances_are_found(
    p: Parameters, condition: float, rng: np.random.Generator
) -> None:
    """A component on one point is singular; those of the random mixture are not."""
    family, k, d = p.family, p.n_components, p.n_features
    assert not p.singular.any()
    flat = family.covariances(_flat_moments(family, k, d))
    changed = family.replaced(p.covariances, k - 1, family.pooled(flat, np.ones(k)))
    if family.is_shared:
        changed = flat
    expected = np.arange(k) == k - 1
    if family.is_shared:
        expected[:] = True
    found = Parameters.of(family, p.weights, p.means, changed).singular
    np.testing.assert_array_equal(found, expected)


LAWS: list[Callable[[Parameters, float, np.random.Generator], None]] = [
    features_times_parameters_are_log_densities,
    whitened_deviations_give_distances,
    precision_factors_invert_covariances,
    moments_about_any_point_give_the_covariances,
    rescaling_features_rescales_covariances,
    regularisation_is_added_to_variances,
    roots_with_log_variances_give_the_covariances_back,
    free_parameters_are_the_different_numbers,
    parts_of_a_mixture_keep_their_shapes,
    singular_covariances_are_found,
]


def _rounding(p: Parameters, Y: Array, condition: float) -> float:
    """Both sides' rounding: d·ε times the largest term, λ_max of a size with √condition here."""
    size = (Y**2).sum(axis=0).max() + (p.means**2).sum(axis=1).max()
    bound = p.family.precision_bound(p.precisions_cholesky, p.n_components).max()
    distance = p.n_features + np.abs(mixtures.plain_log_prob(p, Y)).max()
    return 4 * p.n_features * EPS * (bound * size + condition * distance)


def _statistics(family: Family, Y: Array, R: Array, reference: Array | None) -> Statistics:
    """Sums of every component's moments about its reference, row by row."""
    points = np.zeros((len(R), len(Y))) if reference is None else reference
    sums, scatter = [], family.empty_scatter(len(Y))
    for point, r in zip(points, R, strict=True):
        D = Y - point[:, None]
        sums.append(np.concatenate([family.second_moment(D, r), D @ r, [r.sum()]]))
        if scatter is not None:
            scatter += family.scatter(D, r)
    return Statistics(Y.shape[1], 0.0, np.stack(sums), scatter, reference)


def _assert_most_likely(
    family: Family, covariances: Array, scatters: Array, shares: Array, rng: np.random.Generator
) -> None:
    """Σ_k n_k (log|Λ_k| − tr(Λ_k S_k)) has no slope at Σ in any direction within the family.

    Its slope along dΣ is Σ_k n_k tr(Λ_k (S_k − Σ_k) Λ_k dΣ_k); dΣ is a central difference.
    """
    k, d = scatters.shape[:2]
    roots = family.log_factors(covariances)

    def matrices(covariances: Array) -> Array:
        return np.stack([family.full_covariance(covariances, j, d) for j in range(k)])

    precisions = np.linalg.inv(matrices(covariances))
    excess = precisions @ (scatters - matrices(covariances))
    for _ in range(3):
        step = 1e-5 * rng.normal(size=roots.shape)
        ends = [family.covariances_of_log_factors(roots + sign * step) for sign in (1.0, -1.0)]
        change = precisions @ ((matrices(ends[0]) - matrices(ends[1])) / 2e-5)
        slope = float(np.einsum("k,kij,kji->", shares, excess, change))
        lengths = np.linalg.norm(change, axis=(1, 2)) * (1 + np.linalg.norm(excess, axis=(1, 2)))
        assert abs(slope) <= 1e-10 * (shares @ lengths)


def _flat_moments(family: Family, k: int, d: int) -> Moments:
    """Moments of components whose rows all lie at (1, 1, …)."""
    D = np.ones((d, 5))
    return Moments(
        counts=np.full(k, 5.0),
        first=np.full((k, d), 5.0),
        second=np.stack([family.second_moment(D, np.ones(5))] * k),
        scatter=k * family.scatter(D) if family.scatter_width(d) else None,
    )
