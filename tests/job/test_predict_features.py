"""`dgmm predict` finds a model's features by their names, in the units of the fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from cells import write_cells
from clusters import gaussian_clusters, write_zarr

from dgmm.cli.entry_point import run

ROWS = gaussian_clusters(600, d=3)[0]


def ended(folder: Path, command: str, name: str, data: dict[str, Any], **more: Any) -> int:
    """The exit code of a command, which leaves folder/name."""
    tree = {
        "data": data,
        "model": {"n_components": 2, "max_iter": 3} if command == "run" else {"path": "fit/model"},
        "cluster": {"kind": "threads", "n_workers": 1},
        "output": {"path": name, "report": False},
        "on_not_converged": "ignore",
    } | more
    (folder / f"{name}.yaml").write_text(json.dumps(tree), encoding="utf-8")
    return run([command, "--quiet", str(folder / f"{name}.yaml")])


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labels(desk: Path, name: str) -> list[int]:
    return zarr.open_array(str(desk / name / "outputs.zarr/labels"), mode="r")[:].tolist()


def frame() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=["age", "income", "rent"])


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_table_with_more_columns_gives_the_models_alone(desk, kind):
    def write(table: pd.DataFrame, path: str) -> dict[str, Any]:
        table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
        return {"path": path}

    assert ended(desk, "run", "fit", write(frame(), "fitted")) == 0
    more = frame()[["rent", "age", "income"]].assign(zeit=1.5, name="text", since=pd.Timestamp(0))
    assert ended(desk, "predict", "again", write(more, "more")) == 0
    assert labels(desk, "again") == labels(desk, "fit")
    described = write(more, "more") | {"describe": ["age"], "id": ["name"]}
    if kind == "csv":  # a column may be carried, and be a feature
        assert ended(desk, "predict", "carried", described | {"id": ["income"]}) == 0
        assert labels(desk, "carried") == labels(desk, "fit")


@pytest.mark.parametrize("fitted", [["x0", "x1", "x2"], ["x2", "x0", "x1"]])
def test_columns_that_are_called_x0_and_x1_go_by_name(desk, capsys, fitted):
    frame().set_axis(fitted, axis=1).to_csv("fitted.csv", index=False)
    assert ended(desk, "run", "fit", {"path": "fitted.csv"}) == 0
    turned = frame().set_axis(fitted, axis=1)
    for order in (["x1", "x0", "x2"], ["x0", "x1", "x2"]):
        turned[order].to_csv("turned.csv", index=False)
        name = f"again{order[0]}"
        assert ended(desk, "predict", name, {"path": "turned.csv"}) == 0
        assert labels(desk, name) == labels(desk, "fit")
    turned.rename(columns={"x1": "y"}).to_csv("other.csv", index=False)
    assert ended(desk, "predict", "other", {"path": "other.csv"}) == 65
    assert "has no column for the model's feature 'x1'" in capsys.readouterr().err


def test_features_without_names_are_taken_by_position_with_a_warning(desk):
    np.savez("a.npz", rows=ROWS)
    assert ended(desk, "run", "fit", {"path": "a.npz", "array": "rows"}) == 0
    frame().to_csv("a.csv", index=False)
    assert ended(desk, "predict", "again", {"path": "a.csv"}) == 0
    assert labels(desk, "again") == labels(desk, "fit")
    warnings = json.loads((desk / "again/run.json").read_text("utf-8"))["warnings"]
    assert "features are taken by position: the model's have no names" in warnings


def test_columns_that_a_table_lacks_are_named_with_those_it_has(desk, capsys):
    frame().to_parquet("fitted")
    assert ended(desk, "run", "fit", {"path": "fitted"}) == 0
    frame().rename(columns={"age": "Age", "rent": "miete"}).to_parquet("other")
    assert ended(desk, "predict", "again", {"path": "other"}) == 65
    said = capsys.readouterr().err
    assert "has no column for the model's features 'age' (is it 'Age'?), 'rent'" in said
    assert "It has Age, income, miete" in said
    assert "rename the columns" in said
    assert run(["plan", "again.yaml"]) == 65


def test_vectors_give_the_models_features(desk):
    def write(path: str, **columns: Any) -> dict[str, Any]:
        fixed = pa.FixedSizeListArray.from_arrays(pa.array(ROWS.ravel()), 3)
        pq.write_table(pa.table({**columns, "e": fixed}), path)
        return {"path": path}

    assert ended(desk, "run", "fit", write("fitted")) == 0
    assert ended(desk, "predict", "again", write("more", id=range(600), t=["a"] * 600)) == 0
    assert labels(desk, "again") == labels(desk, "fit")


def field(units: str | None = "K", depth: str | None = "m") -> xr.Dataset:
    """Two variables over (lat, lon), one of them also over depth."""
    deep = ROWS[:, :2].reshape(20, 30, 2)
    attributes = {} if units is None else {"units": units}
    return xr.Dataset(
        {
            "temp": (("lat", "lon", "depth"), deep, attributes),
            "ice": (("lat", "lon"), ROWS[:, 2].reshape(20, 30), {"units": "1"}),
            "wind": (("lat", "lon"), np.ones((20, 30))),
        },
        {
            "lat": np.arange(20.0),
            "lon": np.arange(30.0),
            "depth": ("depth", [5.0, 50.0], {} if depth is None else {"units": depth}),
        },
    )


@pytest.fixture
def fitted_field(desk) -> Path:
    field().to_netcdf("fitted.nc")
    data = {"path": "fitted.nc", "variables": ["ice", "temp"], "sample_dims": ["lat", "lon"]}
    assert ended(desk, "run", "fit", data) == 0
    return desk


@pytest.mark.parametrize("form", ["nc", "zarr"])
def test_variables_and_places_follow_from_the_models_names(fitted_field, form):
    bare = field(units=None, depth=None)
    deeper = bare.temp.isel(depth=[0]).assign_coords(depth=[500.0])
    more = field(depth=None).drop_dims("depth")
    more["temp"] = xr.concat([deeper, bare.temp], "depth")
    if form == "nc":
        more.to_netcdf("more.nc")
    else:
        more.to_zarr("more.zarr", consolidated=False)
    data = {"path": f"more.{form}", "sample_dims": ["lat", "lon"]}
    if form == "zarr":
        data["absent_chunks"] = "fill"
    assert ended(fitted_field, "predict", "again", data) == 0
    assert labels(fitted_field, "again") == labels(fitted_field, "fit")


def test_a_variable_that_is_not_there_is_named(fitted_field, capsys):
    field().rename(temp="temps").to_netcdf("other.nc")
    data = {"path": "other.nc", "sample_dims": ["lat", "lon"]}
    assert ended(fitted_field, "predict", "again", data) == 65
    said = capsys.readouterr().err
    assert "has no variable for the model's features temp[depth=5 m], temp[depth=50 m]" in said
    assert "Did you mean 'temps'?" in said
    assert "rename the variables" in said


def test_places_that_are_not_selected_are_named(fitted_field, capsys):
    data = {"path": "fitted.nc", "sample_dims": ["lat", "lon"], "select": {"depth": [0, 10]}}
    assert ended(fitted_field, "predict", "again", data) == 65
    said = capsys.readouterr().err
    assert "fitted.nc: the data lack the model's features temp[depth=50 m]. Features are" in said


def test_rows_go_from_one_format_to_another(desk):
    """By name where both have names, else by position."""
    frame().to_csv("a.csv", index=False)
    assert ended(desk, "run", "fit", {"path": "a.csv"}) == 0
    frame()[["rent", "income", "age"]].to_parquet("a.parquet")
    np.savez("a.npz", rows=ROWS, other=np.arange(3))
    attributes = {"feature_names": ["rent", "income", "age"]}
    write_zarr(desk / "a.zarr", ROWS[:, ::-1], attributes=attributes)
    for path, array in (("a.parquet", None), ("a.npz", "rows"), ("a.zarr", None)):
        name = path.replace(".", "-")
        assert ended(desk, "predict", name, {"path": path, "array": array}) == 0
        assert labels(desk, name) == labels(desk, "fit")


def test_other_units_are_refused_and_absent_ones_are_not(fitted_field, capsys):
    model = json.loads((fitted_field / "fit/model/model.json").read_text("utf-8"))
    named = {"ice": "1", "temp[depth=5 m]": "K", "temp[depth=50 m]": "K"}
    assert model["feature_units"] == named
    data = {"path": "other.nc", "sample_dims": ["lat", "lon"]}
    field(units="degC").to_netcdf("other.nc")
    assert ended(fitted_field, "predict", "again", data) == 65
    said = capsys.readouterr().err
    assert "failed: other.nc: the data have other units" in said
    assert "temp[depth=5 m] is in degC, and in the model in K" in said
    field(depth="cm").to_netcdf("depth.nc")
    assert ended(fitted_field, "predict", "deep", data | {"path": "depth.nc"}) == 65
    assert "temp[depth=5 cm] where the model has temp[depth=5 m]" in capsys.readouterr().err
    field(units=None).to_netcdf("none.nc")
    assert ended(fitted_field, "predict", "none", data | {"path": "none.nc"}) == 0


def test_a_model_of_an_earlier_version_knows_no_units(fitted_field):
    file = fitted_field / "fit/model/model.json"
    model = json.loads(file.read_text("utf-8"))
    del model["feature_units"]
    file.write_text(json.dumps(model), encoding="utf-8")
    field(units="degC").to_netcdf("other.nc")
    data = {"path": "other.nc", "sample_dims": ["lat", "lon"]}
    assert ended(fitted_field, "predict", "again", data) == 0
    assert labels(fitted_field, "again") == labels(fitted_field, "fit")


def test_units_before_the_steps_of_preprocess_are_those_of_the_data(desk, capsys):
    units = {"feature_names": ["a", "b", "c"], "units": {"a": "m", "c": "s"}}
    write_zarr(desk / "fitted.zarr", np.exp(ROWS / 10), attributes=units)
    steps = {"preprocess": [{"log": {}}, {"pca": {"n": 2}}]}
    assert ended(desk, "run", "fit", {"path": "fitted.zarr"}, **steps) == 0
    other = units | {"units": "m"}
    write_zarr(desk / "other.zarr", np.exp(ROWS / 10), attributes=other)
    assert ended(desk, "predict", "again", {"path": "other.zarr"}) == 65
    assert "c is in m, and in the model in s." in capsys.readouterr().err


def test_every_model_of_a_sweep_refuses_other_units(desk, capsys):
    own = {"feature_names": ["a", "b", "c"], "units": "m"}
    write_zarr(desk / "fitted.zarr", ROWS, attributes=own)
    several = {"model": {"n_components": [1, 2], "max_iter": 3}}
    assert ended(desk, "run", "fit", {"path": "fitted.zarr"}, **several) == 0
    write_zarr(desk / "other.zarr", ROWS / 1000, attributes=own | {"units": "km"})
    for name in ("model", "models/full-1", "models/full-2"):
        model = {"model": {"path": f"fit/{name}"}}
        assert ended(desk, "predict", "again", {"path": "other.zarr"}, **model) == 65
        assert "a is in km, and in the model in m" in capsys.readouterr().err


def test_columns_of_obs_follow_from_the_model(desk, capsys):
    obs = frame().set_index(pd.Index([f"cell{i}" for i in range(600)]))
    write_cells(desk / "a.h5ad", anndata.AnnData(obs=obs))
    assert ended(desk, "run", "fit", {"path": "a.h5ad", "columns": list(obs.columns)}) == 0
    write_cells(desk / "b.h5ad", anndata.AnnData(obs=obs.assign(kind="x")[["rent", "kind", "age"]]))
    assert ended(desk, "predict", "lacks", {"path": "b.h5ad"}) == 65
    assert "obs has no columns for the model's features income" in capsys.readouterr().err
    write_cells(desk / "c.h5ad", anndata.AnnData(obs=obs.assign(kind="x")[[*obs.columns[::-1]]]))
    assert ended(desk, "predict", "again", {"path": "c.h5ad"}) == 0
    assert labels(desk, "again") == labels(desk, "fit")
    write_cells(desk / "d.h5ad", anndata.AnnData(obs=obs[[]].assign(kind="x")))
    assert ended(desk, "predict", "none", {"path": "d.h5ad"}) == 65
    assert "The model's 3 features are age, income, rent" in capsys.readouterr().err
