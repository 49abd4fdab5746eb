"""EM over all rows, from the starts of one model or of several, to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

from dgmm.data.dataset import Dataset
from dgmm.events import Listener
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import ComponentEvent
from dgmm.fitting.em.data_pass import EStepRunner
from dgmm.fitting.em.saved_progress import EmState, SavedProgress
from dgmm.fitting.em.state import FitCandidate, Iteration
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.screening import likelier
from dgmm.reduction.executor import Executor

#: Which model a candidate is of: its size and its family; None where the fit has one model.
ModelKey = tuple[int | None, str | None]
#: All events of a candidate to what is heard of them.
Named = Callable[[tuple[ComponentEvent, ...]], tuple[ComponentEvent, ...]]
#: Passes that were made, and where they led.
Passed = Callable[[int, tuple[FitCandidate, ...]], None]


def model_of(identity: CandidateId) -> ModelKey:
    """The model that a candidate is of."""
    return identity.n_components, identity.covariance_type


def model_fields(identity: CandidateId) -> dict[str, Any]:
    """The model that a candidate is of, as records have it; nothing where the fit has one model.

    With the class that it is of, by its code, and the fold that it does not see, where there are.
    """
    k, family = model_of(identity)
    own: dict[str, Any] = {} if k is None else {"n_components": k, "covariance_type": family}
    if identity.label is not None:
        own["class"] = identity.label
    return own if identity.fold is None else own | {"fold": identity.fold}


class Iterations:
    """EM over all rows, whose state is saved after every pass.

    Parameters
    ----------
    dataset, executor
        The rows, and where passes over them run.
    prepared
        What all models have in common: counts of rows, and the backend of one that is alone.
    listener, progress
        Hears iterations; saves where EM is, and knows where an earlier attempt was.
    candidates
        Where EM begins, unless an earlier attempt has come further.
    named
        Makes events in EM's numbers of components those that are heard.
    passed
        Called after every pass, with the number of passes and all candidates.
    """

    def __init__(
        self,
        dataset: Dataset,
        executor: Executor,
        prepared: PreparedFit,
        listener: Listener,
        progress: SavedProgress,
        candidates: tuple[FitCandidate, ...],
        named: Named = tuple,
        passed: Passed = lambda _passes, _candidates: None,
    ) -> None:
        state = progress.em_state() or EmState(candidates, 0)
        if state.n_passes:
            listener.note(f"EM goes on after {state.n_passes} passes of an earlier attempt")
        self.candidates = state.candidates
        self._progress, self._listen = progress, _listen(listener, state, named)
        self._passed = passed
        self._pass = EStepRunner(
            dataset,
            executor,
            prepared.backend,
            n_dropped=prepared.summary.n_dropped,
            n_partial=prepared.summary.n_partial,
            of_pass=progress.of_pass if progress.saves_passes else None,
            n_passes=state.n_passes,
        )

    @property
    def n_passes(self) -> int:
        """Passes that were made, in earlier attempts too."""
        return self._pass.n_passes

    def add(self, candidates: Sequence[FitCandidate]) -> None:
        """Candidates that begin once others have ended."""
        self.candidates = (*self.candidates, *candidates)

    def run(self, problems: em.Problems, models: Sequence[ModelKey] | None = None) -> None:
        """Advance the candidates of some models, or all, to their outcomes."""
        going = [c for c in self.candidates if models is None or model_of(c.id) in models]
        others = tuple(c for c in self.candidates if c not in going)

        def save(candidates: tuple[FitCandidate, ...]) -> None:
            self._progress.save_em_state(EmState((*others, *candidates), self.n_passes))
            self._passed(self.n_passes, candidates)

        own = em.run(tuple(going), self._pass, problems, self._listen, save, likelier)
        self.candidates = (*others, *own)


#: What listeners get of an iteration; it holds nothing that `asdict` would have to copy.
_ITERATION = tuple(field.name for field in fields(Iteration))


def _listen(listener: Listener, state: EmState, named: Named) -> em.Listen:
    """Hand iterations on, and component events as they happen."""
    n_reported = {c.id: len(c.events) for c in state.candidates}

    def listen(candidate: FitCandidate, iteration: Iteration) -> None:
        model = model_fields(candidate.id)
        record = {name: getattr(iteration, name) for name in _ITERATION}
        if iteration.objective is None:
            del record["objective"]
        listener.iteration(record | model)
        for event in named(candidate.events)[n_reported.get(candidate.id, 0) :]:
            listener.component(asdict(event) | model)
        n_reported[candidate.id] = len(candidate.events)

    return listen
