"""The README and the documents say what is so: commands, tables, links and examples."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dgmm.exit_codes import ExitCode

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
MAKE = shutil.which("make") or ""


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))


def test_each_make_command_in_the_documents_is_a_target() -> None:
    named = set()
    for page in DOCUMENTS:
        named |= set(re.findall(r"(?:^ *|`)make ([a-z]+)", page.read_text(), flags=re.MULTILINE))
    assert {"run", "test", "lint"} <= named <= targets()


def test_help_names_every_other_target() -> None:
    printed = subprocess.run(
        [MAKE, "help"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"^make ([a-z]+)", printed, flags=re.MULTILINE)) == targets() - {"help"}


def test_files_and_folders_that_the_readme_names_exist() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", (PROJECT / "README.md").read_text())
    assert linked
    assert [path for path in linked if not (PROJECT / path).exists()] == []


def example(language: str) -> str:
    """The first fenced block of the README in a language."""
    found = re.search(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def first_column(heading: str) -> list[str]:
    """The first cells of the README's table whose heading row begins so."""
    table = README[README.index(f"| {heading} |") :].split("\n\n")[0]
    return [row.split("|")[1].strip() for row in table.splitlines()[2:]]


def test_the_table_of_exit_codes_is_complete() -> None:
    assert [int(code) for code in first_column("code")] == sorted(ExitCode)


def test_the_table_of_commands_is_complete() -> None:
    from dgmm.cli.commands import commands

    assert {cell.strip("`").split()[1] for cell in first_column("command")} == set(
        commands.commands
    )


def test_the_table_of_outputs_is_what_is_written() -> None:
    from dgmm.scoring.output_registry import ROW_OUTPUTS

    cells = " ".join(first_column("in the run directory"))
    assert set(re.findall(r"outputs\.zarr/(\w+)", cells)) == set(ROW_OUTPUTS)


def test_the_example_job_is_valid(tmp_path: Path) -> None:
    from dgmm.config import load_job

    path = tmp_path / "job.yaml"
    path.write_text(example("yaml"))
    assert load_job(str(path)).model.n_components == 8


@pytest.mark.slow
def test_the_example_in_python_runs(tmp_path: Path) -> None:
    script, last = example("python").rsplit("\n\n", 1)
    assert last.startswith("model = dgmm.load_model(")  # the only line that needs a job's model
    command = [sys.executable, "-W", "error", "-c", f"{script}\nassert set(labels) == {{0, 1}}"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_no_document_names_a_file_of_the_project_that_is_not_there(page: Path) -> None:
    named = set(
        re.findall(r"(?<![\w/])((?:dgmm|config|jobs|docs|tests)/[\w./-]+\.\w+)", page.read_text())
    )
    assert sorted(name for name in named if not (PROJECT / name).exists()) == []
