"""What a fit asks of whoever keeps its state on disk, so that a run that was killed can go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from dgmm.fitting.em.state import FitCandidate
from dgmm.reduction.tree import PassProgress

T = TypeVar("T")


class EmState(NamedTuple):
    """EM between two passes: all candidates, and how many passes were made."""

    candidates: tuple[FitCandidate, ...]
    n_passes: int


class SavedProgress(Protocol):
    """Keeps what is done, and gives it back to the run that goes on."""

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once in the life of a run and kept."""

    def of_pass(self, name: str) -> PassProgress[Any] | None:
        """Who keeps the finished parts of one pass over the data; None where nothing is kept."""

    def em_state(self) -> EmState | None:
        """Where EM was; None before its first pass."""

    def save_em_state(self, state: EmState) -> None:
        """Take note of where EM is."""


class NoSavedProgress:
    """For fits whose caller waits for them: they start over."""

    def once(self, name: str, make: Callable[[], T]) -> T:  # noqa: ARG002 - the protocol's
        """Make it."""
        return make()

    def of_pass(self, name: str) -> None:
        """Nobody."""

    def em_state(self) -> None:
        """Nowhere."""

    def save_em_state(self, state: EmState) -> None:
        """Forget it."""


NO_SAVED_PROGRESS = NoSavedProgress()
