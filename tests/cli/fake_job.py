"""A `dgmm.job` that does what its output path says: the command line is tested without a fit."""

from __future__ import annotations

import os
import signal
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgmm.config import Job
from dgmm.errors import TRACE_KEPT, ComponentError, DataError, OutputExistsError
from dgmm.events import Listener

ITERATION = {
    "iteration": 12,
    "restart": 0,
    "mean_log_likelihood": -12.3456789,
    "change": 1.2e-5,
    "kernel": "product",
    "dtype": "float64",
    "seconds": 0.5,
    "rows": 400_000,
}


@dataclass(frozen=True)
class Result:
    exit_code: int
    status: str
    outcome: str
    message: str
    directory: Path
    was_finished: bool = False


@dataclass(frozen=True)
class Plan:
    fits: bool

    def __str__(self) -> str:
        return "tiles  4 MiB"


def run_job(
    job: Job,
    listener: Listener,
    *,
    accept_versions: bool = False,
    accept_cost: bool = False,
    rebuild: bool = False,
) -> Result:
    listener.stage("summary", "400,000 rows of 3 features")
    listener.note("dashboard at http://127.0.0.1:8787")
    listener.iteration(ITERATION)
    listener.component({"component": 3, "message": "component 3 of 8 was reseeded"})
    listener.warning("feature \x1b[31mred is constant")
    return _end(job)


ERRORS: dict[str, BaseException] = {
    "invalid": DataError("chunk c/3 is cut short\nrow 12: 3 bytes\nrow 13: 4 bytes"),
    "other-job": OutputExistsError("runs/other-job holds another job"),
    "collapsed": ComponentError("every start failed"),
    "broken": ZeroDivisionError("division by zero\nin two lines"),
    "broken-later": ZeroDivisionError("division by zero"),
    "interrupted": KeyboardInterrupt(),
    "endless-input": EOFError("end of file"),
    "exit": SystemExit(3),
}


def _end(job: Job) -> Result:
    directory = Path(job.output.path)
    if directory.name == "broken-later":
        directory.mkdir(parents=True)
        (directory / "error.txt").touch()
        ERRORS[directory.name].add_note(TRACE_KEPT)
    if directory.name in ERRORS:
        raise ERRORS[directory.name]
    if directory.name == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
    if directory.name == "waits":
        Path("started").touch()
        time.sleep(60)
    if directory.name == "not-converged":
        return Result(10, "failed", "MAX_ITER_REACHED", "not converged", directory)
    message = "converged after 41 iterations: mean log-likelihood -12.3"
    return Result(0, "done", "CONVERGED", message, directory)


def predict_job(
    job: Job, _listener: Listener, *, accept_versions: bool = False, rebuild: bool = False
) -> Result:
    return Result(0, "done", "PREDICTED", f"labelled by {job.model.path}", Path(job.output.path))


def plan_job(job: Job, *, count_missing: bool = False) -> Plan:
    return Plan(fits=job.model.n_components != 999)


def as_module() -> Any:
    """A stand-in for `dgmm.job`."""
    module = types.ModuleType("dgmm.job")
    module.__dict__.update(
        run_job=run_job, predict_job=predict_job, plan_job=plan_job, plan_table=str
    )
    return module


if __name__ == "__main__":
    from dgmm.cli import main

    sys.modules["dgmm.job"] = as_module()
    main()
