"""docs/extending.md holds a whole package: put together from the page, its job runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from dgmm.config.schema import REGISTRIES
from dgmm.scoring.output_registry import ROW_OUTPUTS

PROJECT = Path(__file__).resolve().parent.parent
PAGE = (PROJECT / "docs" / "extending.md").read_text(encoding="utf-8")
PACKAGE = "my_mixtures"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def metadata() -> dict[str, Any]:
    return tomllib.loads("\n".join(blocks("toml")))["project"]


def entry_points() -> dict[str, dict[str, str]]:
    return metadata()["entry-points"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages in which the page's own is installed."""
    folder = tmp_path / "site"
    info = folder / f"{PACKAGE}-{metadata()['version']}.dist-info"
    info.mkdir(parents=True)
    (folder / PACKAGE).mkdir()
    (folder / PACKAGE / "__init__.py").write_text("\n".join(blocks("python")), encoding="utf-8")
    for example in re.findall(rf"`{PACKAGE}/(\w+\.py)`", PAGE):
        (found,) = (PROJECT / "tests").rglob(example)
        shutil.copy(found, folder / PACKAGE)
    about = f"Metadata-Version: 2.1\nName: {metadata()['name']}\nVersion: {metadata()['version']}\n"
    (info / "METADATA").write_text(about, encoding="utf-8")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in members.items())])
        for group, members in entry_points().items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    return folder


def job() -> dict[str, Any]:
    """The sections of the page's job, those of one name put together."""
    tree: dict[str, dict[str, Any]] = {}
    for block in blocks("yaml"):
        for section, values in YAML(typ="safe").load(block).items():
            tree.setdefault(section, {}).update(values)
    return tree


def test_the_page_adds_to_every_registry_that_a_job_names(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    by_group = {registry.group: registry for registry in (*REGISTRIES, ROW_OUTPUTS)}
    assert set(entry_points()) == set(by_group)
    for group, members in entry_points().items():
        for name, value in members.items():
            built_in = next(iter(by_group[group].values()))
            kinds = type(built_in).__mro__[:-1]  # all but object
            member = EntryPoint(name, value, group).load()
            assert isinstance(member, kinds) or (callable(built_in) and callable(member))
            assert name in by_group[group].names()
            assert name not in list(by_group[group])


@pytest.mark.slow
def test_the_job_of_the_page_runs_with_all_that_it_adds(site: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(600, 2)) + np.repeat([[0], [9], [18]], 200, axis=0)
    np.save(tmp_path / "rows.npy", rows)
    tree = job()
    (tmp_path / "job.yaml").write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML
    done = subprocess.run(
        [sys.executable, "-m", "dgmm", "run", "job.yaml", "--set", "output.report=false"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(PROJECT)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / tree["output"]["path"] / "run.json").read_text())
    for section, values in tree.items():
        assert record["job"][section] | values == record["job"][section]
    named = [value for values in tree.values() for value in values.values()] + [*record["outputs"]]
    assert [n for members in entry_points().values() for n in members if n not in named] == []
