"""The residual of `pca`: prepared with the rows, written by runs and predictions, delivered."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from formula_jobs import bits, record
from formula_source import FORMULA, FormulaSource
from preprocessed_jobs import NAMES, PROFILES, RNG, ROWS, array, job_with, predict
from sklearn.decomposition import PCA

from dgmm import load_model
from dgmm.cli.entry_point import run
from dgmm.data.formats import FORMATS
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.transformed_rows import TransformedRows
from dgmm.data.transforms.asked_step import AskedStep, residual_names
from dgmm.job.preparing_plan import Preparation

ALL = [{"pca": {"n": 3}}]
#: Both variables, the second one behind the first: their components have names of their own.
TWO = [{"pca": {"variables": ["SR"], "n": 1}}, {"pca": {"variables": ["dSA"], "n": 2}}]


@pytest.fixture(autouse=True)
def formula(monkeypatch):
    monkeypatch.setitem(FORMATS, "formula", FORMULA)


def distance(rows, n, whiten=False):
    """From scikit-learn's reconstruction (b,)."""
    fitted = PCA(n, whiten=whiten, svd_solver="full").fit(rows[np.isfinite(rows).all(axis=1)])
    found = np.full(len(rows), np.nan)
    own = np.isfinite(rows).all(axis=1)
    back = fitted.inverse_transform(fitted.transform(rows[own]))
    found[own] = np.linalg.norm(rows[own] - back, axis=1)
    return found


def written(folder, name="residual"):
    return zarr.open_group(folder / "outputs.zarr", mode="r")[name]


@pytest.mark.parametrize("whiten", [False, True])
def test_it_is_the_distance_from_scikit_learns_reconstruction(tmp_path, whiten):
    steps = [{"pca": {"n": 3, "whiten": whiten}}]
    assert run(["run", "--quiet", str(job_with(tmp_path, array(tmp_path), steps))]) == 0
    expected = distance(ROWS, 3, whiten)
    assert expected.min() > 1e-3
    np.testing.assert_allclose(written(tmp_path / "run")[:], expected, rtol=0, atol=1e-8)
    in_python = load_model(tmp_path / "run").preprocess.apply_with_residuals(ROWS)[1]
    np.testing.assert_array_equal(in_python[:, 0], written(tmp_path / "run")[:])
    attributes = written(tmp_path / "run").attrs
    assert "distance" in attributes["long_name"]


def test_of_several_variables_it_is_that_of_all_their_columns_behind_the_steps_before(tmp_path):
    assert run(["run", "--quiet", str(job_with(tmp_path, array(tmp_path), PROFILES))]) == 0
    scaled = (ROWS - ROWS.mean(axis=0)) / ROWS.std(axis=0)
    expected = np.hypot(distance(scaled[:, :3], 2), distance(scaled[:, 3:6], 2))
    np.testing.assert_allclose(written(tmp_path / "run")[:], expected, rtol=0, atol=1e-8)


def test_each_of_several_pca_has_one_and_predictions_have_the_same(tmp_path):
    assert run(["run", "--quiet", str(job_with(tmp_path, array(tmp_path), TWO))]) == 0
    expected = {"residual_1": distance(ROWS[:, :3], 1), "residual_2": distance(ROWS[:, 3:6], 2)}
    order = RNG.permutation(7)
    moved = array(tmp_path, ROWS[:, order], "moved.zarr", names=[NAMES[i] for i in order])
    job = predict(tmp_path, moved)
    assert run(["predict", "--quiet", str(job)]) == 0
    for name, values in expected.items():
        np.testing.assert_allclose(written(tmp_path / "run", name)[:], values, rtol=0, atol=1e-8)
        np.testing.assert_array_equal(
            written(tmp_path / "predicted", name)[:], written(tmp_path / "run", name)[:]
        )
    assert set(record(tmp_path / "predicted")["outputs"]) == set(
        record(tmp_path / "run")["outputs"]
    )
    before = written(tmp_path / "run", "residual_2")[:]
    for lost in (["outputs.zarr"], ["outputs.zarr", "prepared.zarr"]):
        for name in lost:
            shutil.rmtree(tmp_path / "run" / name)
        again = ["run", "--quiet", "--rebuild-outputs", str(tmp_path / "run.yaml")]
        assert run(again) == 0
        np.testing.assert_array_equal(written(tmp_path / "run", "residual_2")[:], before)


