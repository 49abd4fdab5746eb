"""What the sample jobs share: write the sample once, then become `dgmm run` of its job file."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

PROJECT = Path(__file__).resolve().parent.parent


def run_sample(
    about: str, write: Callable[[Path], None], name: str, job: str, argv: list[str] | None = None
) -> int:
    """Write a sample to the project's `data/NAME` unless it is there, then fit it.

    Parameters
    ----------
    about
        What `--help` says.
    write
        Writes the sample to a path that is not there yet.
    name, job
        The sample's name below `data/`, and the job file's below `config/`.
    argv
        The command line; that of the process by default.
    """
    chosen = _arguments(about, name, job, argv)
    os.chdir(PROJECT)  # the job file's paths begin here
    path = chosen.path or Path("data") / name
    if path.exists():
        print(f"{path} is there already")
    else:
        print(f"writing {path}")
        _written_whole(path, write)
    if not chosen.only_data:
        place = [f"data.path={path}"] if chosen.path else []
        _fit(chosen.job or Path("config") / job, place + chosen.set)
    return 0


def needs(package: str, error: ImportError) -> SystemExit:
    """The end of a job that lacks a package, with the line that installs it."""
    return SystemExit(f"{error}\nThis sample needs: pip install '{package}'")


def _written_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside the path and rename at the end: what bears the name is whole."""
    partial = path.with_name(f"partial-{path.name}")
    if partial.is_dir():
        shutil.rmtree(partial)
    partial.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(partial)
    partial.rename(path)


def _absolute(text: str) -> Path:
    return Path(text).absolute()


def _arguments(about: str, name: str, job: str, argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about)
    add = parser.add_argument
    add("--path", type=_absolute, help=f"the sample (default: the project's data/{name})")
    add("--job", type=_absolute, help=f"the job file (default: the project's config/{job})")
    add("--only-data", action="store_true", help="write the sample, but do not fit it")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="goes to `dgmm run`")
    return parser.parse_args(argv)


def _fit(job: Path, settings: list[str]) -> NoReturn:
    """Become `dgmm run`, so that signals and the exit code are its own."""
    command = [sys.executable, "-m", "dgmm", "run", str(job)]
    command += [word for setting in settings for word in ("--set", setting)]
    sys.stdout.flush()  # what is buffered here would be lost
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted
