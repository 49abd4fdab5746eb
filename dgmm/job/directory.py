"""The run directory: claimed for one job, told about at the start and at every end."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
from dgmm.job.lock import NAME as LOCK
from dgmm.job.lock import locked
from dgmm.job.recording import RecordingListener, now
from dgmm.listener import Listener
from dgmm.outcome import Outcome
from dgmm.persistence import read_json, write_json
from dgmm.version import __version__

SCHEMA_VERSION = 1
#: Keys of a job's identity that are paths: `data.path`, `model.path`, `initialisation.model`.
_PATHS = {"path", "model"}
#: What a run leaves beside run.json; an unfinished run's are removed when it starts over.
_PRODUCTS = (
    "events.jsonl", "metrics.csv", "sample.npz", "report.html", "error.txt",
    "model", "model.part", "outputs.zarr", "outputs.zarr.part", "report",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a job ended."""

    exit_code: int
    status: str
    outcome: str
    message: str
    directory: Path


def identity(job: Job) -> dict[str, Any]:
    """What makes two jobs the same: data, model, start, seed and products."""
    fields = job.fingerprint_fields()
    if job.command == "run":
        fields = fields | {"model": {**fields["model"], "max_iter": job.model.max_iter}}
    return {
        name: {k: _absolute(v) if k in _PATHS else v for k, v in section.items()}
        if isinstance(section, Mapping)
        else section
        for name, section in fields.items()
    }


def _absolute(path: str | None) -> str | None:
    """However a path is written, it names one place."""
    return None if path is None else str(Path(path).absolute().resolve())


def fingerprint(fields: Mapping[str, Any]) -> str:
    """sha256 of a job's identity."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def exit_code_of(outcome: str, job: Job) -> ExitCode:
    """What a run with that outcome returns, by the job's `on_not_converged`."""
    ends = outcome in Outcome.__members__ and not Outcome[outcome].has_converged
    if ends and job.on_not_converged == "error":
        return ExitCode.NOT_CONVERGED
    return ExitCode.DONE


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
        self.path = Path(job.output.path).absolute()
        self._shown = Path(job.output.path)
        self._identity = identity(job)
        self._job = job
        self.previous = self._claim(job)
        self.record: dict[str, Any] = {}

    @classmethod
    @contextmanager
    def opened(cls, job: Job) -> Iterator[Self]:
        """Claim the directory and keep other runs out of it until the end."""
        refused_or_ours = cls(job)  # a lock file is put into no directory that is not a run's
        with locked(refused_or_ours.path, refused_or_ours._shown):
            yield cls(job)

    @property
    def is_finished(self) -> bool:
        """Whether this very job ended here before, and what it left is still there."""
        if self.previous is None or self.previous.get("status") != "done":
            return False
        outputs = [f"outputs.zarr/{name}" for name in self.previous.get("outputs", {})]
        return all((self.path / name).is_dir() for name in ("model", *outputs))

    def finished_before(self, data_fingerprint: dict[str, Any]) -> RunResult:
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
                f"{self._shown} holds a finished run on other data: {self._job.data.path} "
                f"has changed since {previous.get('ended')}. Choose another output.path"
            )
        self.record = previous
        return RunResult(
            int(exit_code_of(str(previous.get("outcome")), self._job)),
            "done",
            str(previous.get("outcome")),
            f"finished before ({previous.get('ended')}), nothing to do",
            self._shown,
        )

    @contextmanager
    def recorded(self, command: str, listener: Listener) -> Iterator[RecordingListener]:
        """Write run.json now and at the end, whatever the end is; yield who keeps the logs."""
        self._start_over()
        self.record = {
            "schema_version": SCHEMA_VERSION,
            "command": command,
            "status": "running",
            "exit_code": None,
            "outcome": None,
            "message": "running",
            "started": now(),
            "ended": None,
            "dgmm_version": __version__,
            "job": self._job.resolved(),
            "job_identity": self._identity,
            "job_fingerprint": fingerprint(self._identity),
            "data": None,
            "rows": {"total": None, "read": 0, "dropped": 0},
            "mean_log_likelihood": None,
            "warnings": [],
            "component_log": [],
            "outputs": {},
            "anomaly": None,
            "timings": {},
            "environment": None,
            "seed": self._job.seed,
        }
        self.write()
        try:
            with RecordingListener(self.path, self.record["warnings"], listener) as recording:
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
        return RunResult(int(exit_code), "done", outcome, message, self._shown)

    def write(self) -> None:
        """Write run.json, whole or not at all."""
        write_json(self.path / "run.json", self.record)

    def _fail(self, error: BaseException) -> None:
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
        if there != json.loads(json.dumps(self._identity)):
            raise OutputExistsError(
                f"{self._shown} holds another job: {_difference(there, self._identity)}. "
                "Choose another output.path, or remove that directory"
            )
        if job.output.if_exists == "error":
            raise OutputExistsError(
                f"{self._shown} exists and output.if_exists is error (status there: "
                f"{previous.get('status')})"
            )
        return previous

    def _read_previous(self) -> dict[str, Any] | None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = sorted(p.name for p in self.path.iterdir() if p.name != LOCK)
        except OSError as error:
            raise OutputExistsError(
                f"cannot create the run directory {self._shown}: {error.strerror or error}"
            ) from error
        if not names:
            return None
        try:
            record = read_json(self.path / "run.json")
        except (DataError, InputNotFoundError) as error:
            raise OutputExistsError(
                f"{self._shown} holds files but no readable run.json ({', '.join(names[:3])}): "
                "it is not a run of dgmm. Choose another output.path"
            ) from error
        return record if isinstance(record, dict) else {}

    def _start_over(self) -> None:
        """Remove what an unfinished run left; whatever else lies here is not dgmm's and stays."""
        try:
            for name in _PRODUCTS:
                product = self.path / name
                if product.is_dir():
                    shutil.rmtree(product)
                else:
                    product.unlink(missing_ok=True)
        except OSError as error:
            raise OutputExistsError(
                f"cannot remove the unfinished run in {self._shown}: {error.strerror or error}"
            ) from error


def _difference(there: Any, here: Any, limit: int = 6) -> str:
    """Which keys differ, in words."""
    old, new = dict(_flat(there)), dict(_flat(here))
    lines = [
        f"{key} is {old.get(key, 'absent')!r} there, {new.get(key, 'absent')!r} here"
        for key in sorted({*old, *new})
        if old.get(key, "absent") != new.get(key, "absent")
    ]
    more = f" and {len(lines) - limit} more" if len(lines) > limit else ""
    return "; ".join(lines[:limit]) + more


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, Mapping):
        yield prefix.removesuffix("."), tree
        return
    for key, value in tree.items():
        yield from _flat(value, f"{prefix}{key}.")