def test_rows_that_are_left_out_have_none(tmp_path):
    rows = ROWS.copy()
    rows[3, 1] = np.nan  # a value of the components
    rows[7, 6] = np.nan  # none of these, but the row is dropped
    steps = [{"pca": {"n": 2, "columns": NAMES[:6]}}]
    job = job_with(tmp_path, array(tmp_path, rows), steps, data={"missing": "drop"})
    assert run(["run", "--quiet", str(job)]) == 0
    found = written(tmp_path / "run")[:]
    assert np.flatnonzero(np.isnan(found)).tolist() == [3, 7]
    expected = distance(rows[:, :6], 2)
    expected[7] = np.nan
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_it_is_left_out_where_the_job_says_so_or_has_no_components(tmp_path):
    data = array(tmp_path)
    off = job_with(tmp_path, data, ALL, "off", output={"residual": False})
    assert run(["run", "--quiet", str(off)]) == 0
    none = job_with(tmp_path, data, [{"standardise": {}}], "none")
    assert run(["run", "--quiet", str(none)]) == 0
    for name in ("off", "none"):
        assert "residual" not in record(tmp_path / name)["outputs"]
        group = zarr.open_group(tmp_path / name / "prepared.zarr", mode="r")
        assert [*group.array_keys()] == ["rows"]


def test_its_bits_depend_on_neither_chunks_nor_workers(tmp_path):
    for name, chunk, workers in (("a", 700, 1), ("b", 6000, 3)):
        data = array(tmp_path, name=f"{name}.zarr", chunk=chunk)
        job = job_with(tmp_path, data, PROFILES, name, cluster={"n_workers": workers})
        assert run(["run", "--quiet", str(job)]) == 0
    np.testing.assert_array_equal(written(tmp_path / "a")[:], written(tmp_path / "b")[:])
    assert bits(tmp_path / "a") == bits(tmp_path / "b")


def test_a_table_has_it_as_a_column_and_a_map_as_a_map(tmp_path):
    import pandas as pd

    rows = pd.DataFrame(ROWS[:, :3], columns=[*"abc"]).assign(key=np.arange(len(ROWS)))
    rows.iloc[:2500].to_parquet(tmp_path / "t-0.parquet")
    rows.iloc[2500:].to_parquet(tmp_path / "t-1.parquet")
    steps = [{"pca": {"n": 2}}]
    table = job_with(
        tmp_path, tmp_path / "t-*.parquet", steps, "table",
        data={"columns": [*"abc"], "id": ["key"]},
    )  # fmt: skip
    assert run(["run", "--quiet", str(table)]) == 0
    column = pq.read_table(tmp_path / "table" / "rows").to_pandas().set_index("key").residual
    np.testing.assert_allclose(column.sort_index(), distance(ROWS[:, :3], 2), atol=1e-8)
    values = ROWS[:, :3].reshape(60, 100, 3)
    grid = xr.Dataset(
        {name: (("lat", "lon"), values[..., i]) for i, name in enumerate("abc")},
        coords={"lat": np.arange(60.0), "lon": np.arange(100.0)},
    )
    grid.chunk(lat=20, lon=50).to_zarr(tmp_path / "grid.zarr", consolidated=False)
    sections = {"data": {"variables": [*"abc"], "sample_dims": ["lat", "lon"]}}
    labelled = job_with(tmp_path, tmp_path / "grid.zarr", steps, "map", **sections)
    assert run(["run", "--quiet", str(labelled)]) == 0
    found = xr.open_zarr(tmp_path / "map" / "maps.zarr", consolidated=False).residual
    np.testing.assert_allclose(found.values.ravel(), distance(ROWS[:, :3], 2), atol=1e-8)


def test_a_plan_counts_it(tmp_path, capsys):
    source = FormulaSource((5000, 5000), 4)
    asked = (AskedStep("pca", {"n": 2, "whiten": False}),)
    with_it, without = (
        Preparation.of(SourceDataset.of(TransformedRows(source, asked, None, flag)))
        for flag in (True, False)
    )
    assert with_it.n_bytes - without.n_bytes == 8 * 10_000
    assert with_it.task[1].n_bytes > without.task[1].n_bytes
    outputs, many = [], array(tmp_path, np.ones((400_000, 7)), chunk=100_000)
    for flag in (True, False):
        sections = {"output": {"path": str(tmp_path / "x"), "residual": flag, "labels": False}}
        assert run(["plan", str(job_with(tmp_path, many, ALL, "x", **sections))]) == 0
        said = capsys.readouterr().out
        outputs.append(float(said.split("outputs   ")[1].split(" MiB")[0]))
    assert outputs[0] - outputs[1] == pytest.approx(8 * 400_000 / 2**20, abs=0.01)


def test_names():
    assert residual_names(["asinh", "log"]) == ()
    assert residual_names(["pca", "log", "pca", "pca"])[2] == "residual_3"
