"""The parameters of a mixture in standardised units, and the M-step that estimates them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance.family import Array, Family
from dgmm.mixture.noise import Noise
from dgmm.mixture.sufficient_statistics import Statistics

#: Values of each component that are kept with parameters once they are known.
_OF_COMPONENTS = ("log_weights", "precision_bounds", "condition_bounds", "variances", "singular")


@dataclass(frozen=True, eq=False)
class Parameters:
    """Weights (k,), means (k, d), covariances and precision factors of the family's shape.

    Where `expected_log_weights` (k,) are given, they stand for the weights' logarithms in every
    density: of variational inference, whose weights and precisions are distributions. With `noise`
    the weights sum to 1 less the noise's.
    """

    family: Family
    weights: Array
    means: Array
    covariances: Array
    precisions_cholesky: Array
    expected_log_weights: Array | None = None
    noise: Noise | None = None

    @classmethod
    def of(
        cls,
        family: Family,
        weights: Array,
        means: Array,
        covariances: Array,
        noise: Noise | None = None,
    ) -> Parameters:
        """Build parameters and factor their covariances."""
        factors = family.precisions_cholesky(covariances)
        return cls(family, weights, means, covariances, factors, noise=noise)

    @property
    def n_components(self) -> int:
        """k: the Gaussians."""
        return len(self.weights)

    @property
    def n_labels(self) -> int:
        """Posteriors of a row: k, and one more with noise, the last."""
        return self.n_components + (self.noise is not None)

    @property
    def gaussian_share(self) -> float:
        """What the weights sum to: 1 less the noise's."""
        return 1.0 if self.noise is None else 1.0 - self.noise.weight

    @property
    def n_features(self) -> int:
        """d."""
        return int(self.means.shape[1])

    @cached_property
    def log_weights(self) -> Array:
        """Logarithms of the weights; −inf for weight 0. Or what stands for them."""
        if self.expected_log_weights is not None:
            return self.expected_log_weights
        with np.errstate(divide="ignore"):
            return np.log(self.weights)

    @cached_property
    def precision_bound(self) -> float:
        """Upper bound of the largest eigenvalue of any precision; NaN where one is singular."""
        return float(self.precision_bounds.max())

    @cached_property
    def precision_bounds(self) -> Array:
        """Upper bounds of the largest eigenvalue of each precision, (k,)."""
        return self.family.precision_bound(self.precisions_cholesky, self.n_components)

    @cached_property
    def variances(self) -> Array:
        """Of each component and feature, (k, d)."""
        return self.family.variances(self.covariances, self.n_components, self.n_features)

    @cached_property
    def condition_bounds(self) -> Array:
        """Upper bound, within a factor d, of the condition of each covariance, (k,)."""
        return np.asarray(self.precision_bounds * self.variances.max(axis=1))

    @cached_property
    def condition_bound(self) -> float:
        """The same of any covariance."""
        return float(self.condition_bounds.max())

    def supports_covariances(self, n_rows: float) -> bool:
        """Whether every component has the rows, of so many, that its covariance needs.

        Where one has not, it is a spike, whose likelihood has no bound and says nothing (Day,
        *Estimating the components of a mixture of normal distributions*, Biometrika 56, 1969).
        """
        return bool((self.weights * n_rows >= self.rows_needed).all())

    @property
    def rows_needed(self) -> int:
        """Rows without which a component's own covariance is singular; 1 where all share one."""
        return 1 if self.family.is_shared else self.family.least_rows(1, self.n_features)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, NDArray[np.int32]]:
        """Draw rows (n, d), ordered by component, and the component (n,) of each; noise is k."""
        weights = self.weights
        if self.noise is not None:
            weights = np.append(weights, self.noise.weight)
        counts = rng.multinomial(n, weights / weights.sum())
        rows = []
        for k, count in enumerate(counts[: self.n_components]):
            normal = rng.standard_normal((count, self.n_features))
            rows.append(self.means[k] + self.family.correlated(self.covariances, k, normal))
        if self.noise is not None:
            rows.append(self.noise.sample(int(counts[-1]), rng))
        return np.concatenate(rows), np.repeat(np.arange(len(counts), dtype=np.int32), counts)

    def natural_parameters(self) -> Array:
        """η (k, p); with noise one more row, 0 but for log π₀ − log V.

        The noise lacks what a family without quadratic part leaves out of φ for all Gaussians.
        """
        eta = self._known("_natural_parameters")
        if eta is None:
            weights, factors = self.log_weights, self.precisions_cholesky
            eta = self.family.natural_parameters(weights, self.means, factors)
        if self.noise is None:
            return eta
        row = np.zeros((1, eta.shape[1]))
        row[0, -1] = self.noise.weighted_log_density
        return np.concatenate([eta, row])

    def take(self, components: NDArray[np.intp]) -> Parameters:
        """The same components in another order (k,)."""
        family, expected = self.family, self.expected_log_weights
        return Parameters(
            *(family, self.weights[components], self.means[components]),
            family.take(self.covariances, components),
            family.take(self.precisions_cholesky, components),
            None if expected is None else expected[components],
            self.noise,
        )

    def marginal(self, features: NDArray[np.intp]) -> Parameters:
        """The mixture of some of the features."""
        covariances = self.family.marginal(self.covariances, features)
        own = Parameters.of(self.family, self.weights, self.means[:, features], covariances)
        if self.noise is not None:
            own = replace(own, noise=self.noise.marginal(features))
        if self.expected_log_weights is None:
            return own
        return replace(own, expected_log_weights=self.expected_log_weights)

    def log_factors(self) -> Array:
        """Roots of the covariances that may be any real numbers (`Family.log_factors`)."""
        known = self._known("_log_factors")
        return self.family.log_factors(self.covariances) if known is None else known

    def _known(self, name: str) -> Array | None:
        """What `parted` has computed of several mixtures at once: too large to be kept of all."""
        return vars(self).get(name)

    @cached_property
    def singular(self) -> NDArray[np.bool_]:
        """Components whose covariance cannot be inverted, (k,)."""
        return self.family.is_singular(self.precisions_cholesky, self.n_components)

    def parted(self, n: int) -> list[Parameters]:
        """n mixtures of as many components each; what EM asks of each is computed here for all.

        Of a few small components NumPy's calls take longer than the arithmetic. Each mixture has
        the bits that it has alone: nothing is summed over components.

        Parameters
        ----------
        n
            How many mixtures there are, of a family whose covariances are each component's own and
            without noise; their weights sum to 1 each.
        """
        k = self.n_components // n
        with np.errstate(all="ignore"):  # some components may be lost: no one has looked yet
            known = {
                "_natural_parameters": self.natural_parameters(),
                "_log_factors": self.log_factors(),
            }
            for name in _OF_COMPONENTS:
                known[name] = getattr(self, name)
        parts = []
        for own in (slice(i * k, (i + 1) * k) for i in range(n)):
            # Copies: a view would keep the arrays of all mixtures as long as one of them is kept.
            arrays = self.weights[own].copy(), self.means[own].copy(), self.covariances[own].copy()
            part = Parameters(self.family, *arrays, self.precisions_cholesky[own].copy())
            vars(part).update({name: values[own].copy() for name, values in known.items()})
            parts.append(part)
        return parts


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What maximum likelihood makes of the statistics, before regularisation.

    `counts` are effective rows: Σ w r over the mean weight of a row, or Σ w r itself where weights
    are counts; components without rows have NaN means and covariances. `noise` has its box and, as
    its weight, its effective rows.
    """

    family: Family
    counts: Array
    means: Array
    covariances: Array
    noise: Noise | None = None

    @property
    def n_rows(self) -> float:
        """Effective rows of all components, the noise's among them."""
        total = float(self.counts.sum())
        return total if self.noise is None else total + self.noise.weight

    def regularised(self, regularisation: Array) -> Parameters:
        """Parameters with `regularisation` (d,) added to the variances."""
        return self.parameters(self.family.regularised(self.covariances, regularisation))

    def parameters(self, covariances: Array, more: float = 0.0) -> Parameters:
        """With these covariances, and weights as if each component had so many rows more."""
        counts, noise = self.counts + more, self.noise
        total = counts.sum()
        if noise is not None:
            total += noise.weight + more
            noise = noise.with_weight(float((noise.weight + more) / total))
        return Parameters.of(self.family, counts / total, self.means, covariances, noise)


