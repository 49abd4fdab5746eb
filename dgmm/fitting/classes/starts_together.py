"""Saved progress of many starts as one value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dgmm.fitting.em.saved_progress import EmState

T = TypeVar("T")


class StartsTogether:
    """Collects what starts would save; a `SavedProgress`.

    Parameters
    ----------
    values
        What an earlier attempt has saved, by name; added to.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once."""
        if name not in self.values:
            self.values[name] = make()
        value: T = self.values[name]
        return value

    saves_passes = False

    def of_pass(self, name: str) -> None:
        """Starts of classes make no pass over all rows."""

    def em_state(self) -> None:
        """EM over all rows comes later."""

    def save_em_state(self, state: EmState) -> None:
        """As above."""
