"""A folder with inputs good and bad, where random job files are tried; put in order after each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from attempts import Attempt, attempt, command_options
from random_arrays import ArrayCase
from random_jobs import JobFile, capped
from sound_runs import unsound

from dgmm.exit_codes import ExitCode

_JOB = """
data: {path: rows.zarr}
model: {n_components: 2, max_iter: 2}
output: {path: finished, report: false}
"""


@dataclass(frozen=True, slots=True)
class Tried:
    """One command on one job file, and what it did that no command may do."""

    attempt: Attempt
    faults: tuple[str, ...]
    trace: str = ""


class Sandbox:
    """The folder `work` below a folder of its own, so that writing beside it would be seen.

    Parameters
    ----------
    folder
        Empty; everything happens below it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "work"
        self.path.mkdir()
        rows = np.random.default_rng(0).normal(size=(30, 2))
        _store(self.path / "rows.zarr", rows)
        _store(self.path / "group.zarr" / "rows", rows)
        zarr.open_group(str(self.path / "group.zarr"), mode="a")
        (self.path / "file.txt").write_text("not an array")
        (self.path / "empty").mkdir()
        (self.path / "full").mkdir()
        (self.path / "full" / "thesis.txt").write_text("mine")
        (self.path / "loop").symlink_to("loop")
        with chdir(self.path):
            Path("job.yaml").write_text(_JOB)
            done = attempt("run", "job.yaml", "--set", "cluster.kind=threads")
            if done.exit_code:
                raise RuntimeError(done.stderr)
            shutil.copytree("finished/model", "model")
        self._kept = frozenset(p.name for p in self.path.iterdir())

    def try_job(self, job: JobFile, *, thoroughly: bool = False) -> Iterator[Tried]:
        """Throw a job at `validate`; at `plan` and `run` too where it is valid, or `thoroughly`."""
        with chdir(self.path):
            Path("job.yaml").write_bytes(job.content)
            validated = attempt("validate", "job.yaml", *command_options(job.overrides))
            yield Tried(validated, tuple(validated.faults(None)))
            if validated.exit_code and not thoroughly:
                return
            planned = attempt("plan", "job.yaml", *command_options(job.overrides))
            yield Tried(planned, tuple(planned.faults(None)))
            small = capped(job)
            run = attempt("run", "--quiet", "job.yaml", *command_options(small.overrides))
            yield Tried(run, tuple(run.faults(_directory(small.output))))
            self._put_in_order()

    def _put_in_order(self) -> None:
        for name in {p.name for p in self.path.iterdir()} - self._kept:
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def try_array(case: ArrayCase, folder: Path) -> Iterator[Tried]:
    """Plan and run a case in an empty folder; what a run leaves that ends well is looked into."""
    shutil.rmtree(folder, ignore_errors=True)
    case.write(folder)
    with chdir(folder):
        planned = attempt("plan", "job.yaml")
        yield Tried(planned, tuple(planned.faults(None)))
        run = attempt("run", "--quiet", "job.yaml")
        faults = run.faults(Path("run"))
        if run.exit_code in {ExitCode.DONE, ExitCode.NOT_CONVERGED}:
            faults += unsound(case, Path("run"))
        error = Path("run/error.txt")
        yield Tried(run, tuple(faults), error.read_text() if error.exists() else "")


def _directory(output: str | None) -> Path | None:
    return None if output is None or "\0" in output else Path(output)


def _store(path: Path, rows: np.ndarray) -> None:
    zarr.create_array(
        str(path), shape=rows.shape, dtype=rows.dtype, chunks=(10, 2), config=ALL_WRITTEN
    )[...] = rows


#: Chunks full of fill values are stored as any other.
ALL_WRITTEN = {"write_empty_chunks": True}
