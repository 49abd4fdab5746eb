"""A chain of splits beside the usual starts, and models that are fitted again from a split.

With k the likelihood of the best fit cannot fall: k components hold k − 1. Where it does, the fit
of k has ended in a poor optimum, and is repeated from a split of that of k − 1. Under a prior there
is no such rule: what EM maximises then holds the prior, which is another for each k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from dgmm.events import Listener
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.saved_progress import PartProgress, SavedProgress
from dgmm.fitting.em.solver import EMSolver
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.iterate import model_of
from dgmm.fitting.model_start import ModelStart
from dgmm.fitting.restarts import Start
from dgmm.fitting.sample_em import SampleEM
from dgmm.fitting.sample_trials import Trial
from dgmm.fitting.selection.split_starts import Splitter
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.executor import Executor

#: Why a model is fitted again.
Reason = Literal["not sound", "less likely"]


class Refit(NamedTuple):
    """A model that was fitted again from a split of a smaller one, and why."""

    settings: FitSettings
    reason: Reason


class _Link(NamedTuple):
    """The likeliest start of a model on the sample, from which the next larger one may begin."""

    n_components: int
    parameters: Parameters


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Makes starts of models from those of smaller ones of their family.

    Attributes
    ----------
    here
        Runs tasks in this process, where the sample is.
    listener, progress
        Hears what is done; saves starts.
    refused
        Models that cannot be made from a split, by name.
    """

    here: Executor
    listener: Listener
    progress: SavedProgress
    refused: set[str] = field(default_factory=set)

    def extended(self, begun: Sequence[ModelStart]) -> list[ModelStart]:
        """The models with one candidate more each where a split is likelier on the sample.

        The usual starts of a model, their bits and order, stay as they are.
        """
        found, links = dict[str, ModelStart](), dict[str, _Link]()
        for own in sorted(begun, key=lambda one: one.settings.n_components):
            family = own.settings.covariance_type
            usual = _usual(own)
            if usual is None:
                found[own.settings.name] = own
                continue
            level, parameters = usual
            found[own.settings.name], better = self._with_split(own, links.get(family), level)
            links[family] = _Link(own.settings.n_components, better or parameters)
        return [found[own.settings.name] for own in begun]

    def _with_split(
        self, own: ModelStart, link: _Link | None, usual: float
    ) -> tuple[ModelStart, Parameters | None]:
        """The model with its split, and the split's parameters, where it is likelier by `tol`."""
        if link is None:
            return own, None
        name = f"split of {link.n_components}"
        part = PartProgress(self.progress, own.settings.name)
        made = part.once("split", lambda: self._split_start(own, link.parameters, name))
        if made is None:
            return own, None
        start, trial = made
        level = trial.mean_log_likelihood
        if level is None or level <= usual + own.settings.tol:
            return replace(own, trials=(*own.trials, trial)), None
        chosen = replace(trial, selected=True)
        self.listener.note(
            f"{own.settings.name}: a {name} components is likelier on the sample than the usual "
            f"starts, {level:.6g} against {usual:.6g}"
        )
        candidate = _candidate(own, own.settings.n_init, name, start.parameters)
        candidates = (*own.candidates, candidate)
        return replace(own, candidates=candidates, trials=(*own.trials, chosen)), start.parameters

    def _split_start(
        self, own: ModelStart, parameters: Parameters, name: str
    ) -> tuple[Start, Trial] | None:
        sample_em = SampleEM.of(own.prepared, own.settings)
        splitter = Splitter(sample_em, self.here, own.settings.n_init)
        led = splitter.grown(parameters, own.settings.n_components, name)
        if led is None or led.has_spike:
            return None
        n, held_out = len(sample_em.compared), len(sample_em.held_out) > 0
        start = sample_em.followed(led.start, self.here)
        return start, led.trial(n, held_out=held_out, selected=False)

    def refit_of(self, fall: Fall) -> FitCandidate | None:
        """A candidate that begins at a split of the smaller model; None where there is none."""
        own, before = fall.model, fall.smaller
        name = f"refit from {model_of(before.id)[0]}"
        sample_em = SampleEM.of(own.prepared, own.settings)
        splitter = Splitter(sample_em, self.here, own.settings.n_init + 1)
        led = splitter.grown(before.parameters, own.settings.n_components, name)
        if led is None or led.has_spike:
            self.refused.add(own.settings.name)
            return None
        self.listener.note(fall.describe())
        return _candidate(own, own.settings.n_init + 1, name, led.start.parameters)

    def due(
        self, begun: Sequence[ModelStart], candidates: Sequence[FitCandidate]
    ) -> list[FitCandidate]:
        """Candidates of models that are to be fitted again: of each family the smallest.

        Where none can be made, the next larger ones follow; empty once none is left.
        """
        found = falls(begun, candidates)
        left = [one for one in found if not is_refitted(candidates, one.model.settings)]
        while smallest := self._smallest(left):
            made = [self.refit_of(fall) for fall in smallest]
            if any(made):
                return [candidate for candidate in made if candidate is not None]
        return []

    def _smallest(self, left: Sequence[Fall]) -> list[Fall]:
        """The smallest model of each family that a split was not yet refused for."""
        smallest: dict[str, Fall] = {}
        for fall in left:
            if fall.model.settings.name not in self.refused:
                smallest.setdefault(fall.model.settings.covariance_type, fall)
        return list(smallest.values())


