"""The commands: each loads its job, calls one package, and returns an `ExitStatus`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from dgmm.cli.exit_status import ExitStatus, Invocation
from dgmm.cli.help_output import CommandGroup, version_option
from dgmm.cli.streams import print_line
from dgmm.errors import InputNotFoundError
from dgmm.exit_codes import ExitCode

if TYPE_CHECKING:
    from dgmm.config import Job

_job_file = click.argument("job_file", metavar="JOB", type=click.Path())
_overrides = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Replace one value of the job file (model.tol=1e-5); may be repeated.",
)
_accept_versions = click.option(
    "--accept-versions",
    is_flag=True,
    help="Continue a run that was begun with other versions of dgmm, NumPy, SciPy or Numba, or "
    "on another processor.",
)
_accept_cost = click.option(
    "--accept-cost",
    is_flag=True,
    help="Fit also where missing values make passes take more than 50 times as long and more "
    "than a second each, and more than 100 models.",
)
_rebuild_outputs = click.option(
    "--rebuild-outputs",
    "rebuild",
    is_flag=True,
    help="Write the outputs of a finished run again from its model, where some are missing.",
)
_exit_skip = click.option(
    "--exit-skip", is_flag=True, help="Exit with 99 where the job was finished before."
)
_quiet = click.option("--quiet", is_flag=True, help="Print only warnings and the last line.")
_EPILOGUE = (
    "Exit codes: 0 done, 2 command line, 10 not converged and 20 drift where the job makes them an "
    "error, 65 data invalid, 66 input not found, 69 cluster, storage or an optional package "
    "unavailable, 70 internal error, 73 output exists with another job, 74 output cannot be "
    "written, 75 stopped by a signal, 78 job file invalid, 99 finished before (with --exit-skip)."
)


@click.group(
    cls=CommandGroup,
    no_args_is_help=False,
    epilog=_EPILOGUE,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@version_option
def commands() -> None:
    """Gaussian mixtures for data that no machine can hold.

    A job is a YAML file: which Zarr array to read, which mixture to fit, where to compute, what to
    write. Paths in it are relative to the current directory.
    """


@commands.command()
@_job_file
@_overrides
@_accept_versions
@_accept_cost
@_rebuild_outputs
@_exit_skip
@_quiet
@click.pass_obj
def run(
    invocation: Invocation, /, job_file: str, overrides: tuple[str, ...], **how: bool
) -> ExitStatus:
    """Fit a mixture, label the rows, write model, outputs and report.

    The same command continues a run that was stopped or killed, with bit-identical results.
    """
    job = _load(invocation, job_file, overrides, "run")
    from dgmm.job import run_job  # noqa: PLC0415 - loads NumPy, Dask and Zarr

    return _carry_out(run_job, job, **how)


@commands.command()
@_job_file
@_overrides
@_accept_versions
@_rebuild_outputs
@_exit_skip
@_quiet
@click.pass_obj
def predict(
    invocation: Invocation, /, job_file: str, overrides: tuple[str, ...], **how: bool
) -> ExitStatus:
    """Label rows with a fitted model.

    The job file says `model: {path: runs/photos/model}` in place of n_components.
    """
    job = _load(invocation, job_file, overrides, "predict")
    from dgmm.job import predict_job  # noqa: PLC0415 - loads NumPy, Dask and Zarr

    return _carry_out(predict_job, job, **how)


@commands.command()
@_job_file
@_overrides
@click.option(
    "--to",
    metavar="PATH",
    type=click.Path(),
    help="Write the rows to this Zarr group, and not to the run directory.",
)
@_accept_versions
@_quiet
@click.pass_obj
def ingest(
    invocation: Invocation,
    /,
    job_file: str,
    overrides: tuple[str, ...],
    to: str | None,
    *,
    accept_versions: bool,
    quiet: bool,
) -> ExitStatus:
    """Read a job's data once and write them as plain rows.

    `dgmm run` does this first where data are no plain array, and goes on from what is there. The
    same command continues one that was stopped or killed, with the same bytes.
    """
    job = _load(invocation, job_file, overrides, "any")
    from dgmm.job import ingest_job, ingest_to  # noqa: PLC0415 - loads NumPy, Dask and Zarr

    how = {"quiet": quiet, "exit_skip": False}
    if to is None:
        return _carry_out(ingest_job, job, accept_versions=accept_versions, **how)
    invocation.directory = Path(to)
    return _carry_out(partial(ingest_to, to=to), job, **how)


@commands.command()
@_job_file
@_overrides
@click.option(
    "--count-missing",
    is_flag=True,
    help="Read up to 64 blocks of rows that are read in place to count the patterns of missing "
    "values, where these are marginalised over.",
)
def plan(job_file: str, overrides: tuple[str, ...], *, count_missing: bool) -> ExitStatus:
    """Show what a job will read, hold and write."""
    job = _load(Invocation(), job_file, overrides, "any")
    from dgmm.job import plan_job, plan_table  # noqa: PLC0415 - loads NumPy and Zarr

    plan = plan_job(job, count_missing=count_missing)
    print_line(plan_table(plan), sys.stdout)
    if plan.fits:
        return ExitStatus(ExitCode.DONE, "done", "the job fits")
    return ExitStatus(ExitCode.JOB_FILE_INVALID, "failed", "the job does not fit, see the plan")


@commands.command()
@_job_file
@_overrides
@click.option("--resolved", is_flag=True, help="Print the job with every default.")
def validate(job_file: str, overrides: tuple[str, ...], resolved: bool) -> None:
    """Check a job file; report every problem, with line and column."""
    from dgmm.config import to_yaml  # noqa: PLC0415 - loads pydantic

    job = _load(Invocation(), job_file, overrides, "any")
    print_line(
        to_yaml(job.resolved()).rstrip("\n") if resolved else f"{job_file}: valid", sys.stdout
    )


@commands.command()
@click.argument("path")
def inspect(path: str) -> ExitStatus | None:
    """Print what a path holds, and a job file that runs on it.

    What is printed is a job file: everything but the job is a comment.
    """
    from dgmm.data.inspection.inspect_path import inspect_path  # noqa: PLC0415 - loads NumPy

    found = inspect_path(path)
    print_line(found.text.rstrip("\n"), sys.stdout)
    if found.why_not:
        return ExitStatus(ExitCode.DATA_INVALID, "failed", f"no job: {found.why_not}")
    return None


@commands.command()
@click.argument("run_directory", type=click.Path(path_type=Path))
def report(run_directory: Path) -> ExitStatus:
    """Write report.html and report.json of a run directory anew."""
    if not (run_directory / "run.json").is_file():
        raise InputNotFoundError(f"{run_directory} is not a run directory: it has no run.json")
    from dgmm.report import write_report  # noqa: PLC0415 - loads NumPy

    page = write_report(run_directory)
    return ExitStatus(ExitCode.DONE, "done", f"wrote {page}", run_directory)


@commands.command()
@click.argument("run_a", type=click.Path())
@click.argument("run_b", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
def compare(run_a: str, run_b: str, *, as_json: bool) -> None:
    """Match the components of two runs or models, and compare labels of the same rows.

    Not a measure of drift: two fits of the same rows may differ as much. For that a job has
    `monitor`.
    """
    from dgmm.job.comparing import compare as compared  # noqa: PLC0415 - loads NumPy and Zarr

    found = compared(run_a, run_b)
    text = json.dumps(found.record(), indent=2) if as_json else found.table()
    print_line(text, sys.stdout)


@commands.command()
def warm() -> ExitStatus:
    """Compile all code ahead, for images of containers and new nodes.

    It is kept where Numba keeps it: in NUMBA_CACHE_DIR if that is set, else beside the package,
    else in the user's cache. Processes find it there, also where they cannot write.
    """
    from dgmm.estimator.warming import warm as warmed  # noqa: PLC0415 - loads NumPy and Numba

    found = warmed(lambda line: print_line(line, sys.stdout))
    return ExitStatus(
        ExitCode.DONE,
        "done",
        f"{found.n_functions} functions, {found.n_compiled} times compiled and {found.n_found} "
        f"found compiled for types of arguments, in {found.seconds:.1f} s",
        Path(found.folder),
    )


@commands.command()
def schema() -> None:
    """Print the JSON Schema of job files, for editors."""
    from dgmm.config import json_schema  # noqa: PLC0415 - loads pydantic

    print_line(json.dumps(json_schema(), indent=2), sys.stdout)


def _load(
    invocation: Invocation,
    job_file: str,
    overrides: tuple[str, ...],
    kind: Literal["run", "predict", "any"],
) -> Job:
    from dgmm.config import load_job  # noqa: PLC0415 - loads pydantic and ruamel.yaml

    job = load_job(job_file, overrides, kind=kind)
    invocation.directory = Path(job.output.path)
    return job


def _carry_out(
    carry_out: Callable[..., Any], job: Job, *, quiet: bool, exit_skip: bool, **how: bool
) -> ExitStatus:
    from dgmm.cli.progress import progress  # noqa: PLC0415 - loads rich on a terminal

    with progress(quiet=quiet, n_init=job.model.n_init) as listener:
        result = carry_out(job, listener, **how)
    skipped = exit_skip and result.was_finished
    code = ExitCode.SKIPPED if skipped else ExitCode(result.exit_code)
    return ExitStatus(code, result.status, result.message, Path(result.directory))