#: Of so many values of a feature, in rows that a component has, no mean or variance is estimated.
FEWEST_VALUES = 0.5


def m_step(
    family: Family,
    statistics: Statistics,
    scatter: Array | None = None,
    before: Parameters | None = None,
    *,
    by_weight: bool = False,
    fewest: float = FEWEST_VALUES,
) -> Estimate:
    """Weights, means and covariances of maximum likelihood (Bishop, PRML, eq. 9.24-9.26).

    Moments may be taken about any reference point: μ = c + M₁/n and Σ = M₂/n − (M₁/n)(M₁/n)ᵀ.

    Parameters
    ----------
    family, statistics
        The family and the reduced statistics of all rows.
    scatter
        Total scatter about the origin (product kernel), where the family has one and `statistics`
        lacks it.
    before
        The parameters of the E-step, which stay where a component's rows have no value of a masked
        feature; the noise's box comes from them.
    by_weight
        Whether a row of weight w counts as w rows; else as what it is of the mean weight.
    fewest
        Of fewer values of a masked feature no mean or variance is estimated.
    """
    moments = statistics.moments(family, scatter)
    rows_per_weight = 1.0 if by_weight else statistics.rows_per_weight
    if statistics.observed is not None:
        if before is None:
            raise ValueError("an M-step of masked features needs the parameters before it")
        seen = statistics.observed * rows_per_weight >= fewest
        moments = family.completed(moments, statistics.observed, seen, before.covariances)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = moments.first / moments.counts[:, None]
    if statistics.reference is not None:
        means = means + statistics.reference
    counts = moments.counts * rows_per_weight
    noise = None
    if statistics.noise is not None:
        if before is None or before.noise is None:
            raise ValueError("an M-step of a mixture with noise needs the parameters before it")
        noise = before.noise.with_weight(statistics.noise * rows_per_weight)
    return Estimate(family, counts, means, family.covariances(moments), noise)


