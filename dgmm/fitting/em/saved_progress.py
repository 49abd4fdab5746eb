"""Saved progress: what a fit asks of its storage, so that a run that was killed can go on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
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

    @property
    def saves_passes(self) -> bool:
        """Whether finished parts of a pass are saved: its name, a digest, is then needed."""

    def of_pass(self, name: str) -> PassProgress[Any] | None:
        """Where finished parts of one pass over the data are saved; None where nowhere."""

    def em_state(self) -> EmState | None:
        """Where EM was; None before its first pass."""

    def save_em_state(self, state: EmState) -> None:
        """Save where EM is."""


@dataclass(frozen=True, slots=True)
class PartProgress:
    """Saved progress of a part of a fit, such as one of several models.

    Attributes
    ----------
    progress
        That of the whole fit.
    part
        Stands behind every name; nothing does where it is empty.
    """

    progress: SavedProgress
    part: str = ""

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once in a run for this part, and saved."""
        return self.progress.once(f"{name}-{_as_name(self.part)}" if self.part else name, make)

    @property
    def saves_passes(self) -> bool:
        """As the whole fit's does."""
        return self.progress.saves_passes

    def of_pass(self, name: str) -> PassProgress[Any] | None:
        """Where finished parts of one pass over the data are saved."""
        return self.progress.of_pass(f"{name} of {self.part}" if self.part else name)

    def em_state(self) -> EmState | None:
        """That of the whole fit."""
        return self.progress.em_state()

    def save_em_state(self, state: EmState) -> None:
        """Save that of the whole fit."""
        self.progress.save_em_state(state)


def _as_name(part: str) -> str:
    """The part in letters that names of states may have; a digest where it has others."""
    if re.fullmatch("[a-z0-9-]+", part):
        return part
    return hashlib.sha256(part.encode()).hexdigest()[:16]


class NoSavedProgress:
    """For a fit in memory, which starts over if it is interrupted."""

    def once(self, name: str, make: Callable[[], T]) -> T:  # noqa: ARG002 - the protocol's
        """The value, made now."""
        return make()

    saves_passes = False

    def of_pass(self, name: str) -> None:
        """Nothing is saved."""

    def em_state(self) -> None:
        """Nothing was saved."""

    def save_em_state(self, state: EmState) -> None:
        """Nothing is saved."""


NO_SAVED_PROGRESS = NoSavedProgress()
