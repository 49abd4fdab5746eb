"""What is heard of the start of one class's mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dgmm.events import Listener


class PartListener:
    """Hears the start of one mixture: warnings get its class's name, stages are left out."""

    def __init__(self, listener: Listener, name: str) -> None:
        self._listener, self._name = listener, name

    def stage(self, name: str, detail: str) -> None:
        """One stage stands for all classes."""

    def trials(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Starts of classes are not listed."""

    def iteration(self, record: Mapping[str, Any]) -> None:
        """A pass has ended."""
        self._listener.iteration(record)

    def component(self, record: Mapping[str, Any]) -> None:
        """A component has changed."""
        self._listener.component(record)

    def warning(self, text: str) -> None:
        """Something the user should look at."""
        self._listener.warning(f"{self._name}: {text}")

    def note(self, text: str) -> None:
        """Nothing of one class alone is worth a line."""
