"""What pip, git and CI get to see of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import dgmm

PROJECT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
GIT = shutil.which("git") or ""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in requirements}


def test_pip_and_the_package_know_the_same_version() -> None:
    assert metadata.version("dgmm") == dgmm.__version__


def test_the_console_script_is_the_command_line() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="dgmm")
    assert script.value == "dgmm.cli:main"


@pytest.mark.parametrize("words", [["-m", "dgmm"], [str(Path(sys.executable).with_name("dgmm"))]])
def test_both_ways_to_start_the_program_print_the_version(words: list[str]) -> None:
    command = [sys.executable, *words, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert dgmm.__version__ in done.stdout


def test_the_package_is_typed_and_licensed() -> None:
    assert (PROJECT / "dgmm" / "py.typed").exists()
    assert PYPROJECT["project"]["license"] == "BSD-3-Clause"
    assert "Redistribution and use in source and binary forms" in (PROJECT / "LICENSE").read_text()


def test_scikit_learn_is_an_extra_and_the_report_needs_none() -> None:
    assert not names(PYPROJECT["project"]["dependencies"]) & {"scikit-learn", "matplotlib"}
    assert EXTRAS["report"] == []
    assert "scikit-learn" in names(EXTRAS["demo"])
    assert "dgmm[fast]" in EXTRAS["demo"]
    assert "dgmm[demo]" in EXTRAS["test"]


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    """Hatchling leaves out what git ignores: a loose `data/` in .gitignore would drop dgmm/data."""
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    builder = hatchling.WheelBuilder(str(PROJECT))
    packed = {
        file.distribution_path
        for file in builder.recurse_included_files()
        if "__pycache__" not in file.path
    }
    present = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "dgmm").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert present <= packed


def test_git_ignores_what_is_made_and_nothing_that_is_written(tmp_path: Path) -> None:
    shutil.copy(PROJECT / ".gitignore", tmp_path)
    made = [".venv/x", "data/photos.zarr/x", "runs/photos/run.json", ".matplotlib/x", ".home/x"]
    written = ["dgmm/reduction/blocks.py", "tests/data/test_blocks.py", "docs/images/photos.png"]
    subprocess.run([GIT, "init", "--quiet"], cwd=tmp_path, check=True)
    asked = subprocess.run(
        [GIT, "check-ignore", *made, *written],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.stdout.splitlines() == made


def test_ci_runs_the_tests_and_then_lint() -> None:
    script = PROJECT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert [line for line in lines if line.startswith("make")] == ["make test", "make lint"]
