"""`dgmm run` that kills itself with SIGKILL at a chosen point: python killed_run.py POINT N JOB.

POINT names a place of `POINTS`; the Nth time the run comes by it, the process dies as a machine
that loses its power does. EM's state is kept after every pass, and a pass's after every task.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from dgmm.checkpoint import run_state
from dgmm.cli.entry_point import run
from dgmm.data.summary import summarise as summary
from dgmm.data.summary import weight_summary
from dgmm.data.zarr import output_store as zarr_output
from dgmm.delivery import anomaly_table, row_table
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.drift import drift_pass
from dgmm.fitting.em import data_pass
from dgmm.job import directory, output_stage
from dgmm.job import fit_job as fitting
from dgmm.reduction.tree import TreeReducer
from dgmm.scoring import scoring_pass as outputs
from dgmm.storage import array_files, folders


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at(
    owner: Any, name: str, *, after: bool = False, half: bool = False
) -> Callable[[int], None]:
    """Make the nth call of a function the last thing that this process does."""

    def arm(nth: int) -> None:
        function = getattr(owner, name)
        calls = 0

        @wraps(function)
        def deadly(*arguments: Any, **words: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == nth:
                if half:  # the stream and its data: half of it reaches the file
                    stream, data = arguments
                    function(stream, bytes(data)[: len(data) // 2])
                    stream.flush()
                elif after:
                    function(*arguments, **words)
                die()
            return function(*arguments, **words)

        setattr(owner, name, deadly)

    return arm


def dies_in_leaves(owner: Any) -> Callable[[int], None]:
    """Die in the middle of a map: when the nth block of all is done."""

    def arm(nth: int) -> None:
        call = owner.__call__
        blocks = 0

        def deadly(self: Any, part: Any) -> Any:
            nonlocal blocks
            for pair in call(self, part):
                blocks += 1
                if blocks == nth:
                    die()
                yield pair

        owner.__call__ = deadly

    return arm


POINTS: dict[str, Callable[[int], None]] = {
    "before a map": dies_at(ThreadExecutor, "run"),
    "inside the weights": dies_in_leaves(weight_summary._WeightLeaves),
    "inside the summary": dies_in_leaves(summary._SummaryLeaves),
    "inside the drift pass": dies_in_leaves(drift_pass.DriftTask),
    "inside an E-step": dies_in_leaves(data_pass.EStepTask),
    "inside the scoring pass": dies_in_leaves(outputs.RowWriter),
    "after a reduce": dies_at(TreeReducer, "result", after=True),
    "before the state of EM is kept": dies_at(run_state.RunState, "save_em_state"),
    "half-way through a checkpoint": dies_at(array_files._Hashing, "write", half=True),
    "before a file gets its name": dies_at(folders.Folder, "rename"),
    "after a file got its name": dies_at(folders.Folder, "rename", after=True),
    "between outputs": dies_at(zarr_output.OutputArray, "write"),
    "after an output, before it is synced": dies_at(zarr_output.OutputArray, "sync"),
    "before outputs are published": dies_at(output_stage, "publish_outputs"),
    "after outputs are published": dies_at(output_stage, "publish_outputs", after=True),
    "between files of the anomalies": dies_at(anomaly_table, "write_part"),
    "between files of the table": dies_at(row_table, "write_part"),
    "before the model is saved": dies_at(fitting, "_save"),
    "before the end is told": dies_at(directory.RunDirectory, "finish"),
    "after the end is told": dies_at(directory.RunDirectory, "finish", after=True),
}


def main(point: str, nth: str, job: str, *words: str) -> int:
    """Run the job, deadly."""
    run_state.EM_EVERY_S = 0.0
    run_state._WORTH_SAVING_S = 0.0
    POINTS[point](int(nth))
    return run(["run", "--quiet", *words, job])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
