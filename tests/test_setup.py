"""`make run`, `make test` and their set-up on machines of every kind.

The interpreters are small shell scripts that write down how they are called: nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
MAKE = shutil.which("make") or ""
TOOLS = ["sh", "basename", "cat", "cksum", "cp", "find", "flock", "mkdir", "rm", "sleep", "test"]

FAKE_PYTHON = """#!/bin/sh
# Stands in for an interpreter: `-m venv DIR` puts a copy of it there, pip writes down its words.
echo "$(basename "$0") $*" >>"$JOURNAL"
case "$*" in
    *version_info*) {version} ;;
    *ensurepip*) {ensurepip} ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip --version") ;;
    "-m pip install "*) {install} ;;
esac
"""


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what a surrounding make hands down."""
    dropped = {"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "PYTHON"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | changes


@dataclass
class Machine:
    """A clone in a path with a space, and a PATH on which only the given Pythons lie."""

    tools: Path
    clone: Path
    journal: Path
    changes: dict[str, str] = field(default_factory=dict)

    def has(
        self, name: str, version: str, *, ensurepip: str = "true", install: str = "true"
    ) -> Path:
        path = self.tools / name
        answer = f"echo {version}" if version[0].isdigit() else version
        path.write_text(FAKE_PYTHON.format(version=answer, ensurepip=ensurepip, install=install))
        path.chmod(0o755)
        return path

    def start(self, *words: str) -> subprocess.Popen[str]:
        system = {"PATH": str(self.tools), "JOURNAL": str(self.journal)}
        return subprocess.Popen(
            [MAKE, *words],
            cwd=self.clone,
            env=environment(**system, **self.changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        with self.start(*words) as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def calls(self, words: str) -> list[str]:
        """Interpreters' calls since the last time this was asked that contain `words`."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        self.journal.unlink(missing_ok=True)
        return [line for line in lines if words in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "bin", tmp_path / "a clone", tmp_path / "journal")
    machine.tools.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (machine.tools / name).symlink_to(found)
    shutil.copytree(PROJECT / ".ci", machine.clone / ".ci")
    for name in ("dgmm", "jobs", "tests"):
        (machine.clone / name).mkdir()
    for name in ("Makefile", "pyproject.toml", "dgmm/version.py"):
        shutil.copy(PROJECT / name, machine.clone / name)
    return machine


@pytest.mark.parametrize("target", ["run", "test"])
def test_an_old_python_is_refused_by_name(machine: Machine, target: str) -> None:
    machine.has("python3", "3.10")
    refused = machine.make(target)
    assert refused.returncode != 0
    assert "dgmm needs Python 3.11 or newer" in refused.stderr
    assert "python3 is 3.10" in refused.stderr
    assert not (machine.clone / ".venv").exists()


def test_a_machine_without_python_is_told_what_was_tried(machine: Machine) -> None:
    refused = machine.make("test")
    assert refused.returncode != 0
    assert "tried python3.13 python3.12 python3.11 python3" in refused.stderr


def test_the_newest_python_that_runs_is_taken(machine: Machine) -> None:
    machine.has("python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    machine.has("python3.12", "3.12")
    machine.has("python3.11", "3.11")
    done = machine.make("test")
    assert done.returncode == 0, done.stderr
    assert "making .venv with Python 3.12" in done.stdout
    assert machine.calls("-m venv") == ["python3.12 -m venv .venv"]


def test_python3_is_taken_where_no_version_bears_its_name(machine: Machine) -> None:
    machine.has("python3", "3.14")
    assert machine.make("test").returncode == 0
    assert machine.calls("-m venv") == ["python3 -m venv .venv"]


def test_a_python_without_venv_is_passed_over_for_an_older_one_with_it(machine: Machine) -> None:
    machine.has("python3.13", "3.13", ensurepip="false")
    machine.has("python3.11", "3.11")
    assert machine.make("test").returncode == 0
    assert machine.calls("-m venv") == ["python3.11 -m venv .venv"]


def test_where_venv_is_split_off_the_apt_line_is_printed(machine: Machine) -> None:
    machine.has("python3", "3.11", ensurepip="false")
    refused = machine.make("test")
    assert refused.returncode != 0
    assert "sudo apt install python3.11-venv" in refused.stderr
    assert not (machine.clone / ".venv").exists()


def test_python_can_be_named(machine: Machine) -> None:
    machine.has("python3", "3.11")
    named = machine.has("my python", "3.12")
    assert machine.make("test", f"PYTHON={named}").returncode == 0
    assert machine.calls("-m venv") == ["my python -m venv .venv"]


def test_a_named_python_that_does_not_run_is_refused(machine: Machine) -> None:
    machine.has("python3", "3.11")
    assert machine.make("test").returncode == 0
    refused = machine.make("test", "PYTHON=/nowhere/python")
    assert refused.returncode != 0
    assert "tried /nowhere/python" in refused.stderr


def test_another_python_makes_another_venv(machine: Machine) -> None:
    machine.has("python3", "3.11")
    machine.has("python3.12", "3.12")
    assert machine.make("test", "PYTHON=python3").returncode == 0
    assert machine.make("test", "PYTHON=python3.12").returncode == 0
    assert machine.calls("-m venv") == ["python3 -m venv .venv", "python3.12 -m venv .venv"]
    assert machine.make("test").returncode == 0
    assert machine.calls("-m venv") == []


@pytest.mark.parametrize(
    ("target", "extra", "last"),
    [
        ("run", "demo", "jobs/photos.py"),
        ("test", "test", "-m pytest --numprocesses=2 --dist=loadfile"),
        ("lint", "lint", "-m mypy"),
        ("docs", "docs", "-m sphinx -W --keep-going -q -b html docs build/docs"),
    ],
)
def test_each_target_installs_its_extra_and_then_does_its_work(
    machine: Machine, target: str, extra: str, last: str
) -> None:
    machine.has("python3", "3.11")
    done = machine.make(target)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2
    calls = machine.calls("python ")
    assert f"python -m pip install --quiet --editable .[{extra}]" in calls
    assert calls[-1].strip() == f"python {last}"


def test_what_is_set_up_is_not_set_up_again(machine: Machine) -> None:
    machine.has("python3", "3.11")
    assert machine.make("test").returncode == 0
    machine.calls("")
    again = machine.make("test")
    assert again.stdout == ""
    assert machine.calls("pip") == []


def test_a_second_extra_comes_into_the_same_venv(machine: Machine) -> None:
    machine.has("python3", "3.11")
    assert machine.make("run").returncode == 0
    machine.calls("")
    assert machine.make("test").returncode == 0
    assert [line.split()[-1] for line in machine.calls("install")] == [".[test]"]
    assert machine.make("run").stdout == ""


@pytest.mark.parametrize("changed", ["pyproject.toml", "dgmm/version.py"])
def test_other_metadata_are_installed_again_into_the_same_venv(
    machine: Machine, changed: str
) -> None:
    machine.has("python3", "3.11")
    assert machine.make("test").returncode == 0
    machine.calls("")
    with (machine.clone / changed).open("a") as file:
        file.write("# a change\n")
    assert machine.make("test").returncode == 0
    calls = machine.calls("python")
    assert sum("install" in call for call in calls) == 1
    assert not any("-m venv" in call for call in calls)


def test_a_folder_that_was_moved_is_installed_from_its_new_place(machine: Machine) -> None:
    machine.has("python3", "3.11")
    assert machine.make("test").returncode == 0
    machine.calls("")
    machine.clone = machine.clone.rename(machine.clone.with_name("moved"))
    assert machine.make("test").returncode == 0
    assert len(machine.calls("install")) == 1


def test_an_interrupted_set_up_is_made_again_from_the_start(machine: Machine) -> None:
    machine.has("python3", "3.11", install=': >"$0.half"; sleep 60')
    with machine.start("test") as process:
        wait_for(machine.clone / ".venv" / "bin" / "python.half")
        os.killpg(process.pid, signal.SIGKILL)
    machine.has("python3", "3.11")
    machine.calls("")
    done = machine.make("test")
    assert done.returncode == 0, done.stderr
    assert "making .venv" in done.stdout
    assert not (machine.clone / ".venv" / "bin" / "python.half").exists()
    assert len(machine.calls("install")) == 1


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


@pytest.mark.skipif(shutil.which("flock") is None, reason="set-ups at once need flock")
def test_two_set_ups_at_once_make_one_venv(machine: Machine) -> None:
    machine.has("python3", "3.11", install='sleep 1; echo "$*" >>"$JOURNAL"')
    with machine.start("test") as first, machine.start("test") as second:
        outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
        assert [first.returncode, second.returncode] == [0, 0]
    assert sum("waiting for another set-up" in output for output in outputs) == 1
    assert len(machine.calls("-m venv")) == 1


@pytest.mark.parametrize("python", [None, "/nowhere/python", "/bin/false"])
def test_a_venv_whose_python_or_pip_does_not_run_is_made_again(
    machine: Machine, python: str | None
) -> None:
    machine.has("python3", "3.11")
    (machine.clone / ".venv" / "bin").mkdir(parents=True)
    if python:
        (machine.clone / ".venv" / "bin" / "python").symlink_to(python)
    assert machine.make("test").returncode == 0
    assert len(machine.calls("-m venv")) == 1


def test_a_venv_that_somebody_else_made_is_kept(machine: Machine) -> None:
    """Whoever made it may have more in it; pip adds what is missing."""
    machine.has("python3", "3.11")
    own = machine.clone / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    shutil.copy(machine.tools / "python3", own)
    assert machine.make("test").returncode == 0
    assert machine.calls("-m venv") == []
    assert (machine.clone / ".venv" / ".ready-test").exists()


def test_a_failed_installation_shows_what_pip_says_and_is_redone(machine: Machine) -> None:
    machine.has("python3", "3.11", install="echo no route to host >&2; exit 1")
    failed = machine.make("test")
    assert failed.returncode != 0
    assert "no route to host" in failed.stderr
    assert "the same command starts it again" in failed.stderr
    assert machine.calls("pytest") == []
    machine.has("python3", "3.11")
    assert machine.make("test").returncode == 0


@pytest.mark.parametrize("home", ["", "/nowhere", "/dev/null"])
def test_without_a_home_to_write_to_the_project_lends_one(machine: Machine, home: str) -> None:
    machine.has("python3", "3.11", install='echo "home=$HOME mpl=$MPLCONFIGDIR" >>"$JOURNAL"')
    machine.changes["HOME"] = home
    assert machine.make("test").returncode == 0
    expected = f"home={machine.clone}/.home mpl={machine.clone}/.matplotlib"
    assert machine.calls("home=") == [expected]
    assert (machine.clone / ".home").is_dir()


def test_a_home_that_can_be_written_is_kept(machine: Machine) -> None:
    machine.has("python3", "3.11", install='echo "home=$HOME" >>"$JOURNAL"')
    machine.changes["HOME"] = str(machine.tools)
    assert machine.make("test").returncode == 0
    assert machine.calls("home=") == [f"home={machine.tools}"]


def test_what_the_users_shell_says_about_python_does_not_reach_the_venv(machine: Machine) -> None:
    machine.has("python3", "3.11", install='echo "path=$PYTHONPATH pip=$PIP_USER" >>"$JOURNAL"')
    machine.changes |= {"PYTHONPATH": "/opt/ros", "PIP_USER": "1"}
    assert machine.make("test").returncode == 0
    assert machine.calls("path=") == ["path= pip=0"]


def test_args_reach_pytest_as_they_were_quoted(machine: Machine) -> None:
    machine.has("python3", "3.11")
    assert machine.make("test", "ARGS=-k 'photos or packaging' -x").returncode == 0
    assert machine.calls("pytest") == [
        "python -m pytest --numprocesses=2 --dist=loadfile -k photos or packaging -x"
    ]


def test_clean_keeps_the_users_runs_and_data(machine: Machine) -> None:
    for made in (".venv/x", "data/photos.zarr/x", "data/mine.zarr/x", "runs/photos/x"):
        (machine.clone / made).mkdir(parents=True)
    assert machine.make("clean").returncode == 0
    left = {str(path.relative_to(machine.clone)) for path in machine.clone.rglob("x")}
    assert left == {"data/mine.zarr/x", "runs/photos/x"}
