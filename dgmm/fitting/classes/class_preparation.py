"""Preparation of the mixtures of all classes, from one read: common units, own samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dgmm.data.classed_dataset import ClassedDataset, cell_counts
from dgmm.data.summary.class_summaries import summarise_classes
from dgmm.data.summary.summarise import Summary
from dgmm.errors import DataError
from dgmm.fitting.choice_of_inference import with_inference
from dgmm.fitting.em.saved_progress import PartProgress, SavedProgress
from dgmm.fitting.preparation import PreparationSteps, filled, problem_of, sample_rows
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.restarts import measured_scales
from dgmm.fitting.sampled_values import carried
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.shrinkage import ROWS_PER_PARAMETER
from dgmm.mixture.covariance import family_named
from dgmm.mixture.criteria import n_parameters
from dgmm.reduction.executor import Executor
from dgmm.terminal_text import listed

#: Rows of a class's sample, at least, and for each of its components.
_FEWEST_SAMPLED, _SAMPLED_PER_COMPONENT = 500, 20
_FEWEST_CLASSES = 2
#: Rows of a class, at least.
_FEWEST_ROWS = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One mixture that is fitted: of a class, on all its rows or on those outside a fold."""

    label: int
    held_out: int | None = None

    @property
    def name(self) -> str:
        """In names of states."""
        fold = "" if self.held_out is None else f"-fold-{self.held_out}"
        return f"class-{self.label}{fold}"


@dataclass(frozen=True, slots=True, eq=False)
class PreparedClasses:
    """What preparation leaves.

    Attributes
    ----------
    whole
        Of all rows, those of no known class included: it accounts for every row.
    labelled
        Of the rows of known classes: their units.
    parts
        What each mixture is fitted with.
    counts : (C + 1, folds)
        Rows of each class and fold, dropped ones included; the last row: of no known class.
    """

    whole: Summary
    labelled: PreparedFit
    parts: dict[Part, PreparedFit]
    counts: NDArray[np.int64]

    @property
    def n_unknown(self) -> int:
        """Rows of no known class."""
        return int(self.counts[-1].sum())

    @property
    def n_rows(self) -> NDArray[np.int64]:
        """Rows of each class that count, (C,)."""
        own = (self.parts[Part(label)] for label in range(len(self.counts) - 1))
        return np.array([one.summary.n_kept for one in own], np.int64)


def prepare_classes(
    dataset: ClassedDataset,
    executor: Executor,
    settings: FitSettings,
    names: Sequence[str],
    progress: SavedProgress,
) -> PreparedClasses:
    """Read all rows once: units of all classes, and sample and problem of each mixture.

    Raises
    ------
    DataError
        If the data cannot be fitted, there are fewer than two classes, or one has too few rows: it
        is named.
    """
    if (n_classes := len(names)) < _FEWEST_CLASSES:
        raise DataError(
            f"the rows have {n_classes} class ({listed(names, 1)}); expected at least "
            f"{_FEWEST_CLASSES} that classes.unknown does not list"
        )
    counts = progress.once("class-counts", lambda: cell_counts(dataset, n_classes))
    _require_rows(dict(zip(names, counts[:-1].sum(axis=1).tolist(), strict=True)), settings)
    summaries = summarise_classes(
        dataset,
        executor,
        counts,
        missing=settings.missing,
        sample_rows=_sample_rows(settings, dataset.n_features, n_classes),
        seed=settings.seed,
        of_pass=progress.of_pass,
        saved=lambda read: progress.once("class-summaries", read),
    )
    labelled = _labelled(dataset, executor, settings, summaries.labelled, progress)
    found = {
        part: summaries.of_class(part.label, part.held_out)
        for part in _parts(n_classes, dataset.n_folds)
    }
    _require_rows_outside_folds(found, settings, names)
    parts = {}
    for part, summary in found.items():
        if summary is not None:
            _check_values(summary, dataset, part, names[part.label])
            own = PartProgress(progress, part.name)
            parts[part] = _prepared(dataset, executor, settings, labelled, summary, own)
    return PreparedClasses(summaries.whole, labelled, parts, counts)


def _parts(n_classes: int, n_folds: int) -> list[Part]:
    """All classes on all their rows, then all of every fold."""
    folds = (None, *range(n_folds))
    return [Part(label, fold) for fold in folds for label in range(n_classes)]


