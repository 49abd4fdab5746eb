"""docs/data.md: its jobs are valid, its kinds are those that are read, its lines of Python run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgmm.config import load_job
from dgmm.data.data_source import DataSource
from dgmm.data.formats import open_format

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
ROWS = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("data", blocks("yaml"))
def test_each_data_section_is_valid_in_a_job(data: str, tmp_path: Path) -> None:
    rest = "model: {n_components: 3}\noutput: {path: runs/x}\n"
    (tmp_path / "job.yaml").write_text(data + rest, encoding="utf-8")
    job = load_job(tmp_path / "job.yaml")
    assert job.data.columns or job.data.variables or job.data.array


def lines_for(word: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> DataSource:
    """Run the lines that name a file of that kind there; what they have written."""
    (found,) = (block for block in blocks("python") if word in block)
    assert len(ast.parse(found).body) == 3
    monkeypatch.chdir(folder)
    exec(compile(found, "docs/data.md", "exec"), {})  # noqa: S102 - the page's own lines
    return DataSource(str(folder / "*.parquet"), paths=(str(folder / "*.parquet"),))


def rows_of(source: DataSource) -> tuple[tuple[str, ...], np.ndarray]:
    opened = open_format("auto", source)
    values = [rows.values for part in opened.parts() for rows in opened.read(part)]
    return opened.description.feature_names, np.concatenate(values)


def test_the_lines_for_fcs_write_a_table(tmp_path, monkeypatch) -> None:
    flowio = pytest.importorskip("flowio", reason="flowio reads and writes FCS")
    with (tmp_path / "cells.fcs").open("wb") as file:
        flowio.create_fcs(file, ROWS.ravel().tolist(), ["FSC-A", "SSC-A", "CD4"])
    names, values = rows_of(lines_for("cells.fcs", tmp_path, monkeypatch))
    assert names == ("FSC-A", "SSC-A", "CD4")
    np.testing.assert_array_equal(values, ROWS)


def test_the_lines_for_fits_write_a_table_with_its_masks(tmp_path, monkeypatch) -> None:
    table = pytest.importorskip("astropy.table", reason="astropy reads and writes FITS")
    counts = np.ma.masked_array(np.arange(90), mask=np.arange(90) % 9 == 0)
    table.Table({"B": ROWS[:, 0], "n": counts}, masked=True).write(tmp_path / "stars.fits")
    names, values = rows_of(lines_for("stars.fits", tmp_path, monkeypatch))
    assert names == ("B", "n")
    np.testing.assert_array_equal(values[:, 0], ROWS[:, 0])
    np.testing.assert_array_equal(values[:, 1], counts.astype(float).filled(np.nan))


def test_the_lines_for_root_write_a_table_in_parts(tmp_path, monkeypatch) -> None:
    uproot = pytest.importorskip("uproot", reason="uproot reads and writes ROOT files")
    with uproot.recreate(tmp_path / "events.root") as file:
        file["tree"] = {"pt": ROWS[:, 0], "eta": ROWS[:, 1], "charge": ROWS[:, 2]}
    names, values = rows_of(lines_for("events.root", tmp_path, monkeypatch))
    found = dict(zip(names, values.T, strict=True))  # uproot gives them in an order of its own
    assert set(found) == {"pt", "eta"}
    np.testing.assert_array_equal(found["pt"], ROWS[:, 0])
    np.testing.assert_array_equal(found["eta"], ROWS[:, 1])


def test_a_table_that_pandas_writes_is_read_as_those_are(tmp_path) -> None:
    """What the three lines end with, without their libraries."""
    pd.DataFrame(ROWS, columns=["FSC-A", "SSC-A", "CD4"]).to_parquet(tmp_path / "cells.parquet")
    names, values = rows_of(DataSource(str(tmp_path / "cells.parquet")))
    assert names == ("FSC-A", "SSC-A", "CD4")
    np.testing.assert_array_equal(values, ROWS)