def explained_fall(estimate: Estimate, parameters: Parameters, regularisation: Array) -> float:
    """Nats per row by which regularisation may lower the likelihood in one M-step.

    Σ_k (n_k/N) ½[tr((Σ̂_k + R)⁻¹ Σ̂_k) − d + log|Σ̂_k + R| − log|Σ̂_k|], with
    tr((Σ̂ + R)⁻¹ Σ̂) = d − tr((Σ̂ + R)⁻¹ R). Infinite where Σ̂_k is singular, 0 without regularisation,
    never negative: the two parts cancel where regularisation is small, and rounding stays.
    """
    if not regularisation.any():
        return 0.0
    family, k, d = estimate.family, parameters.n_components, parameters.n_features
    held = parameters.precisions_cholesky
    bare = family.precisions_cholesky(estimate.covariances)
    if family.is_singular(bare, k).any():
        return float("inf")
    mean = regularisation.mean() if family.common_scale else regularisation
    added = np.broadcast_to(mean, (d,))
    traces = np.array([family.trace_with(held, j, added) for j in range(k)])
    log_ratio = 2.0 * (
        family.half_log_det_precision(bare, k, d) - family.half_log_det_precision(held, k, d)
    )
    shares = estimate.counts / estimate.n_rows
    return max(0.0, float(0.5 * (shares * (log_ratio - traces)).sum()))
