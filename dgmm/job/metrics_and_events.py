"""A run's events, written to events.jsonl, metrics.csv and the record's warnings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from dgmm.events import Listener
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.run_record import Rows
from dgmm.storage.append_files import CsvLines, JsonLines
from dgmm.storage.atomic_files import output_errors, write_text
from dgmm.storage.folders import Folder
from dgmm.storage.regular_files import open_regular

_METRICS = (
    "iteration", "restart", "mean_log_likelihood", "change", "kernel", "dtype", "backend",
    "seconds", "rows", "step", "start",
)  # fmt: skip
#: What stands behind these where a prior makes what is maximised another number: `change` is of it.
_OBJECTIVE = ("objective",)
#: What stands behind these where a job has several models.
_MODEL = ("n_components", "covariance_type")
#: And behind these where models are fitted without parts of the rows too: the part; else empty.
_FOLD = ("fold",)
#: What stands behind these where a job fits classes: the code of the class.
_CLASS = ("class",)


def now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class _Counted(Protocol):
    """What a pass over all rows counts, left-out rows included."""

    @property
    def n_read(self) -> int:
        """Rows."""

    @property
    def n_dropped(self) -> int:
        """Rows among them that were left out."""

    @property
    def n_empty(self) -> int:
        """Rows without any value."""

    @property
    def n_incomplete(self) -> int:
        """Rows that lack some values, left out or not."""


def rows_record(counted: _Counted) -> Rows:
    """The row accounting of run.json, of a pass over all rows.

    Returns
    -------
    dict
        `total`, and its two parts: `read`, the rows that were fitted or scored, and `dropped`;
        `empty` and `incomplete` of them for what they lack.
    """
    return {
        "total": counted.n_read,
        "read": counted.n_read - counted.n_dropped,
        "dropped": counted.n_dropped,
        "empty": counted.n_empty,
        "incomplete": counted.n_incomplete,
    }


class RecordingListener:
    """Writes every event down and passes it on.

    Parameters
    ----------
    directory
        Where the logs lie.
    warnings, timings
        The record's: warnings are added to the one, each stage's seconds to the other, which
        may hold those of earlier attempts.
    listener
        Hears everything too.
    has_objective
        Whether metrics.csv has what is maximised beside the likelihood.
    several_models
        Whether metrics.csv names the model of each line.
    has_folds
        Whether it names the fold that the line's model does not see.
    has_classes
        Whether it names the class of each line; listeners hear then of all mixtures together.
    """

    def __init__(
        self,
        directory: Path | Folder,
        warnings: list[str],
        timings: dict[str, float],
        listener: Listener,
        *,
        has_objective: bool = False,
        several_models: bool = False,
        has_folds: bool = False,
        has_classes: bool = False,
    ) -> None:
        self._columns = (
            *(*_METRICS, *(_OBJECTIVE if has_objective else ())),
            *(*(_MODEL if several_models else ()), *(_FOLD if has_folds else ())),
            *(_CLASS if has_classes else ()),
        )
        self._warnings, self._timings, self._has_classes = warnings, timings, has_classes
        self._running: tuple[str, float] | None = None
        self._listener = listener
        self._check = directory.guard if isinstance(directory, Folder) else _nothing
        self._metrics_path = directory / "metrics.csv"
        with ExitStack() as opened:
            self._events = opened.enter_context(JsonLines(directory / "events.jsonl"))
            self._metrics = CsvLines(self._metrics_path, self._columns)
            opened.pop_all()

    def __enter__(self) -> Self:
        """The listener; both files stay open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close them; a stage that runs still ends here."""
        self.end_stage()
        try:
            self._events.__exit__(kind, error, trace)
        finally:
            self._metrics.__exit__(kind, error, trace)

    def rewind(self, reached: Mapping[CandidateId, int]) -> None:
        """Take back the metrics of iterations that will be made again.

        Parameters
        ----------
        reached
            The last iteration that stands, by restart and start. Of a restart that is named, starts
            that are not were left behind by a likelier one, and all their iterations stand; a
            restart that is not named has none.
        """
        self._rewrite(lambda line: _stands(line, self._columns, reached))

    def stage(self, name: str, detail: str) -> None:
        """A stage begins; the one before has ended."""
        self.end_stage()
        self._running = (name, time.monotonic())
        self._log("stage", name=name, detail=detail)
        self._listener.stage(name, detail)

    def end_stage(self) -> None:
        """Count the seconds of the stage that runs, if one does."""
        if self._running is not None:
            name, begun = self._running
            self._timings[name] = self._timings.get(name, 0.0) + time.monotonic() - begun
        self._running = None

    def trials(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Starts that were tried on the sample: the first lines of metrics.csv, iteration 0."""
        lines = [self._metrics.line({"iteration": 0, "step": "tried", **r}) for r in records]
        self._rewrite(lambda line: not line.startswith("0,"), lines)
        self._listener.trials(records)

    def iteration(self, record: Mapping[str, Any]) -> None:
        """A pass has ended; of each class's mixture metrics.csv has it alone."""
        self._metrics.append({key: record[key] for key in record if key in self._columns})
        if not self._has_classes:
            self._log("iteration", **record)
            self._listener.iteration(record)

    def mixtures(self, record: Mapping[str, Any]) -> None:
        """How far the mixtures of all classes have come."""
        self._log("mixtures", **record)
        self._listener.mixtures(record)

    def component(self, record: Mapping[str, Any]) -> None:
        """A component was re-seeded, dropped, or its variances were raised."""
        self._log("component", **record)
        if not self._has_classes:
            self._listener.component(record)

    def drift(self, record: Mapping[str, Any]) -> None:
        """An earlier model was compared with the rows: how far each component has moved."""
        self._log("drift", **record)

    def warning(self, text: str) -> None:
        """Something the user should look at; an earlier attempt may have given it."""
        self._log("warning", text=text)
        if text not in self._warnings:
            self._warnings.append(text)
        self._listener.warning(text)

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._log("note", text=text)
        self._listener.note(text)

    def _rewrite(self, stands: Callable[[str], bool], first: Sequence[str] = ()) -> None:
        """Write metrics.csv anew: some lines first, then those of its lines that stand."""
        self._check()
        self._metrics.close()
        with output_errors(self._metrics_path), open_regular(self._metrics_path) as file:
            heading, *lines = file.read().decode("utf-8").splitlines() or [""]
        columns = ",".join(self._columns)
        is_known = heading.replace(",arithmetic,", ",backend,") == columns
        kept = [line for line in lines if is_known and stands(line)]
        write_text(self._metrics_path, "\n".join([columns, *first, *kept, ""]))
        self._metrics = CsvLines(self._metrics_path, self._columns)

    def _log(self, event: str, **fields: Any) -> None:
        self._check()
        self._events.append({"time": now(), "event": event, **fields})


def _nothing() -> None:
    """Whether a run may continue is asked where its directory is held open."""


def _stands(line: str, columns: Sequence[str], reached: Mapping[CandidateId, int]) -> bool:
    """Whether a line of metrics.csv is of an iteration that stands; half a line is of none."""
    cells = line.split(",")
    if len(cells) != len(columns):
        return False
    cell = dict(zip(columns, cells, strict=True))
    if not all(cell[name].isdigit() for name in ("iteration", "restart")):
        return False
    iteration, found = int(cell["iteration"]), CandidateId(int(cell["restart"]), cell["start"])
    if "n_components" in cell:
        if not cell["n_components"].isdigit():
            return False
        size = int(cell["n_components"])
        found = replace(found, n_components=size, covariance_type=cell["covariance_type"])
    if "class" in cell:
        if not cell["class"].isdigit():
            return False
        found = replace(found, label=int(cell["class"]))
    if cell.get("fold", "").isdigit():
        found = replace(found, fold=int(cell["fold"]))
    is_known = found.without_start in {candidate.without_start for candidate in reached}
    return iteration <= reached.get(found, iteration if is_known else 0)