def _sample_rows(settings: FitSettings, n_features: int, n_classes: int) -> tuple[int, int]:
    """Rows of the sample of all classes, and of each."""
    whole = sample_rows(settings, n_features)
    least = max(_FEWEST_SAMPLED, _SAMPLED_PER_COMPONENT * settings.n_components)
    return whole, max(whole // n_classes, least)


def _labelled(
    dataset: ClassedDataset,
    executor: Executor,
    settings: FitSettings,
    summary: Summary,
    progress: SavedProgress,
) -> PreparedFit:
    """The rows of all known classes: their units, and what is added to variances in them."""
    steps = PreparationSteps(dataset, executor, settings, progress)
    family = family_named(settings.covariance_type)
    prepared = steps.prepared(summary, family, steps.backend(settings), None)
    return replace(prepared, distance_scales=measured_scales(prepared))


def _prepared(
    dataset: ClassedDataset,
    executor: Executor,
    settings: FitSettings,
    labelled: PreparedFit,
    summary: Summary,
    progress: SavedProgress,
) -> PreparedFit:
    """A mixture's data in the units of all classes."""
    units = labelled.standardisation
    rows = units.apply_to_sample(summary.sample)
    sample = carried(rows, summary, units) if summary.n_partial else rows
    problem = problem_of(dataset, settings, summary, units, sample, labelled.regularisation)
    prepared = replace(
        labelled,
        summary=summary,
        sample=sample,
        problem=problem,
        warnings=(),
        observed=None,
        fill=None,
        missing_cost=None,
    )
    if summary.n_partial:
        prepared = filled(prepared, rows, executor, PartProgress(progress))
    return with_inference(prepared, settings)


def _check_values(summary: Summary, dataset: ClassedDataset, part: Part, name: str) -> None:
    """Refuse a class that has no value of a feature."""
    where = "" if part.held_out is None else f" outside fold {part.held_out}"
    if summary.observed is not None and (summary.observed == 0).any():
        lacking = (dataset.feature_names[i] for i in np.flatnonzero(summary.observed == 0))
        raise DataError(
            f"class {name}{where} has no value at all of {listed(lacking, 6)}: leave such features "
            "out, or the class"
        )


def _require_rows_outside_folds(
    found: Mapping[Part, Summary | None], settings: FitSettings, names: Sequence[str]
) -> None:
    """Refuse classes with too few rows that count, of all folds, or outside of one."""
    for fold in dict.fromkeys(part.held_out for part in found):
        rows = {
            names[part.label]: 0 if summary is None else summary.n_kept
            for part, summary in found.items()
            if part.held_out == fold
        }
        _require_rows(rows, settings, fold)


def _require_rows(
    n_rows: Mapping[str, int], settings: FitSettings, fold: int | None = None
) -> None:
    """Refuse classes with fewer rows than components, or than a covariance needs: all at once."""
    k = settings.n_components
    few = {name: n for name, n in n_rows.items() if n < max(k, _FEWEST_ROWS)}
    if not few:
        return
    where = "" if fold is None else f" outside fold {fold}"
    named = listed((f"{name} ({n:,})" for name, n in few.items()), 12)
    have = f"class {named} has" if len(few) == 1 else f"{len(few):,} classes have"
    which = "" if len(few) == 1 else f": {named}"
    needed = f"{max(k, _FEWEST_ROWS)} rows with values and a known class, "
    needed += f"one for each of {k} components" if k > 1 else "as a covariance needs"
    lower = "Lower model.n_components, leave" if k > _FEWEST_ROWS else "Leave"
    folds = "" if fold is None else ", hold out no fold or smaller ones (classes.folds)"
    them = "the class" if len(few) == 1 else "such classes"
    raise DataError(
        f"{have} too few rows{where}{which}; expected at least {needed}. {lower} {them} out "
        f"(classes.unknown){folds}, or give {'it' if len(few) == 1 else 'them'} more rows"
    )


def few_rows_warning(
    prepared: PreparedClasses, settings: FitSettings, names: Sequence[str]
) -> str | None:
    """Which classes have fewer rows than ten for each free parameter, in words."""
    d = len(prepared.whole.minimum)
    free = n_parameters(family_named(settings.covariance_type), settings.n_components, d)
    counts = prepared.n_rows
    few = [i for i in range(len(names)) if counts[i] < ROWS_PER_PARAMETER * free]
    if not few:
        return None
    each = listed((f"{names[i]} ({counts[i]:,})" for i in few), 12)
    has_folds = any(part.held_out is not None for part in prepared.parts)
    judge = "" if has_folds else ", or judge it by rows that were held out (classes.folds)"
    return (
        f"{len(few)} of {len(names)} classes have fewer than {ROWS_PER_PARAMETER} rows for each "
        f"of the {free:,} free parameters of their mixture: {each}. Lower model.n_components, "
        f"choose a covariance_type of fewer parameters{judge}"
    )
