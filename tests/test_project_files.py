"""Files for those who use, cite and carry on the project: each agrees with what it speaks of."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import dgmm

PROJECT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
FORGE = PROJECT / ".github"
FORMS = sorted(p for p in (FORGE / "ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml")
WORKFLOWS = sorted((FORGE / "workflows").glob("*.yml"))
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def recipe(target: str) -> list[str]:
    """The commands of a make target, as the shell gets them."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^{target}:\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)
    assert found is not None
    lines = found[1].replace("$(python)", ".venv/bin/python").splitlines()
    return [line.strip().removeprefix("@") for line in lines]


def targets() -> set[str]:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))


# Constraints


def test_the_lowest_versions_are_those_of_pyproject() -> None:
    script = PROJECT / ".ci" / "lowest.py"
    printed = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    stored = script.with_suffix(".txt").read_text(encoding="utf-8")
    assert stored == printed, "python .ci/lowest.py > .ci/lowest.txt"
    needed = {re.split(r"[\[>]", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    assert needed <= {line.partition("==")[0] for line in stored.splitlines()}


# Hooks and workflows


def test_hooks_run_what_make_lint_runs() -> None:
    (repository,) = load(PROJECT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # so that versions come from pyproject.toml alone
    hooks = repository["hooks"]
    assert [hook["entry"] for hook in hooks] == recipe("lint")
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)
    assert len({hook["id"] for hook in hooks}) == len(hooks)


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in load(workflow)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_targets_of_the_makefile_and_may_only_read(workflow: Path) -> None:
    content = load(workflow)
    assert content["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 120 for job in content["jobs"].values())
    commands = [step["run"] for step in steps(workflow) if "run" in step]
    named = {re.fullmatch(r"make ([a-z]+) PYTHON=python", command) for command in commands}
    assert None not in named
    assert {match[1] for match in named if match} <= targets()


def test_workflows_test_every_python_with_the_newest_and_one_with_the_lowest_versions() -> None:
    job = load(FORGE / "workflows" / "test.yml")["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    classifiers = " ".join(PYPROJECT["project"]["classifiers"])
    assert matrix["python"] == re.findall(r"Python :: (3\.\d+)", classifiers)
    assert matrix["dependencies"] == ["newest"]
    oldest = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    assert matrix["include"] == [{"python": oldest, "dependencies": "lowest"}]
    constraint = job["env"]["PIP_CONSTRAINT"]
    assert (PROJECT / re.findall(r"\{0\}/([\w./]+)", constraint)[0]).is_file()


def test_workflows_run_all_that_ci_runs() -> None:
    run = {
        step.get("run", "").removesuffix(" PYTHON=python") for w in WORKFLOWS for step in steps(w)
    }
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert {line for line in script if line.startswith("make ")} <= run


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one_that_the_forge_takes(form: Path) -> None:
    content = load(form)
    assert set(content) == {"name", "description", "labels", "body"}
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


# Citation and addresses


def test_the_citation_is_of_this_version_and_has_the_keys_of_its_format() -> None:
    """The whole schema of CFF 1.2.0 is checked by `cffconvert --validate`; these are its rules
    that a change here could break."""
    citation = load(PROJECT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)  # what the format requires
    assert set(citation) <= {
        *("cff-version", "message", "title", "type", "abstract", "authors", "version", "license"),
        *("date-released", "doi", "keywords", "repository-code", "url", "preferred-citation"),
    }
    assert citation["type"] == "software"
    assert citation["version"] == dgmm.__version__
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert citation["repository-code"] == PYPROJECT["project"]["urls"]["Source"]
    assert all(set(author) & {"name", "family-names"} for author in citation["authors"])
    assert all(isinstance(word, str) for word in citation["keywords"])


def test_one_address_of_the_project_is_used_everywhere() -> None:
    source = PYPROJECT["project"]["urls"]["Source"]
    owner = re.escape(source.removeprefix("https://"))
    files = [*PAGES, *FORGE.rglob("*.yml"), PROJECT / "pyproject.toml", PROJECT / "CITATION.cff"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    named = set(re.findall(r"github\.com/[\w.-]+/dgmm\b", text))
    assert len(named) == 1
    assert all(re.fullmatch(owner, name) for name in named)
    assert all(url.startswith(source) for url in PYPROJECT["project"]["urls"].values())


# Links


def without_code(page: Path) -> str:
    """A page's text without fenced blocks and code."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("[", "").replace("]", ""), text)


def anchors(page: Path) -> set[str]:
    """Headings as a forge names them: small letters, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Links of a page to files or headings that are not there."""
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(page))
    found = []
    for link in (link for link in links if "://" not in link):
        path, _, anchor = link.partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.exists() or (anchor and anchor not in anchors(aim)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken(page) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title, here\n[a](page.md#a-title-here) [b](none.md) [c](#none) `[d](x)`\n")
    assert broken(page) == ["none.md", "#none"]


def test_sdist_holds_the_project_files() -> None:
    listed = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in listed if not (PROJECT / name).exists()] == []
    assert {"SECURITY.md", "CITATION.cff", ".github", ".pre-commit-config.yaml"} <= set(listed)
