"""The state of one run on disk: what it has made, where EM is, how far a long pass has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from dgmm.checkpoint.store import CheckpointStore
from dgmm.fitting.em.convergence import is_independent_of_max_iter
from dgmm.fitting.em.saved_progress import EmState
from dgmm.fitting.em.state import FitCandidate
from dgmm.reduction.tree import Monoid, Subtree

#: What a state of EM holds.
_EM_KEYS = (*EmState._fields, "max_iter")
T = TypeVar("T")
M = TypeVar("M", bound=Monoid)

#: Seconds between two states of EM at least: writing and syncing one takes some milliseconds.
EM_EVERY_S = 1.0
#: Where one takes longer than that, so many times as long passes between two.
_SAVING_SHARE = 10.0
#: A pass that is interrupted saves its finished parts if it has taken longer than this.
_WORTH_SAVING_S = 1.0


class RunState:
    """Saves what a run has done, and gives it back to the run that resumes.

    A context manager: at the end of the body, whatever ends it, the newest state of EM is on disk.

    Parameters
    ----------
    store
        Where states are saved.
    every_s
        Seconds between two states of one pass.
    max_iter
        The job's: the last state that it has no influence on is saved for a run with a larger one.
    """

    def __init__(self, store: CheckpointStore, *, every_s: float, max_iter: int) -> None:
        self._store, self._every_s, self._max_iter = store, every_s, max_iter
        self._loaded: tuple[EmState | None] | None = None
        self._waiting: EmState | None = None
        self._n_passes = 0
        self._due_at = 0.0

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives; loaded where an earlier attempt has made it."""
        held = self._store.load(name)
        if held is not None:
            value: T = held[0]
            return value
        made = make()
        self._store.save(name, (made,))  # in a tuple: None is a value too
        self._store.discard("pass")
        return made

    def has(self, name: str) -> bool:
        """Whether `once` would load what is saved under a name."""
        return self._store.load(name) is not None

    def forget(self, name: str) -> None:
        """Discard what was saved under a name: it is not valid any more."""
        self._store.discard(name)

    saves_passes = True

    def of_pass(self, name: str) -> SavedPass[Any]:
        """The progress of a pass."""
        return SavedPass(self._store, name, self._every_s)

    def em_state(self) -> EmState | None:
        """Where EM was.

        A state that knew of a smaller max_iter is no part of a run with this one: then it resumes
        from the last state that max_iter had no influence on.
        """
        if self._loaded is None:
            loaded = self._load_em_state()
            self._loaded = (loaded,)
            self._n_passes = 0 if loaded is None else loaded.n_passes
        return self._loaded[0]

    def _load_em_state(self) -> EmState | None:
        held = self._store.load("em", _EM_KEYS)
        if held is not None and held["max_iter"] < self._max_iter:
            is_early = is_independent_of_max_iter(_n_iter(held["candidates"]), held["max_iter"])
            held = held if is_early else self._store.load("em-before-the-end", _EM_KEYS)
            self._store.discard("pass")  # it may be of a pass that this run will not make
        return None if held is None else EmState(held["candidates"], held["n_passes"])

    def save_em_state(self, state: EmState) -> None:
        """Save it, at most once in a while; the newest one in any case before the run ends."""
        n_iter, self._n_passes = _n_iter(state.candidates), state.n_passes
        is_independent = is_independent_of_max_iter(n_iter, self._max_iter)
        if is_independent and not is_independent_of_max_iter(n_iter + 1, self._max_iter):
            self._store.save("em-before-the-end", self._content(state))
        self._waiting = state
        if time.monotonic() >= self._due_at or all(c.outcome is not None for c in state.candidates):
            self.flush()

    @property
    def may_go_on(self) -> bool:
        """Whether a larger max_iter may end otherwise.

        By the number of passes, which is that of iterations at least, those of candidates that a
        likelier one has left behind included.
        """
        return not is_independent_of_max_iter(self._n_passes, self._max_iter)

    def flush(self) -> None:
        """Save what waits."""
        if self._waiting is not None:
            begun = time.monotonic()
            self._store.save("em", self._content(self._waiting))
            self._waiting, now = None, time.monotonic()
            is_slow = now - begun > EM_EVERY_S
            self._due_at = now + (_SAVING_SHARE * (now - begun) if is_slow else EM_EVERY_S)

    def _content(self, state: EmState) -> dict[str, Any]:
        return {**state._asdict(), "max_iter": self._max_iter}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()


def _n_iter(candidates: tuple[FitCandidate, ...]) -> int:
    return max(c.n_iter for c in candidates)


class SavedPass(Generic[M]):
    """The finished subtrees of one pass."""

    def __init__(self, store: CheckpointStore, name: str, every_s: float) -> None:
        self._store, self._name, self._every_s = store, name, every_s
        self._begun = self._saved_at = time.monotonic()

    def finished(self) -> list[Subtree[M]]:
        """What an earlier attempt at this very pass has finished."""
        held = self._store.load("pass", ("name", "subtrees"))
        return held["subtrees"] if held is not None and held["name"] == self._name else []

    def advanced(self, subtrees: Callable[[], list[Subtree[M]]]) -> None:
        """Save what is finished, every so many seconds."""
        if time.monotonic() - self._saved_at >= self._every_s:
            self._save(subtrees())

    def interrupted(self, subtrees: Callable[[], list[Subtree[M]]]) -> None:
        """Save what is finished, if it took a while."""
        if time.monotonic() - self._begun >= _WORTH_SAVING_S:
            self._save(subtrees())

    def _save(self, subtrees: list[Subtree[M]]) -> None:
        if subtrees:
            self._store.save("pass", {"name": self._name, "subtrees": subtrees})
            self._saved_at = time.monotonic()
