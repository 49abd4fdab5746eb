"""Mixtures of all classes, fitted in the same passes: one read of a block feeds every class.

Those of folds, which leave out a part of the rows, are fitted in these passes too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.classed_dataset import ClassedDataset
from dgmm.errors import ComponentError
from dgmm.events import Listener
from dgmm.execution.threads import in_this_process
from dgmm.fitting.classes.class_preparation import (
    Part,
    PreparedClasses,
    few_rows_warning,
    prepare_classes,
)
from dgmm.fitting.classes.class_rows import ClassRows
from dgmm.fitting.classes.class_settings import ClassSettings
from dgmm.fitting.classes.mixtures_listener import PassListener, StartsListener, part_of
from dgmm.fitting.classes.part_words import together, which
from dgmm.fitting.classes.shrinkage import (
    chosen_shrinkage,
    is_due,
    with_shrinkage,
)
from dgmm.fitting.classes.starts_together import StartsTogether
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS, PartProgress, SavedProgress
from dgmm.fitting.em.state import EMProblem, FitCandidate
from dgmm.fitting.fit import fitted_model
from dgmm.fitting.iterate import Iterations
from dgmm.fitting.model_start import ModelStart, Starter
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.shrinkage import Shrinkage
from dgmm.model.classifier import Classifier, ClassName
from dgmm.outcome import Outcome
from dgmm.reduction.executor import Executor
from dgmm.terminal_text import quoted


@dataclass(frozen=True, slots=True, eq=False)
class FittedClass:
    """The mixture of one class.

    Attributes
    ----------
    n_rows
        Rows it was fitted to.
    chosen
        Where EM ended from the best start.
    """

    n_rows: int
    chosen: FitCandidate

    @property
    def outcome(self) -> Outcome:
        """How EM ended."""
        return self.chosen.outcome or Outcome.MAX_ITER_REACHED


@dataclass(frozen=True, slots=True, eq=False)
class FittedClasses:
    """What a fit of classes leaves.

    Attributes
    ----------
    classifier
        Fitted to all rows of known classes.
    folds
        Fitted to those outside of each fold.
    classes
        How the mixtures of `classifier` came about.
    prepared
        What they were fitted with.
    candidates
        Where EM led, folds included.
    warnings
        What a user was told before EM.
    ends
        How mixtures ended that did not converge, those of folds too, in words.
    n_passes
        Passes of EM over all rows.
    shrinkage
        What is added to variances because classes have few rows; None where that was not chosen.
    """

    classifier: Classifier
    folds: tuple[Classifier, ...]
    classes: tuple[FittedClass, ...]
    prepared: PreparedClasses
    candidates: tuple[FitCandidate, ...]
    warnings: tuple[str, ...]
    ends: tuple[str, ...]
    n_passes: int
    shrinkage: Shrinkage | None = None

    @property
    def outcome(self) -> Outcome:
        """The first end without convergence, or how the first class ended."""
        ends = [one.outcome for one in self.classes]
        return next((end for end in ends if not end.has_converged), ends[0])


def fit_classes(
    dataset: ClassedDataset,
    executor: Executor,
    settings: FitSettings,
    asked: ClassSettings,
    names: Sequence[ClassName],
    listener: Listener,
    progress: SavedProgress = NO_SAVED_PROGRESS,
) -> FittedClasses:
    """Fit a mixture to the rows of each class.

    Parameters
    ----------
    dataset, executor
        The rows with their classes, and where passes over them run.
    settings
        What each mixture is.
    asked
        Priors and folds.
    names
        Of the classes, by code.
    listener
        Hears stages, iterations and warnings.
    progress
        Keeps what is done, and knows what an earlier attempt at this very fit has done.

    Raises
    ------
    DataError
        If the data cannot be fitted, or a class has too few rows.
    ComponentError
        If every start of a class fails.
    """
    words, shown = [str(name) for name in names], [quoted(name) for name in names]
    listener.stage("summary", f"{dataset.n_samples:,} rows of {len(names)} classes")
    prepared = prepare_classes(dataset, executor, settings, shown, progress)
    priors = asked.of(words, prepared.n_rows)
    shrinkage = None
    if is_due(prepared, settings):
        listener.stage("shrinkage", "what is added to variances, by held-out rows of the sample")
        with in_this_process(executor) as here:
            own = prepared
            shrinkage = progress.once("shrinkage", lambda: chosen_shrinkage(own, settings, here))
        prepared = with_shrinkage(prepared, shrinkage.share, settings.reg_covar)
    warnings = _warnings(prepared, settings, shown, shrinkage)
    for text in warnings:
        listener.warning(text)
    folds = f" and {dataset.n_folds} folds" if dataset.n_folds else ""
    many = f"{len(names)} classes{folds}: {len(prepared.parts):,} mixtures"
    listener.stage("initialisation", f"{settings.method} for {many}")
    begun = _begun(dataset, executor, settings, prepared, shown, listener, progress)
    listener.stage("em", f"{many} in the same passes")
    going = _fitted(dataset, executor, prepared, begun, shown, listener, progress)
    found = _Found(dataset, begun, _by_part(going.candidates), tuple(names), shown)
    fitted = [found.best(Part(label)) for label in range(len(names))]
    of_folds = tuple(found.classifier(priors, fold) for fold in range(dataset.n_folds))
    return FittedClasses(
        *(found.classifier(priors), of_folds, tuple(fitted), prepared, going.candidates),
        warnings=warnings,
        ends=tuple(found.ends()),
        n_passes=going.n_passes,
        shrinkage=shrinkage,
    )


def _remedy(outcome: Outcome) -> str:
    """What to do about an end; another start parts no components that shrinkage made equal."""
    if outcome is Outcome.DEGENERATE_START:
        return "components are equal: lower model.n_components"
    return str(outcome.value)


def _warnings(
    prepared: PreparedClasses,
    settings: FitSettings,
    names: Sequence[str],
    shrinkage: Shrinkage | None,
) -> tuple[str, ...]:
    """What is said of the data and of classes of few rows."""
    few = few_rows_warning(prepared, settings, names)
    shrunk = None if shrinkage is None else shrinkage.describe("classes have")
    return (*prepared.labelled.warnings, *(text for text in (few, shrunk) if text))


def _fitted(
    dataset: ClassedDataset,
    executor: Executor,
    prepared: PreparedClasses,
    begun: Mapping[Part, ModelStart],
    names: Sequence[str],
    listener: Listener,
    progress: SavedProgress,
) -> Iterations:
    """EM of all mixtures, to its end."""
    whole = _accounting(prepared)
    starts = tuple(c for one in begun.values() for c in one.candidates)
    heard = PassListener(listener, names, dataset.n_samples)
    going = Iterations(dataset, executor, whole, heard, progress, starts, passed=heard.passed)
    problems = {part: _of_own_rows(part, one) for part, one in begun.items()}
    going.run({c.id: problems[part_of(c.id)] for c in going.candidates})
    heard.end()
    return going


def _by_part(candidates: Sequence[FitCandidate]) -> dict[Part, list[FitCandidate]]:
    found: dict[Part, list[FitCandidate]] = {}
    for candidate in candidates:
        found.setdefault(part_of(candidate.id), []).append(candidate)
    return found


def _accounting(prepared: PreparedClasses) -> PreparedFit:
    """What passes account for: all rows, those of no known class included."""
    return replace(prepared.labelled, summary=prepared.whole)


def _of_own_rows(part: Part, begun: ModelStart) -> EMProblem:
    """The problem of a mixture over all rows, of which it sees its own."""
    return replace(begun.prepared.problem, rows=ClassRows(part.label, part.held_out))


def _begun(
    dataset: ClassedDataset,
    executor: Executor,
    settings: FitSettings,
    prepared: PreparedClasses,
    names: Sequence[str],
    listener: Listener,
    progress: SavedProgress,
) -> dict[Part, ModelStart]:
    """Starts of every mixture, saved together: a file for each would take longer than they do."""
    found: dict[Part, ModelStart] = {}

    def begin(saved: StartsTogether) -> dict[str, Any]:
        heard = StartsListener(listener, names, len(prepared.parts))
        with in_this_process(executor) as here:
            for part, own in prepared.parts.items():
                heard.begins(part)
                state = PartProgress(saved, part.name)
                starter = Starter(dataset, executor, here, heard, state)
                identity = CandidateId(fold=part.held_out, label=part.label)
                try:
                    found[part] = starter.start(own, settings, identity)
                except ComponentError as error:
                    raise ComponentError(f"{which([part], names)}: {error}") from error
        heard.end()
        return saved.values

    values = progress.once("class-starts", lambda: begin(StartsTogether({})))
    if not found:
        begin(StartsTogether(values))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Where EM led, as classifiers."""

    dataset: ClassedDataset
    begun: Mapping[Part, ModelStart]
    candidates: Mapping[Part, Sequence[FitCandidate]]
    names: tuple[ClassName, ...]
    words: Sequence[str]

    def best(self, part: Part) -> FittedClass:
        """The best candidate of a mixture.

        Raises
        ------
        ComponentError
            If none is usable.
        """
        prepared = self.begun[part].prepared
        chosen = em.best(tuple(self.candidates[part]), prepared.n_rows_ranked)
        if chosen.outcome is not None and not chosen.outcome.is_usable:
            raise ComponentError(
                f"{which([part], self.words)}: {chosen.outcome.name}: {chosen.outcome.value}"
            )
        return FittedClass(prepared.summary.n_kept, chosen)

    def ends(self) -> list[str]:
        """How mixtures ended that did not converge: a line for each outcome."""
        every = ((part, self.best(part).outcome) for part in self.begun)
        said = [(p, f"{end.name}: {_remedy(end)}") for p, end in every if not end.has_converged]
        return together(said, self.words)

    def classifier(self, priors: NDArray[np.float64], fold: int | None = None) -> Classifier:
        """The classifier of all rows, or of those outside a fold."""
        parts = [Part(label, fold) for label in range(len(self.names))]
        mixtures = tuple(
            fitted_model(self.dataset, self.begun[part].prepared, self.best(part).chosen)
            for part in parts
        )
        return Classifier(self.names, priors, mixtures)
