"""What a job costs before it is fitted: its models, and missing values once rows are prepared."""

from __future__ import annotations

from dgmm.config import Job
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.summary.missing_counts import MissingCounts
from dgmm.errors import JobFileError, UnavailableError
from dgmm.fitting.missing_cost import MissingCost, require_accepted
from dgmm.fitting.preparation import selected_backend
from dgmm.fitting.settings import FitSettings
from dgmm.ingest.prepare import counted_missing
from dgmm.job.fit_settings import fit_settings
from dgmm.mixture.backends import get
from dgmm.mixture.covariance import family_named
from dgmm.reduction.blocks import BlockGrid
from dgmm.reduction.executor import Executor
from dgmm.runtime.environment import all_compile_alike, process_environment

#: Models of one job that are fitted without being asked for twice.
MOST_MODELS = 100


def require_few_models(job: Job, *, is_accepted: bool) -> None:
    """Refuse a job of very many models until their cost is accepted.

    Raises
    ------
    JobFileError
        With their number, and what to do.
    """
    if (n := len(job.models) * job.fits_of_a_model) > MOST_MODELS and not is_accepted:
        folds = " with those of selection.folds" if job.fits_of_a_model > 1 else ""
        raise JobFileError(
            f"model.n_components and model.covariance_type ask for {n:,} models{folds}, and the "
            "time of a pass grows with each: look at what `dgmm plan` says, then either run the "
            "job with --accept-cost, or ask for fewer, as with n_components: {from: 2, to: 64, "
            "factor: 2}"
        )


def cost_of(
    job: Job, counts: MissingCounts, grid: BlockGrid, *, is_everywhere: bool | None = None
) -> MissingCost | None:
    """The cost of a job's passes over rows of which that is known.

    None where nothing is missing, or patterns are not listed. Of several models the highest.

    Parameters
    ----------
    job, counts
        What is fitted, and what its rows lack.
    grid
        How these rows are cut into blocks.
    is_everywhere
        Whether driver and workers have the same Numba; by default whether this process has any.
    """
    if not counts.patterns.n_partial or counts.is_unlisted:
        return None
    if is_everywhere is None:
        is_everywhere = process_environment()["compiled"] is not None
    each = [_cost_of_model(one, counts, grid, is_everywhere) for one in fit_settings(job)]
    return max(each, key=lambda cost: cost.factor)


def _cost_of_model(
    settings: FitSettings, counts: MissingCounts, grid: BlockGrid, is_everywhere: bool
) -> MissingCost:
    try:
        backend = selected_backend(settings, grid, is_everywhere=is_everywhere)
    except UnavailableError:
        backend = "numpy"  # what is missing is for the run to say
    family, k = family_named(settings.covariance_type), settings.n_components
    by_row = counts.lacks if get(backend).takes_rows else None
    return MissingCost.of(family, k, counts.patterns, grid, by_row=by_row)


def known_cost(job: Job, dataset: StoredDataset, executor: Executor) -> MissingCost | None:
    """The cost of a fit whose rows were counted when they were prepared; None where it has none.

    Nor has it one where rows are read in place: what is recorded beside them may be out of date.
    """
    if job.command != "run" or job.data.missing != "marginalise":
        return None
    if not isinstance(dataset, SourceDataset):
        return None
    counts = counted_missing(dataset)
    if counts is None:
        return None
    alike = all_compile_alike(executor.environment())
    return cost_of(job, counts, dataset.grid, is_everywhere=alike)


def require_known_cost_accepted(
    job: Job, dataset: StoredDataset, executor: Executor, *, is_accepted: bool
) -> None:
    """Refuse passes that take too long, where what rows lack was counted when they were prepared.

    Raises
    ------
    CostNotAcceptedError
        If they do, unless that is accepted.
    """
    if (cost := known_cost(job, dataset, executor)) is not None:
        require_accepted(cost, is_accepted=is_accepted)
