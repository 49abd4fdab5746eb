"""The run directory: claimed for one job, told about at the start and at every end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from dgmm.config import Job
from dgmm.errors import (
    DataError,
    DgmmError,
    ExitCode,
    InputNotFoundError,
    OutputExistsError,
    StoppedError,
)
from dgmm.job.identity import difference, fingerprint, identity
from dgmm.job.lock import Lock, is_lock_file, locked
from dgmm.job.recording import RecordingListener, now
from dgmm.job.result import RunResult, exit_code_of
from dgmm.listener import Listener
from dgmm.persistence import read_json, write_json
from dgmm.version import __version__

SCHEMA_VERSION = 1
#: What a run leaves beside run.json; all of it goes where a run starts over...
_PRODUCTS = (
    "events.jsonl", "metrics.csv", "sample.npz", "report.html", "error.txt", "checkpoint",
    "model", "model.part", "outputs.zarr", "outputs.zarr.part", "report",
)  # fmt: skip
_STALE_STATE = ".checkpoint.tmp"
#: ...and this where it goes on.
_ENDINGS = ("report.html", "report", "error.txt", "model.part")
CHECKPOINT = "checkpoint"


class RunDirectory:
    """One job's directory and the record it keeps in run.json.

    Parameters
    ----------
    job
        The job that claims it.

    Raises
    ------
    OutputExistsError
        If it holds another job, is no run directory, or cannot be created.
    """

    def __init__(self, job: Job) -> None:
        # Links followed and `..` taken out: mkdir would make the `a` of `a/../b` too.
        self.path = Path(os.path.realpath(job.output.path))
        self.shown = Path(job.output.path)
        self.identity = identity(job)
        self._job = job
        self.previous = self._claim(job)
        self.record: dict[str, Any] = {}
        self._taken_over: list[str] = []
        self._lock: Lock | None = None

    @classmethod
    @contextmanager
    def opened(cls, job: Job, listener: Listener) -> Iterator[Self]:
        """Claim the directory and keep other runs out of it until the end."""
        refused_or_ours = cls(job)  # a lock file is put into no directory that is not a run's
        said: list[str] = []
        with locked(refused_or_ours.path, refused_or_ours.shown, said.append) as lock:
            for text in said:
                listener.warning(text)
            directory = cls(job)
            directory._taken_over, directory._lock = said, lock
            yield directory

    @property
    def goes_on(self) -> bool:
        """Whether an earlier attempt at this very job has left a state to go on from."""
        return self.previous is not None and (self.path / CHECKPOINT).is_dir()

    @property
    def is_finished(self) -> bool:
        """Whether this very job ended here before, and what it left is still there."""
        if self.previous is None or self.previous.get("status") != "done":
            return False
        if self.goes_on and _max_iter(self.previous) < self._job.model.max_iter:
            return False  # it stopped at a max_iter that has been raised
        outputs = [f"outputs.zarr/{name}" for name in self.previous.get("outputs", {})]
        return all((self.path / name).is_dir() for name in ("model", *outputs))

    def finished_before(self, data_fingerprint: Mapping[str, Any]) -> RunResult:
        """Return what to say when there is nothing to do.

        Raises
        ------
        OutputExistsError
            If the data have changed since.
        """
        previous = self.previous or {}
        seen = previous.get("data", {}).get("fingerprint")
        if seen != json.loads(json.dumps(data_fingerprint)):
            raise OutputExistsError(
                f"{self.shown} holds a finished run on other data: {self._job.data.path} "
                f"has changed since {previous.get('ended')}. Choose another output.path"
            )
        self.record = previous
        return RunResult(
            int(exit_code_of(str(previous.get("outcome")), self._job)),
            "done",
            str(previous.get("outcome")),
            f"finished before ({previous.get('ended')}), nothing to do",
            self.shown,
            was_finished=True,
        )

    @contextmanager
    def recorded(self, command: str, listener: Listener) -> Iterator[RecordingListener]:
        """Write run.json now and at the end, whatever the end is; yield who keeps the logs."""
        attempts = self._attempts() if self.goes_on else []
        before: dict[str, Any] = (self.previous or {}) if self.goes_on else {}
        self._remove(_ENDINGS if self.goes_on else _PRODUCTS)
        self._sweep()
        self.record = {
            "schema_version": SCHEMA_VERSION,
            "command": command,
            "status": "running",
            "exit_code": None,
            "outcome": None,
            "message": "running",
            "started": now(),
            "ended": None,
            "attempts": attempts,
            "dgmm_version": __version__,
            "job": self._job.resolved(),
            "job_identity": self.identity,
            "job_fingerprint": fingerprint(self.identity),
            "data": before.get("data"),  # what the state is of, until it is looked at again
            "rows": {"total": None, "read": 0, "dropped": 0},
            "mean_log_likelihood": None,
            "warnings": [*_standing_warnings(before), *self._taken_over],
            "component_log": [],
            "outputs": {},
            "anomaly": None,
            "timings": dict(before.get("timings", {})),
            "environment": before.get("environment"),
            "seed": self._job.seed,
        }
        self.write()
        try:
            said, timed = self.record["warnings"], self.record["timings"]
            with RecordingListener(self.path, said, timed, listener) as recording:
                yield recording
        except BaseException as error:
            self._fail(error)
            raise

    def finish(self, outcome: str, message: str, exit_code: int) -> RunResult:
        """Write the last word of a run that did its work."""
        self.record |= {
            "status": "done",
            "exit_code": int(exit_code),
            "outcome": outcome,
            "message": message,
            "ended": now(),
        }
        self.write()
        return RunResult(int(exit_code), "done", outcome, message, self.shown)

    def forget_state(self) -> None:
        """Remove the state that a run goes on from, whole: half of one would mislead."""
        aside = self.path / _STALE_STATE
        with suppress(OSError):
            shutil.rmtree(aside, ignore_errors=True)
            (self.path / CHECKPOINT).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    @property
    def is_lost(self) -> bool:
        """Whether another run has taken this directory over: nothing may be written any more."""
        return self._lock is not None and self._lock.is_lost

    def write(self) -> None:
        """Write run.json, whole or not at all."""
        if not self.is_lost:
            write_json(self.path / "run.json", self.record)

    def _fail(self, error: BaseException) -> None:
        if self.record.get("status") == "done":
            return  # nothing that happens after the end undoes it
        stopped = isinstance(error, StoppedError | KeyboardInterrupt)
        code = ExitCode.STOPPED if stopped else getattr(error, "exit_code", ExitCode.INTERNAL)
        message = str(error) if isinstance(error, DgmmError) else f"{type(error).__name__}: {error}"
        self.record |= {
            "status": "stopped" if stopped else "failed",
            "exit_code": int(code),
            "message": "stopped by a signal" if stopped else message,
            "ended": now(),
        }
        try:
            self.write()
        except DgmmError as second:
            error.add_note(f"run.json could not be written either: {second}")

    def _claim(self, job: Job) -> dict[str, Any] | None:
        """The earlier record of this very job, or None; refuse anything else that lies there."""
        previous = self._read_previous()
        if previous is None:
            return None
        there = previous.get("job_identity") or {}
        is_ours = there == json.loads(json.dumps(self.identity))
        if not is_ours and previous.get("status") == "failed" and not self._holds_work(previous):
            return None  # a mistake, such as a wrong data.path, and nothing that could be lost
        if not is_ours:
            raise OutputExistsError(
                f"{self.shown} holds another job: {difference(there, self.identity)}. "
                "Choose another output.path, or remove that directory"
            )
        if job.command == "run" and job.model.max_iter < _max_iter(previous):
            raise OutputExistsError(
                f"{self.shown} holds this job with model.max_iter {_max_iter(previous)}, here it "
                f"is {job.model.max_iter}: it may be raised and not lowered. Choose another "
                "output.path"
            )
        if job.output.if_exists == "error":
            raise OutputExistsError(
                f"{self.shown} exists and output.if_exists is error (status there: "
                f"{previous.get('status')})"
            )
        return previous

    def _holds_work(self, previous: Mapping[str, Any]) -> bool:
        """Whether an earlier run has left more than its record here."""
        names = ["model", "outputs.zarr", "outputs.zarr.part"]
        if previous.get("exit_code") != ExitCode.DATA_INVALID:
            names.append(CHECKPOINT)  # of invalid data it is worth nothing to another job
        return any((self.path / name).exists() for name in names)

    def _read_previous(self) -> dict[str, Any] | None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = sorted(p.name for p in self.path.iterdir() if not _is_noise(p.name))
        except OSError as error:
            raise OutputExistsError(
                f"cannot create the run directory {self.shown}: {error.strerror or error}"
            ) from error
        if not names:
            return None
        try:
            record = read_json(self.path / "run.json")
        except (DataError, InputNotFoundError) as error:
            raise OutputExistsError(
                f"{self.shown} holds files but no readable run.json ({', '.join(names[:3])}): "
                "it is not a run of dgmm. Choose another output.path"
            ) from error
        return record if isinstance(record, dict) else {}

    def _attempts(self) -> list[dict[str, Any]]:
        """The earlier attempts at this job, with how each ended; a killed one did not say."""
        previous = self.previous or {}
        last = {key: previous.get(key) for key in ("started", "ended", "status", "message")}
        return [*previous.get("attempts", []), last]

    def _sweep(self) -> None:
        """Remove files that a killed run did not finish; no other run is here."""
        for folder in (self.path, self.path / CHECKPOINT):
            for unfinished in folder.glob(".*.tmp"):
                with suppress(OSError):
                    shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()

    def _remove(self, names: tuple[str, ...]) -> None:
        """Remove what an earlier run left; whatever else lies here is not dgmm's and stays."""
        try:
            for name in names:
                product = self.path / name
                if product.is_dir():
                    shutil.rmtree(product)
                else:
                    product.unlink(missing_ok=True)
        except OSError as error:
            raise OutputExistsError(
                f"cannot remove the unfinished run in {self.shown}: {error.strerror or error}"
            ) from error


def _is_noise(name: str) -> bool:
    """Whether a file says nothing of whose directory it lies in: a lock, or a write cut short."""
    return is_lock_file(name) or (name.startswith(".") and name.endswith(".tmp"))


def _standing_warnings(record: Mapping[str, Any]) -> list[str]:
    """The warnings of an earlier attempt, but for that of its outcome: this one has its own."""
    outcome = f"{record.get('outcome')}: "
    return [text for text in record.get("warnings", []) if not text.startswith(outcome)]


def _max_iter(record: Mapping[str, Any]) -> int:
    """The max_iter of the run that a record tells of; 0 where it does not say."""
    model = (record.get("job") or {}).get("model") or {}
    value = model.get("max_iter")
    return value if isinstance(value, int) else 0
