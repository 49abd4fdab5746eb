"""Where EM over all rows begins for one model: starts are drawn, tried on the sample, selected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from dgmm.data.dataset import Dataset
from dgmm.events import Listener
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.saved_progress import SavedProgress
from dgmm.fitting.em.solver import EMSolver
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.initialisation import reads_all_rows
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.restarts import (
    Starts,
    StartTransform,
    UserStart,
    n_starts,
    starts_on_sample,
    starts_over_all_rows,
)
from dgmm.fitting.sample_em import SampleEM
from dgmm.fitting.sample_trials import Selection, Trial
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.warm_start import LastFit
from dgmm.reduction.executor import Executor


@dataclass(frozen=True, slots=True, eq=False)
class ModelStart:
    """One model before EM over all rows.

    Attributes
    ----------
    settings, prepared
        What is asked for, and the data as its fit sees them.
    candidates
        One for each start that goes to all rows.
    failed
        Why restarts without any start failed.
    trials
        What became of the starts on the sample.
    """

    settings: FitSettings
    prepared: PreparedFit
    candidates: tuple[FitCandidate, ...]
    failed: dict[int, str]
    trials: tuple[Trial, ...]

    @property
    def identity(self) -> CandidateId:
        """What all candidates of the model have in common."""
        return replace(self.candidates[0].id, restart=0, start="")


@dataclass(frozen=True, slots=True, eq=False)
class Starter:
    """Makes starts of models of one data set.

    Attributes
    ----------
    dataset, executor, here
        The rows, where passes over them run, and what runs tasks in this process.
    listener, progress
        Hears stages; saves what is done.
    given, adjust
        A start of the caller, and what is applied to every drawn start.
    """

    dataset: Dataset
    executor: Executor
    here: Executor
    listener: Listener
    progress: SavedProgress
    given: UserStart | None = None
    adjust: StartTransform | None = None

    def start(
        self, prepared: PreparedFit, settings: FitSettings, identity: CandidateId
    ) -> ModelStart:
        """Starts of every restart, and a candidate for each that goes to all rows.

        `identity` tells the model's candidates from those of other models.
        """
        listener, progress = self.listener, self.progress
        which = _which(settings, identity)
        sample_em = SampleEM.of(prepared, settings, is_adjusted=self.adjust is not None)
        drawn = progress.once("starts", partial(self._drawn, sample_em, prepared, settings, which))
        for restart, reason in drawn.failed.items():
            listener.warning(f"{which}start {restart} failed: {reason}")
        selection = Selection(drawn.drawn, ())
        if sample_em.n_starts or (settings.max_iter == 0 and self.given is None):
            # How far starts are followed depends on max_iter where that is small.
            name = f"selected-starts-{sample_em.n_iterations}"
            selection = progress.once(name, partial(self._selected, sample_em, drawn, which))
        few_rows = sample_em.is_over_all_rows(prepared.summary.n_kept)
        problem = replace(prepared.problem, needs_confirmation=few_rows)
        prepared = replace(prepared, problem=problem)
        candidates = self._candidates(selection, prepared, settings, identity)
        return ModelStart(settings, prepared, candidates, drawn.failed, selection.trials)

    def _candidates(
        self,
        selection: Selection,
        prepared: PreparedFit,
        settings: FitSettings,
        identity: CandidateId,
    ) -> tuple[FitCandidate, ...]:
        """A candidate for each start that goes to all rows."""
        before = None
        if isinstance(self.given, LastFit):
            before = self.given.objective_before(prepared.summary, settings)
        solver = EMSolver(prepared.problem)
        return tuple(
            solver.init(
                replace(identity, restart=begun.restart, start=begun.name),
                begun.parameters,
                is_given=settings.method == "given",
                warm_objective=before,
            )
            for begun in selection.begun
        )

    def _drawn(
        self, sample_em: SampleEM, prepared: PreparedFit, settings: FitSettings, which: str
    ) -> Starts:
        """The method's starts of every restart."""
        n_wanted = sample_em.n_starts
        if reads_all_rows(settings.method):
            self.listener.stage("initialisation", f"{which}{settings.method} on all rows")
            return starts_over_all_rows(
                *(self.dataset, self.executor, prepared, settings, n_wanted, self.adjust),
                self.progress,
            )
        rows = sample_em.few if n_wanted else sample_em.sample
        n = n_starts(settings, n_wanted)
        times = f"{n} times " if n > 1 else ""
        detail = f"{which}{settings.method} {times}on {len(rows):,} sampled rows"
        self.listener.stage("initialisation", detail)
        return starts_on_sample(
            *(prepared, settings, rows.values, n_wanted, self.here, self.given, self.adjust),
            rows.weights,
        )

    def _selected(self, sample_em: SampleEM, drawn: Starts, which: str) -> Selection:
        """Where each restart begins on all rows, once EM has run on the sample."""
        n = len(drawn.drawn)
        rows = len(sample_em.sample if sample_em.is_followed else sample_em.few)
        self.listener.stage("sample", f"{which}EM from {n} starts on up to {rows:,} sampled rows")
        selection = sample_em.refine(drawn, self.here)
        for trial in selection.trials:
            if trial.selected:
                n_starts = len(drawn.of(trial.restart))
                self.listener.note(f"{which}restart {trial.restart}: {trial.describe(n_starts)}")
        return selection


def _which(settings: FitSettings, identity: CandidateId) -> str:
    """The model that a line is about, where there are several: "full-4, without fold 2: "."""
    if identity.n_components is None:
        return ""
    fold = "" if identity.fold is None else f", without fold {identity.fold}"
    return f"{settings.name}{fold}: "
