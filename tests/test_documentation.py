"""The site that `make docs` builds, and the pages of it that are made from the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_pages
import zarr

import dgmm
from dgmm.cli.commands import commands
from dgmm.config import json_schema

PROJECT = Path(__file__).resolve().parent.parent
DOCS = PROJECT / "docs"


def keys(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every key of the job schema, dotted, with its schema; sections come before their keys."""
    for name, value in schema.get("properties", {}).items():
        reference = value.get("$ref", "").rpartition("/")[2]
        below = json_schema()["$defs"][reference] if reference else value
        yield ".".join((*path, name)), below
        yield from keys(below, (*path, name))


KEYS = dict(keys(json_schema()))


def test_the_job_file_page_has_every_key_of_the_schema_once() -> None:
    headings = re.findall(r"^###? (\S+)$", reference_pages.job_file(), flags=re.MULTILINE)
    assert headings == list(KEYS)
    assert len(KEYS) > 40


@pytest.mark.parametrize("key", [key for key, schema in KEYS.items() if "properties" not in schema])
def test_a_key_comes_with_choices_bounds_default_and_meaning(key: str) -> None:
    schema = KEYS[key]
    entry = re.split(rf"^###? {re.escape(key)}$", reference_pages.job_file(), flags=re.MULTILINE)[1]
    facts, meaning = entry.split("\n\n")[1:3]
    branches = [schema, *schema.get("anyOf", [])]
    words = [str(word) for branch in branches for word in branch.get("enum", ())]
    bounds = [f"{b[n]:,}" for b in branches for n in ("minimum", "exclusiveMinimum") if n in b]
    assert [word for word in words + bounds if word not in facts] == []
    if "default" in schema:
        assert "default `" in facts
    else:
        assert facts.endswith("required.*")
    assert meaning.strip() == schema["description"]


def test_the_command_line_page_has_every_command_with_its_options() -> None:
    page = reference_pages.command_line()
    assert re.findall(r"^## dgmm (\w+)$", page, flags=re.MULTILINE) == list(commands.commands)
    for name, command in commands.commands.items():
        section = page.split(f"## dgmm {name}\n")[1].split("\n## ")[0]
        options = [option for parameter in command.params for option in parameter.opts]
        assert [o for o in options if o.startswith("--") and o not in section] == []
        assert f"Usage: dgmm {name}" in section


def test_the_python_page_has_every_public_name() -> None:
    named = re.findall(r"^\.\. auto\w+:: dgmm\.(\w+)$", reference_pages.python(), re.MULTILINE)
    assert named == [name for name in dgmm.__all__ if name != "__version__"]
    assert ".. autoexception:: dgmm.errors.DataError\n" in reference_pages.python()


@pytest.mark.parametrize("name", reference_pages.ROOT_PAGES)
def test_links_of_a_root_page_lead_to_the_same_files_from_the_site(name: str) -> None:
    pattern = r"\]\(([^()\s#:]+)(?:#[^()\s]*)?\)"
    before = re.findall(pattern, (PROJECT / name).read_text(encoding="utf-8"))
    after = re.findall(pattern, reference_pages.root_page(name))
    shown = {DOCS / page: PROJECT / root for root, page in reference_pages.ROOT_PAGES.items()}
    aims = [(DOCS / "site" / link).resolve() for link in after]
    assert [shown.get(aim, aim) for aim in aims] == [PROJECT / link for link in before]


def test_a_page_links_to_the_sites_own_copy_of_a_root_page() -> None:
    text = "[a](../README.md#how-it-ends) [b](memory.md) [c](../LICENSE) [d](https://x.org/y)"
    assert reference_pages.document(text) == text.replace("../README.md", "site/readme.md")


def test_a_name_that_stands_for_no_page_is_an_error() -> None:
    with pytest.raises(KeyError):
        reference_pages.filled("text\n\n{{ no such page }}\n")


# Pages that name terms and keys


def table_rows(page: str) -> list[list[str]]:
    """The cells of every row of the tables of a page, headings and rules left out."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    rows = [i for i, line in enumerate(lines) if line.startswith("| ")]
    rows = [i for i in rows if lines[i + 1 :][:1] != ["|---|---|"]]
    return [[cell.strip() for cell in lines[i].strip("|").split("|")] for i in rows]


def test_the_glossary_has_each_term_once_in_order_with_a_sentence() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    terms = [term for term, _ in table_rows("glossary.md")]
    assert len(set(terms)) == len(terms) > 60
    for section in text.split("\n## ")[1:]:
        names = re.findall(r"^\| (?!term|-)([^|]+) \|", section, flags=re.MULTILINE)
        assert names == sorted(names, key=lambda name: name.lower().replace("‖", ""))
    assert [meaning for _, meaning in table_rows("glossary.md") if not meaning.endswith(".")] == []


def test_the_keys_that_reproducibility_compares_are_in_run_json(tmp_path: Path) -> None:
    record = finished_run(tmp_path)
    names = [re.findall(r"`([\w.]+)`", key) for key, _ in table_rows("reproducibility.md")]
    keys = [key for found in names for key in found if key not in {"metrics.csv", "run.json"}]
    assert len(keys) > 20
    assert [key for key in keys if not is_in(record, key)] == []


def finished_run(folder: Path) -> dict[str, Any]:
    """The run.json of a small job."""
    rows = np.random.default_rng(0).normal(size=(200, 2))
    zarr.save_array(str(folder / "rows.zarr"), rows)
    job = folder / "job.yaml"
    job.write_text(
        f"data: {{path: {folder}/rows.zarr}}\nmodel: {{n_components: 1}}\n"
        f"cluster: {{kind: threads}}\noutput: {{path: {folder}/run, report: false}}\n"
    )
    subprocess.run(
        [sys.executable, "-m", "dgmm", "run", "--quiet", str(job)], check=True, timeout=60
    )
    record: dict[str, Any] = json.loads((folder / "run" / "run.json").read_text())
    return record


def is_in(tree: Any, dotted: str) -> bool:
    for key in dotted.split("."):
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True


def test_git_ignores_what_the_site_is_built_into() -> None:
    assert "/build/" in (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    words = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(folder / "doctrees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words, str(DOCS), str(folder / "html")],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def pages(site: Path) -> list[Path]:
    """Where the site has each page of `docs/`."""
    return [site / p.relative_to(DOCS).with_suffix(".html") for p in DOCS.rglob("*.md")]


@pytest.mark.slow
def test_the_site_has_every_page_and_every_key(site: Path) -> None:
    assert [str(page) for page in pages(site) if not page.is_file()] == []
    job_file = (site / "job-file.html").read_text(encoding="utf-8")
    named = {re.sub(r"[._]+", "-", key) for key in KEYS}
    assert named <= set(re.findall(r'<section id="([\w-]+)"', job_file))
    for name in reference_pages.dgmm.__all__:
        if name != "__version__":
            assert f'id="dgmm.{name}"' in (site / "python.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_site_needs_no_network(site: Path) -> None:
    loaded = re.compile(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="(?:https?:)?//[^"]*"')
    shown = [site / "genindex.html", site / "search.html", *pages(site)]
    assert [p.name for p in shown if loaded.search(p.read_text(encoding="utf-8"))] == []


@pytest.mark.slow
def test_no_page_of_the_site_still_has_a_place_for_generated_text(site: Path) -> None:
    assert [p.name for p in pages(site) if "{{ " in p.read_text(encoding="utf-8")] == []
