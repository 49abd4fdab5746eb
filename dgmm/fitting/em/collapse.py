"""Components that collapse or empty: found after every M-step, never fatal, never silent.

They are Gaussians: noise has nothing that could collapse, and without rows its weight is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.data.weighted_statistics import weighted_mean, weighted_variance
from dgmm.mixture.covariance.family import Array, Family
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.marginal import MarginalScorer
from dgmm.mixture.parameters import Estimate, Parameters

#: A component is re-seeded this often before it is dropped.
RESEED_LIMIT = 3
#: With less than half a row to itself a component describes nothing.
EMPTY_COUNT = 0.5
#: Share of each feature's variance that is added where all covariances are singular.
FLOOR = 1e-6
#: What to do about lost components.
_ADVICE = "Raise model.reg_covar, lower model.n_components, or raise initialisation.sample_rows"
#: Roundings of a mean that may stand in a variance of equal rows.
_RESOLUTION = 8.0 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class ComponentEvent:
    """A line of the component log.

    `component` is the index before the event; None stands for the covariance that all share.
    """

    iteration: int
    restart: int
    component: int | None
    kind: Literal["reseeded", "dropped", "pruned", "variance_floored", "regularised"]
    message: str


@dataclass(frozen=True, slots=True)
class CollapseResult:
    """Usable parameters, and what was changed to get them.

    `reseeds` counts for each component that is left how often it was re-seeded; `used_rows` are
    the sample rows used for it; `is_variance_floored` where no covariance was usable, so that a
    floor was added to all variances.
    """

    parameters: Parameters
    reseeds: tuple[int, ...]
    used_rows: tuple[int, ...]
    events: tuple[ComponentEvent, ...] = ()
    is_variance_floored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CollapsePolicy:
    """What to do with lost components.

    Attributes
    ----------
    on_collapse
        `reseed` at the sample's worst explained row, or `drop`.
    sample : (m, d)
        Standardised rows.
    regularisation : (d,)
        Added to the variances in every M-step.
    weights : (m,), optional
        What each row of the sample stands for; None where that is the same of all.
    observed : (m, d) or None
        The sample's rows with NaN where a value is missing, if any is; `sample` has expected ones.
    prunes
        Whether lost components are left out whatever `on_collapse` says.
    least_rows
        A component with fewer rows is lost.
    n_fixed
        The first so many components have given parameters, and are never lost.
    """

    on_collapse: Literal["reseed", "drop"]
    sample: Array
    regularisation: Array
    _: KW_ONLY
    weights: Array | None = None
    observed: Array | None = None
    prunes: bool = False
    least_rows: float = EMPTY_COUNT
    n_fixed: int = 0

    def lost(self, parameters: Parameters, counts: Array) -> NDArray[np.bool_]:
        """Components (k,) that describe nothing and may be replaced."""
        found = lost_components(parameters, counts, self.least_rows)
        found[: self.n_fixed] = False
        return found

    def resolve(
        self,
        estimate: Estimate,
        reseeds: tuple[int, ...],
        used_rows: tuple[int, ...],
        iteration: int,
        restart: int,
        parameters: Parameters | None = None,
    ) -> CollapseResult:
        """Replace what is lost in parameters: by default the estimate's, regularised."""
        if parameters is None:
            parameters = estimate.regularised(self.regularisation)
        lost = self.lost(parameters, estimate.counts)
        if not lost.any():
            return CollapseResult(parameters, reseeds, used_rows)
        if lost.all():
            return self._floor_variances(estimate, reseeds, used_rows, iteration, restart)
        reasons = {k: self._reason(estimate, k, iteration) for k in map(int, np.flatnonzero(lost))}
        reseeds_any = self.on_collapse == "reseed" and not self.prunes
        again = [k for k in reasons if reseeds_any and reseeds[k] < RESEED_LIMIT]
        healthy = _only(parameters, np.flatnonzero(~lost))
        rows = self._worst_rows(healthy, len(again), used_rows)
        again = again[: len(rows)]
        merged = self._with_reseeded(parameters, lost, again, rows, healthy)
        if np.isin(np.flatnonzero(merged.singular), [*again, *np.flatnonzero(~lost)]).any():
            return self._floor_variances(estimate, reseeds, used_rows, iteration, restart)
        left = [k for k in range(len(lost)) if not lost[k] or k in again]
        events = tuple(
            self._event(k, reason, k in again, reseeds[k], iteration, restart)
            for k, reason in reasons.items()
        )
        counts = tuple(reseeds[k] + (k in again) for k in left)
        return CollapseResult(_only(merged, np.array(left)), counts, (*used_rows, *rows), events)

    def _event(
        self, k: int, reason: str, is_reseeded: bool, n_reseeds: int, iteration: int, restart: int
    ) -> ComponentEvent:
        """What became of a lost component, and why it is dropped."""
        if self.prunes:
            message = f"{reason}; pruned: the prior leaves it out"
            return ComponentEvent(iteration, restart, k, "pruned", message)
        if is_reseeded:
            became = "re-seeded"
        elif self.on_collapse == "drop":
            became = "dropped"
        elif n_reseeds >= RESEED_LIMIT:
            became = f"dropped, as it was re-seeded {n_reseeds} times before"
        else:
            became = "dropped, as no row of other values is left to re-seed it at"
        message = f"{reason}; {became}. {_ADVICE}"
        kind: Literal["reseeded", "dropped"] = "reseeded" if is_reseeded else "dropped"
        return ComponentEvent(iteration, restart, k, kind, message)

    def _reason(self, estimate: Estimate, k: int, iteration: int) -> str:
        """In words: which component, how few rows, how small a variance."""
        total = estimate.n_rows
        where = f"component {k} of {len(estimate.counts)}"
        rows = f"{estimate.counts[k]:.3g} of {total:,.0f} rows"
        if estimate.counts[k] < EMPTY_COUNT:
            return f"{where} emptied at iteration {iteration} ({rows})"
        d = estimate.means.shape[1]
        smallest = estimate.family.smallest_eigenvalue(estimate.covariances, k, d)
        return (
            f"{where} collapsed at iteration {iteration}: smallest eigenvalue of its covariance "
            f"{smallest:.2g} in standardised units ({rows})"
        )

    def _worst_rows(
        self, healthy: Parameters, wanted: int, used: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Sample rows of lowest log density, worst first; none equal to one taken before."""
        if not wanted:
            return ()
        log_density = self._log_density(healthy)
        seen, taken = {self._values(row) for row in used}, list[int]()
        for row in map(int, np.argsort(log_density, kind="stable")):
            if len(taken) == wanted:
                break
            if (values := self._values(row)) not in seen:
                seen.add(values)
                taken.append(row)
        return tuple(taken)

    def _log_density(self, healthy: Parameters) -> Array:
        """Of each row of the sample; completed, that rows which lack values compare with others."""
        if self.observed is None:
            return Scorer(healthy).log_density(self.sample.T)
        return MarginalScorer(healthy).completed_log_density(self.observed.T)

    def _values(self, row: int) -> bytes:
        """What equal rows have in common; 0 and −0 are equal."""
        values: Array = self.sample[row] + 0.0
        return values.tobytes()

    def _with_reseeded(
        self,
        parameters: Parameters,
        lost: NDArray[np.bool_],
        again: list[int],
        rows: tuple[int, ...],
        healthy: Parameters,
    ) -> Parameters:
        """Put re-seeded components at their rows, with the pooled covariance and weight 1/k."""
        family, k = parameters.family, parameters.n_components
        weights = np.where(lost, 0.0, parameters.weights)
        share = parameters.gaussian_share
        weights *= share * (1.0 - len(again) / k) / weights.sum()
        means, covariances = parameters.means.copy(), parameters.covariances
        pooled = family.pooled(healthy.covariances, healthy.weights)
        for j, row in zip(again, rows, strict=True):
            weights[j] = share / k
            means[j] = self.sample[row]
            covariances = family.replaced(covariances, j, pooled)
        return Parameters.of(family, weights, means, covariances, parameters.noise)

    def _floor_variances(
        self,
        estimate: Estimate,
        reseeds: tuple[int, ...],
        used_rows: tuple[int, ...],
        iteration: int,
        restart: int,
    ) -> CollapseResult:
        """Nothing healthy is left: floor the variances rather than end the run."""
        family, k = estimate.family, len(estimate.counts)
        moves = np.ptp(self.sample, axis=0) > 0
        variances = weighted_variance(self.sample, self.weights)
        floor = FLOOR * np.where(moves, variances, 1.0)
        centre = weighted_mean(self.sample, self.weights)
        means = np.where(np.isfinite(estimate.means), estimate.means, centre)
        covariances = np.where(np.isfinite(estimate.covariances), estimate.covariances, 0.0)
        floored = family.regularised(covariances, self.regularisation + floor)
        counts = np.maximum(estimate.counts, EMPTY_COUNT)
        parameters = replace(estimate, counts=counts, means=means).parameters(floored)
        message = f"no component has a usable covariance: {FLOOR:g} of each variance is added"
        events = tuple(
            ComponentEvent(iteration, restart, j, "variance_floored", f"{subject}: {message}")
            for j, subject in covariances_of(family, k)
        )
        return CollapseResult(parameters, reseeds, used_rows, events, is_variance_floored=True)


def covariances_of(family: Family, k: int) -> Iterator[tuple[int | None, str]]:
    """Each covariance of k components: whose it is (None: all share it), and that in words."""
    if family.is_shared:
        yield None, f"the covariance of all {k} components"
    else:
        yield from ((j, f"component {j} of {k}") for j in range(k))


def lost_components(
    parameters: Parameters, counts: Array, least_rows: float = EMPTY_COUNT
) -> NDArray[np.bool_]:
    """Components (k,) that describe nothing: singular, on one point, or without rows."""
    return parameters.singular | _on_one_point(parameters) | (counts < least_rows)


def _only(parameters: Parameters, components: NDArray[np.intp]) -> Parameters:
    """Some of the components, weights summing to 1; the noise keeps its own."""
    weights = parameters.weights[components]
    return Parameters.of(
        parameters.family,
        weights / weights.sum() * parameters.gaussian_share,
        parameters.means[components],
        parameters.family.take(parameters.covariances, components),
        parameters.noise,
    )


def _on_one_point(parameters: Parameters) -> NDArray[np.bool_]:
    """Components (k,) with a variance below what rounding makes of equal rows at their mean.

    A mean that float64 cannot hold leaves such a variance; it would shrink for many iterations
    before it is exactly 0.
    """
    least = _RESOLUTION**2 * (parameters.means**2 + 1.0)
    return np.asarray((parameters.variances <= least).any(axis=1))
