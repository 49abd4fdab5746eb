"""Preparation of a fit, from one read of the data: counts, ranges, a sample, units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.counted_weights import CountedWeights
from dgmm.data.summary.repeated_values import RepeatedValue, repeated_values
from dgmm.data.summary.summarise import Summary, summarise
from dgmm.data.summary.weight_summary import WeightSummary
from dgmm.execution.threads import in_this_process
from dgmm.fitting.choice_of_inference import with_inference
from dgmm.fitting.conditional_fill import ConditionalFill, fitted_fill
from dgmm.fitting.em.collapse import CollapsePolicy
from dgmm.fitting.em.regularisation import regularisation_of
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS, PartProgress, SavedProgress
from dgmm.fitting.em.state import EMProblem
from dgmm.fitting.missing_cost import MissingCost, require_accepted
from dgmm.fitting.noise_start import noise_of_sample
from dgmm.fitting.preparation_checks import (
    check_range,
    check_sizes,
    compiling_warnings,
    preparation_warnings,
)
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.sampled_values import carried, measurable
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.weighing import warnings_of_weights
from dgmm.mixture.backends import get, select
from dgmm.mixture.covariance import Family, family_named
from dgmm.mixture.kernels import Guard
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.blocks import BlockGrid
from dgmm.reduction.executor import Executor
from dgmm.runtime.environment import all_compile_alike

Array = NDArray[np.float64]

#: The sample for starts: this many rows or this many a component, within this many bytes.
_SAMPLE_ROWS, _SAMPLE_ROWS_PER_COMPONENT, _SAMPLE_BYTES = 100_000, 100, 256 * 1024 * 1024


def sample_rows(settings: FitSettings, n_features: int) -> int:
    """Rows of the sample: max(100,000, 100·k), at most 256 MiB of float64, at least 1000.

    A function of the job and the data alone, never of the cluster: the bits of the start follow it.
    """
    if settings.sample_rows is not None:
        return settings.sample_rows
    wanted = max(_SAMPLE_ROWS, _SAMPLE_ROWS_PER_COMPONENT * settings.n_components)
    return max(min(wanted, _SAMPLE_BYTES // (8 * n_features)), 1000)


def selected_backend(settings: FitSettings, grid: BlockGrid, *, is_everywhere: bool) -> str:
    """The backend of a fit's passes; `is_everywhere` says whether all have the same Numba.

    Raises
    ------
    UnavailableError
        If Numba is wanted and cannot be used everywhere.
    """
    width = family_named(settings.covariance_type).width(grid.n_features)
    numbers = grid.n_samples * (settings.n_components + width)
    return select(settings.backend, numbers, is_everywhere=is_everywhere)


def prepare(
    dataset: Dataset,
    executor: Executor,
    settings: FitSettings,
    progress: SavedProgress = NO_SAVED_PROGRESS,
    weights: WeightSummary | None = None,
) -> PreparedFit:
    """Read all rows once: units, regularisation and guard of the fit.

    `weights` is what their own read has found of the rows' weights, where they have any. Raises as
    `prepare_models`.
    """
    return prepare_models(dataset, executor, (settings,), progress, weights)[0]


def prepare_models(
    dataset: Dataset,
    executor: Executor,
    models: Sequence[FitSettings],
    progress: SavedProgress = NO_SAVED_PROGRESS,
    weights: WeightSummary | None = None,
) -> tuple[PreparedFit, ...]:
    """Read all rows once for several models, which differ in size and family alone.

    What two models have in common is one object: the summary, units, rows of the sample. The
    sample is that of the largest model; where that has as many rows as a model's own would have,
    what is prepared for a model is what its fit alone is prepared with.

    Raises
    ------
    DataError
        If the data cannot be fitted (missing values, fewer rows than components).
    JobFileError
        If missing values make passes too slow, and that is not accepted.
    """
    largest = max(models, key=lambda model: model.n_components)
    steps = PreparationSteps(dataset, executor, largest, progress, is_alone=len(models) == 1)
    check_sizes(dataset.n_samples, largest)
    summary = steps.summary(weights)
    check_sizes(summary.n_kept, largest)
    costs = [steps.missing_cost(summary, model) for model in models]
    if known := [cost for cost in costs if cost is not None]:
        highest = max(known, key=lambda cost: cost.factor)
        require_accepted(highest, is_accepted=largest.accept_cost)
    kinds: dict[tuple[str, str], PreparedFit] = {}
    found = []
    for model, cost in zip(models, costs, strict=True):
        family = family_named(model.covariance_type)
        backend = steps.backend(model)
        kind = family.name, backend
        if kind not in kinds:
            kinds[kind] = steps.prepared(summary, family, backend, weights)
        found.append(with_inference(replace(kinds[kind], missing_cost=cost), model))
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class PreparationSteps:
    """The steps of preparation whose results are saved, or which may refuse the data.

    `settings` are those of the largest model, in all but size and family those of every one;
    `is_alone` where it is the only one. `known` has what models of several families share.
    """

    dataset: Dataset
    executor: Executor
    settings: FitSettings
    progress: SavedProgress
    is_alone: bool = True
    known: dict[bool, tuple[Standardisation, Array, Array]] = field(default_factory=dict)

    def _part(self, name: str) -> PartProgress:
        return PartProgress(self.progress, "" if self.is_alone else name)

    def prepared(
        self, summary: Summary, family: Family, backend: str, weights: WeightSummary | None
    ) -> PreparedFit:
        """What models of one family have in common."""
        dataset, settings = self.dataset, self.settings
        units, rows, sample = self._in_units(summary, family)
        regularisation, floored = self.regularisation(summary, family, units, sample)
        problem = problem_of(dataset, settings, summary, units, sample, regularisation)
        counts_are_rows = weights is not None and weights.kind == "counts"
        own = "" if self.is_alone else backend
        problem = replace(problem, counts_are_rows=counts_are_rows, backend=own)
        repeated = self.repeated_values(summary, units)
        counted = None if weights is None else CountedWeights.of(weights, summary)
        warnings = (
            *warnings_of_weights(counted, dataset, settings),
            *preparation_warnings(dataset, settings, family, summary, units, repeated),
            *floored,
            *compiling_warnings(backend),
        )
        prepared = PreparedFit(
            *(family, summary, units, sample, problem, backend, warnings, repeated),
            weights=counted,
            noise=self.noise(sample, summary),
        )
        if not summary.n_partial:
            return prepared
        return filled(prepared, rows, self.executor, self._part(f"{family.name}-{backend}"))

    def _in_units(self, summary: Summary, family: Family) -> tuple[Standardisation, Array, Array]:
        """Units, and the sample in them: as observed, and without gaps."""
        if (found := self.known.get(family.common_scale)) is None:
            units = self.standardisation(summary, family)
            rows = units.apply_to_sample(summary.sample)
            sample = carried(rows, summary, units) if summary.n_partial else rows
            found = self.known[family.common_scale] = units, rows, sample
        return found

    def summary(self, weights: WeightSummary | None) -> Summary:
        """The one read of all rows."""
        settings, dataset = self.settings, self.dataset

        def read() -> Summary:
            return summarise(
                dataset,
                self.executor,
                missing=settings.missing,
                sample_rows=sample_rows(settings, dataset.n_features),
                seed=settings.seed,
                of_pass=self.progress.of_pass,
                weights=weights,
            )

        return self.progress.once("summary", read)

    def backend(self, model: FitSettings) -> str:
        """Numba only where driver and workers have the same: bits follow it."""

        def selected() -> str:
            alike = all_compile_alike(self.executor.environment())
            return selected_backend(model, self.dataset.grid, is_everywhere=alike)

        # Its name on disk: checkpoints of earlier versions have it too.
        return self._part(model.name).once("arithmetic", selected)

    def missing_cost(self, summary: Summary, model: FitSettings) -> MissingCost | None:
        """What missing values cost a model's passes; None where there are none."""
        if summary.patterns is None or not summary.n_partial:
            return None
        n_missing = float(summary.n_nan.sum()) - summary.n_empty * self.dataset.n_features
        takes_rows = get(self.backend(model)).takes_rows
        lacks = n_missing / summary.n_partial if takes_rows else None
        family, k = family_named(model.covariance_type), model.n_components
        return MissingCost.of(family, k, summary.patterns, self.dataset.grid, by_row=lacks)

    def standardisation(self, summary: Summary, family: Family) -> Standardisation:
        """The units of the fit, in which no row is too far out."""

        def measured() -> Standardisation:
            known = measurable(summary)
            return Standardisation.from_sample(
                known.values,
                self.dataset.dtype,
                common_scale=family.common_scale,
                weights=known.weights,
            )

        name = "common-scale" if family.common_scale else "own-scales"
        units = self._part(name).once("standardisation", measured)
        check_range(summary, units, self.dataset)
        return units

    def regularisation(
        self, summary: Summary, family: Family, units: Standardisation, sample: Array
    ) -> tuple[Array, list[str]]:
        """What is added to the variances (d,), and what a user should know of it."""
        return self._part(family.name).once(
            "regularisation",
            lambda: regularisation_of(
                family,
                units,
                sample,
                reg_covar=self.settings.reg_covar,
                reg_covar_relative=self.settings.reg_covar_relative,
                weights=summary.sample_weights,
            ),
        )

    def noise(self, sample: Array, summary: Summary) -> Noise | None:
        """What the noise begins with; None where none is asked for."""
        if not self.settings.noise:
            return None
        return noise_of_sample(sample, summary.sample_weights, self.dataset.feature_names)

    def repeated_values(
        self, summary: Summary, units: Standardisation
    ) -> tuple[RepeatedValue, ...]:
        """Values that many rows share, and cells equal to the array's fill value."""
        fill_value = self.dataset.fill_value
        value = None if fill_value is None else fill_value.value
        return repeated_values(summary, units.is_constant, value)


