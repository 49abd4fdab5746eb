"""What a job works with: its state on disk and its executor, once its plan fits their memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from dgmm.checkpoint import RunState
from dgmm.config import Job
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.plan import Plan
from dgmm.job.plan_table import require_memory
from dgmm.job.resume_check import run_state
from dgmm.job.stages import opened_executor
from dgmm.reduction.executor import OpenExecutor


class RunResources(NamedTuple):
    """The state that a run resumes from, where its tasks run, and the plan for those workers."""

    state: RunState
    executor: OpenExecutor
    plan: Plan


@contextmanager
def run_resources(
    job: Job,
    directory: RunDirectory,
    recording: RecordingListener,
    plan: Plan,
    data: Mapping[str, Any],
    *,
    accept_versions: bool,
) -> Iterator[RunResources]:
    """Open what a run works with, for as long as it works; `data` is its inputs' fingerprint.

    Raises
    ------
    JobFileError, UnavailableError
        If the job does not fit into memory: before anything is started where the limit is known.
    OutputExistsError
        As `opened_executor`.
    """
    require_memory(plan, plan.memory_limit)
    with (
        run_state(job, directory, data, recording) as state,
        opened_executor(
            job, directory, recording, plan, accept_versions=accept_versions
        ) as executor,
    ):
        yield RunResources(state, executor, fitted_to(executor, plan))


def fitted_to(executor: OpenExecutor, plan: Plan) -> Plan:
    """The plan for the workers as they are.

    Raises
    ------
    JobFileError, UnavailableError
        If it does not fit into their memory.
    """
    plan = plan.found(executor.task_memory_limit, executor.threads_per_worker, executor.pause_share)
    require_memory(plan, executor.task_memory_limit)
    return plan
