"""What a run hears, kept in events.jsonl, metrics.csv and the record's warnings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from dgmm.listener import Listener
from dgmm.persistence import CsvLines, JsonLines

_METRICS = (
    "iteration", "restart", "mean_log_likelihood", "change", "kernel", "dtype", "arithmetic",
    "seconds", "rows", "step",
)  # fmt: skip


def now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RecordingListener:
    """Passes everything on and keeps it; `warnings` is the record's list."""

    def __init__(self, directory: Path, warnings: list[str], listener: Listener) -> None:
        self._warnings = warnings
        self._listener = listener
        self._events = JsonLines(directory / "events.jsonl")
        self._metrics = CsvLines(directory / "metrics.csv", _METRICS)

    def __enter__(self) -> Self:
        """Keep both files open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self._events.close()
        self._metrics.close()

    def stage(self, name: str, detail: str) -> None:
        """A stage begins."""
        self._log("stage", name=name, detail=detail)
        self._listener.stage(name, detail)

    def iteration(self, record: Mapping[str, Any]) -> None:
        """A pass has ended."""
        self._log("iteration", **record)
        self._metrics.append(record)
        self._listener.iteration(record)

    def component(self, record: Mapping[str, Any]) -> None:
        """A component was re-seeded, dropped or held."""
        self._log("component", **{f"{k}_kind" if k == "event" else k: v for k, v in record.items()})
        self._listener.component(record)

    def warning(self, text: str) -> None:
        """Something the user should look at."""
        self._log("warning", text=text)
        self._warnings.append(text)
        self._listener.warning(text)

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._log("note", text=text)
        self._listener.note(text)

    def _log(self, event: str, **fields: Any) -> None:
        self._events.append({"time": now(), "event": event, **fields})
