"""Saved progress: what a fit asks of its storage, so that a run that was killed can go on."""

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
    """Saves what is done, and loads it in the run that goes on."""

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once in a run, and saved."""

    def of_pass(self, name: str) -> PassProgress[Any] | None:
        """Where finished parts of one pass over the data are saved; None where nowhere."""

    def em_state(self) -> EmState | None:
        """Where EM was; None before its first pass."""

    def save_em_state(self, state: EmState) -> None:
        """Save where EM is."""


class NoSavedProgress:
    """For a fit in memory, which starts over if it is interrupted."""

    def once(self, name: str, make: Callable[[], T]) -> T:  # noqa: ARG002 - the protocol's
        """The value, made now."""
        return make()

    def of_pass(self, name: str) -> None:
        """Nothing is saved."""

    def em_state(self) -> None:
        """Nothing was saved."""

    def save_em_state(self, state: EmState) -> None:
        """Nothing is saved."""


NO_SAVED_PROGRESS = NoSavedProgress()
