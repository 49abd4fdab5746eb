"""The first read of a fit whose rows have weights: the weights alone, and what EM makes of them."""

from __future__ import annotations

from dgmm.data.dataset import Dataset
from dgmm.data.summary.counted_weights import CountedWeights, weight_warnings
from dgmm.data.summary.weight_summary import WeightSummary, weigh
from dgmm.data.weighted_dataset import WeightedDataset
from dgmm.events import Listener
from dgmm.fitting.em.saved_progress import SavedProgress
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import family_named
from dgmm.mixture.criteria import n_parameters
from dgmm.reduction.executor import Executor


def weighed(
    dataset: Dataset,
    executor: Executor,
    settings: FitSettings,
    listener: Listener,
    progress: SavedProgress,
) -> tuple[Dataset, WeightSummary | None]:
    """The rows as they are fitted, and what is known of their weights; None where they have none.

    Raises
    ------
    DataError
        If what are given as weights are none.
    """
    if not isinstance(dataset, WeightedDataset):
        return dataset, None
    rows, k = dataset, settings.n_components
    listener.stage("weights", f"{rows.n_samples:,} weights, of the kind {rows.kind}")
    summary = progress.once("weights", lambda: weigh(rows, executor, k, progress.of_pass))
    return in_fitted_units(rows, summary), summary


def in_fitted_units(dataset: WeightedDataset, summary: WeightSummary) -> Dataset:
    """The rows with the weights that EM works with: importance weights have the mean 1.

    Rows that all weigh 1 are rows without weights.
    """
    if summary.is_uniform and not summary.n_weightless and summary.largest.weight == summary.unit:
        return dataset.rows
    return dataset.in_units_of(summary.unit, summary.fitted_total)


def measured(dataset: Dataset, executor: Executor) -> Dataset:
    """The rows as they were fitted, for those who score them again."""
    if not isinstance(dataset, WeightedDataset):
        return dataset
    return in_fitted_units(dataset, weigh(dataset, executor, n_components=1))


def warnings_of_weights(
    counted: CountedWeights | None, dataset: Dataset, settings: FitSettings
) -> tuple[str, ...]:
    """What a user should know of the weights."""
    if counted is None:
        return ()
    family = family_named(settings.covariance_type)
    free = n_parameters(family, settings.n_components, dataset.n_features, noise=settings.noise)
    return tuple(weight_warnings(counted, free, dataset))
