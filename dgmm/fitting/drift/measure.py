"""What has changed in each component of a model on new rows, and how far that exceeds chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.drift.chance import rate_exceeds, shares_differ
from dgmm.fitting.drift.drift_pass import DriftStatistics
from dgmm.mixture.bhattacharyya import hellinger, paired_distances
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.model.mixture_model import MixtureModel

Array = NDArray[np.float64]

#: Rows without which no distance of a component is given...
FEWEST_ROWS = 30.0
#: ...and times the rows without which a covariance is singular: of fewer its logarithm is biased.
TIMES_LEAST = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class FittedRows:
    """What is known of the rows that the old model was fitted to.

    Attributes
    ----------
    n_rows : float or None
        How many they were: of weighted rows Σw of counts, (Σw)²/Σw² else. None where that is not
        known: the old model is then taken as exact.
    regularisation : (d,)
        What its M-steps added to the variances, standardised units.
    rate : float or None
        The share of them below the anomaly threshold, where the model does not know it.
    """

    n_rows: float | None
    regularisation: Array
    rate: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """One step of EM from a model on new rows.

    Attributes
    ----------
    n_rows : float
        New rows that count; of weights Σw of counts, (Σw)²/Σw² else.
    n_rows_before : float or None
        The same of the old rows.
    weights, new_weights : (k,)
        π and n_k/n.
    rows : (k,)
        n_k.
    shifts : (k,)
        √(δᵀΛδ), δ the difference of the means.
    distances : (k,)
        Bhattacharyya distances between each component and its successor.
    significances : (k,)
        8·B·n_k/p, with 1/(1/n_old,k + 1/n_k) for n_k, p the parameters of a component: about 1
        without drift.
    n_parameters : (k,)
        p.
    weight_errors : (k,)
        Differences of weights in standard errors.
    rate, new_rate : float or None
        Shares of rows below the anomaly threshold; None without one.
    rate_errors : float or None
        How far the new one exceeds chance, in standard errors of a normal deviate.
    feature_shifts, feature_scales : (k, d) or None
        Of each feature the difference of the means in the component's own standard deviations, and
        the successor's standard deviation over that one; noise has none.

    Notes
    -----
    Shifts, distances and significances are NaN of a component whose successor has too few rows, and
    of noise, which is the last component of a model that has it.
    """

    n_rows: float
    n_rows_before: float | None
    weights: Array
    new_weights: Array
    rows: Array
    shifts: Array
    distances: Array
    significances: Array
    n_parameters: Array
    weight_errors: Array
    rate: float | None = None
    new_rate: float | None = None
    rate_errors: float | None = None
    feature_shifts: Array | None = None
    feature_scales: Array | None = None

    @property
    def hellinger(self) -> Array:
        """√(1 − e^−B), (k,)."""
        return hellinger(self.distances)

    def features(self, component: int, n: int) -> list[int]:
        """The n features that have changed most in a component, by their own Bhattacharyya."""
        if self.feature_shifts is None or self.feature_scales is None:
            return []
        if component >= len(self.feature_shifts) or np.isnan(self.shifts[component]):
            return []
        shift, scale = self.feature_shifts[component], self.feature_scales[component]
        sums = 1.0 + scale**2
        with np.errstate(divide="ignore"):  # a feature that has become constant
            distances = shift**2 / (4.0 * sums) + np.log(sums / (2.0 * scale)) / 2.0
        return [int(j) for j in np.argsort(-distances, kind="stable")[:n]]

    @property
    def weight_changes(self) -> Array:
        """Δπ, (k,)."""
        return self.new_weights - self.weights

    @classmethod
    def of(
        cls,
        model: MixtureModel,
        found: DriftStatistics,
        before: FittedRows,
        *,
        counts_are_rows: bool = False,
    ) -> Self:
        """Measure what the pass has found.

        Parameters
        ----------
        model, before
            The old model, and what it was fitted to.
        found
            Of the pass over the new rows.
        counts_are_rows
            Whether their weights are counts.
        """
        old = model.parameters
        n = effective_rows(found, counts_are_rows=counts_are_rows)
        successor = _successor(old, found, before.regularisation)
        rows = n * successor.weights
        is_known = rows >= rows_needed(old.family, old.n_features)
        shifts, distances = _distances(old, successor, is_known)
        p = parameters_of_component(old.family, old.n_features, successor.weights)
        weights, new_weights = old.weights, successor.weights
        if old.noise is not None:
            weights = np.append(weights, old.noise.weight)
            new_weights = np.append(new_weights, 1.0 - new_weights.sum())
            rows = n * new_weights
            shifts, distances = np.append(shifts, np.nan), np.append(distances, np.nan)
            p = np.append(p, 1.0)
        effective = _effective(rows, weights, before.n_rows)
        drift = cls(
            n_rows=n,
            n_rows_before=before.n_rows,
            weights=weights,
            new_weights=new_weights,
            rows=rows,
            shifts=shifts,
            distances=distances,
            significances=8.0 * distances * effective / p,
            n_parameters=p,
            weight_errors=shares_differ(new_weights, weights, n, before.n_rows),
            feature_shifts=(successor.means - old.means) / _deviations(old),
            feature_scales=_deviations(successor) / _deviations(old),
        )
        expected = before.rate if model.anomaly_quantile is None else model.anomaly_quantile
        return drift._with_rate(model, found, expected)

    def _with_rate(
        self, model: MixtureModel, found: DriftStatistics, expected: float | None
    ) -> Self:
        """The same with the rate of anomalies, where the model has a threshold."""
        if expected is None or model.anomaly_threshold is None:
            return self
        rate = found.anomalous / found.statistics.weight
        errors = rate_exceeds(rate, expected, self.n_rows, self.n_rows_before)
        return replace(self, rate=expected, new_rate=rate, rate_errors=errors)


def effective_rows(found: DriftStatistics, *, counts_are_rows: bool) -> float:
    """Rows that the new ones are worth: Σw of counts, (Σw)²/Σw² (Kish 1965) of other weights."""
    weight = found.statistics.weight
    if counts_are_rows or found.squared_weights is None:
        return float(weight)
    return float(weight**2 / found.squared_weights)


def rows_needed(family: Family, d: int) -> float:
    """Rows of a component without which no distance to its successor is given."""
    least = 1 if family.is_shared else family.least_rows(1, d)
    return max(FEWEST_ROWS, TIMES_LEAST * least)


def parameters_of_component(family: Family, d: int, weights: Array) -> Array:
    """Means' and covariance's free numbers, (k,); of a covariance that all share, by weight.

    A shared covariance is estimated from all rows, so that by chance a component of weight π sees
    π times the share of its errors that a covariance of its own would have.
    """
    own = float(family.n_parameters(1, d))
    return d + (own * weights if family.is_shared else np.full(len(weights), own))


def _successor(old: Parameters, found: DriftStatistics, regularisation: Array) -> Parameters:
    """One M-step, as the old model's own fit made it but for a prior.

    Components without any row keep their mean and covariance, with weight 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = m_step(old.family, found.statistics, before=old)
    weights = estimate.counts / estimate.n_rows
    is_lost = np.asarray(~np.isfinite(estimate.means).all(axis=1))
    means = np.where(is_lost[:, None], old.means, estimate.means)
    covariances = old.family.regularised(estimate.covariances, regularisation)
    for j in np.flatnonzero(is_lost):
        own = old.family.take(old.covariances, np.array([j]))
        covariances = old.family.replaced(
            covariances, int(j), own if old.family.is_shared else own[0]
        )
    return Parameters.of(old.family, weights, means, covariances)


def _distances(
    old: Parameters, successor: Parameters, is_known: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """√(δᵀΛδ) and Bhattacharyya distances, NaN where they are not known."""
    delta = successor.means - old.means
    shifts = np.array(
        [
            np.linalg.norm(old.family.whiten(old.precisions_cholesky, j, delta[j][:, None]))
            for j in range(old.n_components)
        ]
    )
    distances = paired_distances(old, successor)
    return np.where(is_known, shifts, np.nan), np.where(is_known, distances, np.nan)


def _deviations(parameters: Parameters) -> Array:
    """Standard deviations of each feature in each component, (k, d)."""
    p = parameters
    return np.sqrt(p.family.variances(p.covariances, p.n_components, p.n_features))


def _effective(rows: Array, weights: Array, n_before: float | None) -> Array:
    """1/(1/n_old,k + 1/n_k); n_k where the old model is taken as exact."""
    if n_before is None:
        return rows
    old = weights * n_before
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rows + old > 0, rows * old / (rows + old), 0.0)