@dataclass(frozen=True, slots=True, eq=False)
class Fall:
    """A model that is not sound, or less likely than a smaller one of its family.

    Attributes
    ----------
    model, best
        The larger one, and its best candidate.
    smaller
        The best candidate of the smaller one, which is sound.
    reason
        Which of both.
    """

    model: ModelStart
    best: FitCandidate
    smaller: FitCandidate
    reason: Reason

    def describe(self) -> str:
        """In a line, with what is done about it."""
        settings, k = self.model.settings, model_of(self.smaller.id)[0]
        smaller = f"{settings.covariance_type}-{k}"
        doubt = f"not sound ({_trouble(self.best)})"
        if self.reason == "less likely":
            level, other = self.best.mean_log_likelihood, self.smaller.mean_log_likelihood
            doubt = f"less likely than {smaller}, {level:.6g} against {other:.6g} per row"
        return f"{settings.name} is {doubt}: it is fitted again from a split of {smaller}"


def falls(begun: Sequence[ModelStart], candidates: Sequence[FitCandidate]) -> list[Fall]:
    """Where the mean log-likelihood falls with k by more than `tol`, smaller models first.

    A model that ran into trouble, or has a spike on a few rows, is among them as not sound: its
    likelihood says nothing. Likelihoods under a prior are not compared: EM does not maximise them.
    """
    found, before = list[Fall](), dict[str, FitCandidate]()
    for own in sorted(begun, key=lambda one: one.settings.n_components):
        best, is_sound = _best(own, candidates)
        smaller = before.get(own.settings.covariance_type)
        if smaller is not None and not is_sound:
            found.append(Fall(own, best, smaller, "not sound"))
        elif smaller is not None and _is_less_likely(own, best, smaller):
            found.append(Fall(own, best, smaller, "less likely"))
        elif is_sound:
            before[own.settings.covariance_type] = best
    return found


def _is_less_likely(own: ModelStart, best: FitCandidate, smaller: FitCandidate) -> bool:
    if own.prepared.problem.inference.is_bounded:
        return False
    return not best.mean_log_likelihood >= smaller.mean_log_likelihood - own.settings.tol


def refits(begun: Sequence[ModelStart], candidates: Sequence[FitCandidate]) -> list[Refit]:
    """Models that were fitted again from a split."""
    found = list[Refit]()
    for own in begun:
        if is_refitted(candidates, own.settings):
            usual = [c for c in candidates if c.restart <= own.settings.n_init]
            _, is_sound = _best(own, usual)
            found.append(Refit(own.settings, "less likely" if is_sound else "not sound"))
    return found


def is_refitted(candidates: Sequence[FitCandidate], settings: FitSettings) -> bool:
    """Whether a model was fitted again from a split."""
    key = settings.n_components, settings.covariance_type
    return any(model_of(c.id) == key and c.restart > settings.n_init for c in candidates)


def _best(own: ModelStart, candidates: Sequence[FitCandidate]) -> tuple[FitCandidate, bool]:
    """The best candidate of a model, and whether its likelihood says anything."""
    key = own.settings.n_components, own.settings.covariance_type
    n_rows = own.prepared.n_rows_ranked
    best = em.best(tuple(c for c in candidates if model_of(c.id) == key), n_rows)
    sound = best.outcome is not None and best.outcome.is_usable and em.is_sound(best.outcome)
    return best, sound and best.parameters.supports_covariances(n_rows)


def _trouble(best: FitCandidate) -> str:
    """Of a candidate that is not sound, why."""
    outcome = best.outcome
    if outcome is None or (outcome.is_usable and em.is_sound(outcome)):
        return "a component has fewer rows than its covariance needs"
    return outcome.name


def _usual(own: ModelStart) -> tuple[float, Parameters] | None:
    """The likeliest of the usual starts on the sample; None where none was tried there."""
    levels = {
        trial.restart: trial.mean_log_likelihood
        for trial in own.trials
        if trial.selected and trial.mean_log_likelihood is not None
    }
    if not levels:
        return None
    restart = max(levels, key=lambda one: (levels[one], -one))
    return levels[restart], next(c.parameters for c in own.candidates if c.restart == restart)


def _candidate(own: ModelStart, restart: int, name: str, parameters: Parameters) -> FitCandidate:
    identity = replace(own.identity, restart=restart, start=name)
    return EMSolver(own.prepared.problem).init(identity, parameters)
