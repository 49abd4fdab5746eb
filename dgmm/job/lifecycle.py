"""The steps of every job, whatever its work: claim, read, resume or begin, report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.errors import PoisonBlocksError
from dgmm.events import Listener
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.previous_attempts import refuse_lost_state
from dgmm.job.products import (
    holds_damaged_outputs,
    incomplete,
    missing_logs,
    missing_products,
    outputs_set_aside,
)
from dgmm.job.result import RunResult
from dgmm.job.resume_check import accepted_changes, check_state
from dgmm.job.stages import write_report_if_asked
from dgmm.mixture.backends import require
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.runtime.blas_threads import limited_thread
from dgmm.runtime.resource_errors import shortages_named


class Inputs(Protocol):
    """What a job reads."""

    @property
    def dataset(self) -> Dataset:
        """The rows."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What tells these inputs from others."""


T = TypeVar("T", bound=Inputs)
Work = Callable[[Job, T, RunDirectory, RecordingListener], RunResult]


@limited_thread()  # from the first look at a model to the report, not in passes alone
def run_recorded(
    job: Job,
    listener: Listener,
    read: Callable[[Job, Mapping[str, Any]], T],
    work: Work[T],
    *,
    accept_versions: bool,
    rebuild: Work[T] | None = None,
) -> RunResult:
    """Do a job's work, resume it, or return that it was done before.

    Parameters
    ----------
    job, listener
        What to do, and who hears of it.
    read
        Opens the inputs, by the job and the record of the attempt that is resumed, or that has
        finished; of the data nothing but metadata and listings is read.
    work
        Everything but the report.
    accept_versions
        Resume what other versions of the software began.
    rebuild
        Writes what a finished run lacks; None where that is not asked for.

    Raises
    ------
    DgmmError
        With the exit code of the command line; run.json records it too.
    """
    require(job.compute.backend)
    with RunDirectory.opened(job, listener) as directory:
        refuse_lost_state(directory.folder, directory.previous, job.model.max_iter)
        if directory.is_finished and not (rebuild and directory.can_save_model_again):
            inputs = read(job, directory.previous or {})
            result = _finished(job, directory, inputs, listener, rebuild)
        else:
            # Before anything is written: a state of other data is left as it is.
            seen = read(job, directory.previous or {}) if directory.is_resumed else None
            changes: list[str] = []
            if seen is not None:
                changes = accepted_changes(
                    directory, seen.fingerprint, accept_versions=accept_versions
                )
                check_state(directory, seen.fingerprint)
            if holds_damaged_outputs(directory.folder, directory.previous or {}):
                changes += outputs_set_aside(directory.folder)  # they would pass for finished ones
            with directory.recorded(job.command, listener) as recording:
                for text in changes:
                    recording.warning(text)
                inputs = read(job, {}) if seen is None else seen
                with shortages_named(), _rows_named(inputs.dataset.grid):
                    result = work(job, inputs, directory, recording)
        is_done = directory.record.get("status") == "done"
        if is_done and not (result.was_finished and directory.is_read_only):
            write_report_if_asked(job, directory, listener)
        return result


def _finished(
    job: Job, directory: RunDirectory, inputs: T, listener: Listener, rebuild: Work[T] | None
) -> RunResult:
    """What a finished run is left with: nothing to do, or products to write again."""
    result = directory.finished_before(inputs.fingerprint)
    missing = missing_products(directory.folder, directory.record)
    if missing and rebuild is None:
        raise incomplete(directory.folder, directory.record, missing)
    for name in missing_logs(directory.folder, directory.record):
        listener.warning(f"{directory.shown} lacks {name}, which cannot be written again")
    if not missing or rebuild is None:
        return result
    rows_named = _rows_named(inputs.dataset.grid)
    with directory.completed(listener) as recording, shortages_named(), rows_named:
        return rebuild(job, inputs, directory, recording)


@contextmanager
def _rows_named(grid: BlockGrid) -> Iterator[None]:
    """Blocks that end workers are named by their rows too."""
    try:
        yield
    except PoisonBlocksError as error:
        rows = grid.rows_of_range(BlockRange(*error.blocks))
        raise PoisonBlocksError(error.ended, error.blocks, rows) from error