def filled(
    prepared: PreparedFit, rows: Array, executor: Executor, progress: SavedProgress
) -> PreparedFit:
    """The sample with expected values, under one Gaussian, where rows lack some."""
    stand_ins, problem = prepared.sample, prepared.problem

    def fitted() -> Parameters:
        with in_this_process(executor) as here:
            family, backend = prepared.family, prepared.backend
            weights = prepared.summary.sample_weights
            return fitted_fill(rows, stand_ins, weights, family, problem, backend, here).gaussian

    fill = ConditionalFill(progress.once("one-gaussian", fitted))
    sample = fill.rows(rows)
    policy = replace(problem.collapse, sample=sample, observed=rows)
    problem = replace(problem, collapse=policy)
    return replace(prepared, sample=sample, problem=problem, observed=rows, fill=fill)


def problem_of(
    dataset: Dataset,
    settings: FitSettings,
    summary: Summary,
    standardisation: Standardisation,
    sample: Array,
    regularisation: Array,
) -> EMProblem:
    """What all candidates have in common, of a sample in standardised units."""
    low = standardisation.means_from_user(summary.minimum)
    high = standardisation.means_from_user(summary.maximum)
    return EMProblem(
        tol=settings.tol,
        max_iter=settings.max_iter,
        collapse=CollapsePolicy(
            settings.on_collapse, sample, regularisation, weights=summary.sample_weights
        ),
        guard=Guard.of_range(low, high),
        standardisation=standardisation,
        single=dataset.dtype == np.float32,
        log_volume=float((np.log(standardisation.scale) * summary.observed_shares).sum()),
        acceleration=settings.acceleration,
        marginalises=summary.n_partial > 0,
    )
