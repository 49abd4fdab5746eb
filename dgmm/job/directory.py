"""The run directory: claimed for one job, recorded in run.json at the start and at every end."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from traceback import format_exception
from typing import Any, Literal, Self, cast

from dgmm.config import Job
from dgmm.errors import TRACE_KEPT, DgmmError, OutputExistsError, StoppedError
from dgmm.events import Listener
from dgmm.exit_codes import ExitCode
from dgmm.job.claim import claimed
from dgmm.job.earlier_identities import is_of_same_data
from dgmm.job.first_record import first_record
from dgmm.job.identity import identity
from dgmm.job.lock import locked
from dgmm.job.lock_heartbeat import Lock
from dgmm.job.metrics_and_events import RecordingListener, now
from dgmm.job.output_formats import with_format
from dgmm.job.output_path import open_run_folder
from dgmm.job.previous_attempts import (
    STALE_STATE,
    attempts_after,
    max_iter_of,
    metrics_set_aside,
    names_to_remove,
    remove_unfinished,
    standing_warnings,
)
from dgmm.job.products import CHECKPOINT, REBUILD_STATE, can_make_model, refuse_results
from dgmm.job.result import RunResult, alarm_message, exit_code_of
from dgmm.run_record import RunRecord
from dgmm.storage.atomic_files import write_json, write_text
from dgmm.storage.folders import Folder


class RunDirectory:
    """One job's directory and its record, run.json.

    Parameters
    ----------
    job
        The job that claims it.
    folder
        The directory, held open: all that this process writes goes there, whatever becomes of its
        path.

    Raises
    ------
    OutputExistsError
        If it holds another job, is no run directory, or cannot be created.
    """

    def __init__(self, job: Job, folder: Folder) -> None:
        self.folder, self.path, self.shown = folder, folder.path, folder.shown
        self.identity = identity(job)
        self._job = job
        self.previous = claimed(folder, job, self.identity)
        self.record = cast("RunRecord", {})  # filled once the run begins
        self._taken_over: list[str] = []
        self._lock: Lock | None = None

    @classmethod
    @contextmanager
    def opened(cls, job: Job, listener: Listener) -> Iterator[Self]:
        """Claim the directory and keep other runs out of it until the end.

        Raises
        ------
        OutputExistsError
            If it cannot be claimed, or another run has taken it over meanwhile.
        OutputFailedError
            If it was removed, moved or replaced meanwhile.
        """
        said: list[str] = []
        with open_run_folder(job.output.path) as folder:
            first = cls(job, folder)  # a lock file is put into no directory that is not a run's
            if first.is_finished and first.is_read_only:
                yield first  # nothing is to be done, and no lock can be taken
                return
            with locked(folder, folder.shown, said.append, listener.note) as lock:
                for text in said:
                    listener.warning(text)
                directory = cls(job, folder)
                directory._taken_over, directory._lock = said, lock
                folder.guard = lock.check
                with lock.loss_named():
                    yield directory

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier attempt at this very job has left a state to resume from."""
        return self.previous is not None and self.folder.holds_folder(CHECKPOINT)

    @property
    def is_read_only(self) -> bool:
        """Whether this process can write nothing here, by permissions or by the file system."""
        return not os.access(self.path, os.W_OK | os.X_OK)

    @property
    def is_finished(self) -> bool:
        """Whether this very job ended here before, and has nothing to resume."""
        if self.previous is None or self.previous.get("status") != "done":
            return False
        is_raised = max_iter_of(self.previous) < self._job.model.max_iter
        return not (is_raised and self.is_resumed)  # it stopped at the max_iter of then

    @property
    def can_save_model_again(self) -> bool:
        """Whether a finished run that lacks its model has the state of EM that it was made from."""
        return self.is_resumed and can_make_model(self.folder, self.previous or {})

    def finished_before(self, data_fingerprint: Mapping[str, Any]) -> RunResult:
        """The result of a run that has nothing to do.

        Raises
        ------
        OutputExistsError
            If the data have changed since.
        """
        previous = self.previous or {}
        seen = previous.get("data", {}).get("fingerprint") or {}
        if not is_of_same_data(data_fingerprint, seen):
            raise OutputExistsError(
                f"{self.shown} holds a finished run on other data: {self._job.data.path} "
                f"has changed since {previous.get('ended')}. Choose another output.path"
            )
        self.record = cast("RunRecord", previous)
        drift = alarm_message(self.record.get("drift"))
        return RunResult(
            int(exit_code_of(previous, self._job)),
            "done",
            str(previous.get("outcome")),
            f"finished before ({previous.get('ended')}), nothing to do{drift}",
            self.shown,
            was_finished=True,
        )

    @contextmanager
    def recorded(
        self, command: Literal["run", "predict"], listener: Listener
    ) -> Iterator[RecordingListener]:
        """Write run.json now and at the end, whatever the end is; yield what writes the logs."""
        attempts = attempts_after(self.previous) if self.previous is not None else []
        before: dict[str, Any] = (self.previous or {}) if self.is_resumed else {}
        lost: list[str] = []
        if not self.is_resumed:
            refuse_results(self.folder)
            if self.previous is None:  # what the data of a mistaken job were found to be
                self.forget_state()
            else:
                lost = metrics_set_aside(self.folder)
        self._remove(names_to_remove(self.previous, is_resumed=self.is_resumed))
        self._sweep()
        warnings = [*standing_warnings(before), *self._taken_over]
        own = with_format(self.identity, self._job)
        self.record = first_record(command, self._job, own, attempts, before, warnings)
        self.write()
        try:
            with self._logs(listener) as recording:
                for text in lost:
                    recording.warning(text)
                yield recording
        except BaseException as error:
            self._fail(error)
            raise

    @contextmanager
    def completed(self, listener: Listener) -> Iterator[RecordingListener]:
        """Add to a finished run; its record stays as it is until `rebuilt`."""
        self._sweep()
        self.record = cast("RunRecord", deepcopy(self.previous or {}))
        with self._logs(listener) as recording:
            yield recording

    def _logs(self, listener: Listener) -> RecordingListener:
        """What writes the logs, with the columns that this job's metrics.csv has."""
        job, record = self._job, self.record
        return RecordingListener(
            *(self.folder, record["warnings"], record["timings"], listener),
            has_objective=job.command == "run" and job.model.inference != "maximum_likelihood",
            several_models=len(job.models) > 1,
            has_folds=job.selection.criterion == "held_out" or bool(job.classes.folds),
            has_classes=job.task == "classify",
        )

    def rebuilt(self, differing: Sequence[str]) -> RunResult:
        """Write the record of a finished run whose outputs were written again."""
        text = f"outputs.zarr was written again from the model ({now()})"
        if differing:
            text += f"; {', '.join(differing)} differ from what the run had written"
        self.record["warnings"].append(text)
        self.write()
        self.forget_state(REBUILD_STATE)
        code = exit_code_of(self.record, self._job)
        return RunResult(int(code), "done", str(self.record.get("outcome")), text, self.shown)

    def finish(self, outcome: str, message: str, exit_code: int) -> RunResult:
        """Write the final record of a run that did its work."""
        self.record |= {
            "status": "done",
            "exit_code": int(exit_code),
            "outcome": outcome,
            "message": message,
            "ended": now(),
        }
        self.write()
        return RunResult(int(exit_code), "done", outcome, message, self.shown)

    def pause(self, message: str) -> RunResult:
        """Write the record of an attempt that has done a part of the work, as it was asked to."""
        self.record |= {"status": "stopped", "exit_code": 0, "message": message, "ended": now()}
        self.write()
        return RunResult(int(ExitCode.DONE), "done", "PREPARED", message, self.shown)

    def forget_state(self, name: str = CHECKPOINT) -> None:
        """Remove the state that a run resumes from, whole: half of one would mislead."""
        with suppress(OSError):
            self.folder.remove(STALE_STATE)
            self.folder.rename(name, STALE_STATE)
            self.folder.remove(STALE_STATE)

    @property
    def is_lost(self) -> bool:
        """Whether another run has taken this directory over: nothing may be written any more."""
        return self._lock is not None and self._lock.is_lost

    def write(self) -> None:
        """Write run.json, whole or not at all."""
        write_json(self.folder / "run.json", self.record)

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
            if not stopped and not isinstance(error, DgmmError):
                write_text(self.folder / "error.txt", "".join(format_exception(error)))
                error.add_note(TRACE_KEPT)
        except DgmmError as second:
            error.add_note(f"run.json could not be written either: {second}")

    def _sweep(self) -> None:
        """Remove files that a killed run did not finish; no other run is here."""
        with suppress(OSError):
            remove_unfinished(self.folder)
            with self.folder.folder(CHECKPOINT) as state:
                remove_unfinished(state)

    def _remove_product(self, name: str) -> None:
        if not self.folder.holds_folder(name) and (self.path / name).is_dir():
            # Whoever made the link may need what it leads to.
            raise OSError(errno.ELOOP, f"{name} is a symbolic link to a directory; remove it")
        self.folder.remove(name)

    def _remove(self, names: tuple[str, ...]) -> None:
        """Remove what an earlier run left; whatever else lies here is not dgmm's and stays."""
        try:
            for name in names:
                self._remove_product(name)
        except OSError as error:
            raise OutputExistsError(
                f"cannot remove the unfinished run in {self.shown}: {error.strerror or error}"
            ) from error
