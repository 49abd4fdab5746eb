"""Labelled arrays, tables and AnnData come in as rows; results go back with what named the rows."""

from __future__ import annotations

import anndata
import dask.dataframe
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray
from clusters import gaussian_clusters

import dgmm
from dgmm.data.open_dataset import as_dataset
from dgmm.errors import DataError, DataTypeError

N, D = 240, 3
ROWS, TRUTH = gaussian_clusters(N, D, 2, seed=5)
NAMES = ["temp", "salt", "oxygen"]
LAT, LON = np.linspace(-5, 5, 12), np.linspace(0, 95, 20)


@pytest.fixture(scope="module")
def mixture():
    return dgmm.GaussianMixture(2, random_state=0).fit(pd.DataFrame(ROWS, columns=NAMES))


@pytest.fixture(scope="module")
def plain(mixture):
    return {name: getattr(mixture, name)(ROWS) for name in METHODS}


METHODS = ("predict", "score_samples", "predict_proba")


def grid():
    """The rows as three maps (lat, lon), with a scalar and a two-dimensional coordinate."""
    coords = {
        "lat": ("lat", LAT, {"units": "degrees_north"}),
        "lon": LON,
        "depth": 5.0,
        "area": (("lat", "lon"), np.outer(LAT**2, LON)),
    }
    maps = {name: (("lat", "lon"), ROWS[:, i].reshape(12, 20)) for i, name in enumerate(NAMES)}
    return xarray.Dataset(maps, coords=coords)


def profile():
    coords = {"cast": [f"c{i}" for i in range(N)], "when": ("cast", np.arange(N)), "depth": 5.0}
    columns = {name: ("cast", ROWS[:, i]) for i, name in enumerate(NAMES)}
    return xarray.Dataset(columns, coords=coords)


def test_a_labelled_array_gives_labelled_results(mixture, plain):
    X = profile().to_dataarray("feature").transpose("cast", "feature")
    X.encoding = {"scale_factor": 0.1, "dtype": "i2"}
    for name in METHODS:
        found = getattr(mixture, name)(X)
        assert isinstance(found, xarray.DataArray)
        assert found.dims == ("cast", "component")[: found.ndim]
        np.testing.assert_array_equal(found.values, plain[name])
        assert found.encoding == {}
        xarray.testing.assert_identical(
            found.coords.to_dataset(), profile().drop_vars(NAMES).coords.to_dataset()
        )
    assert mixture.predict(X).name == "labels"
    assert mixture.model_.predict(X).identical(mixture.predict(X))


@pytest.mark.parametrize("is_lazy", [False, True])
def test_variables_along_one_dimension_are_features(mixture, plain, is_lazy):
    X = profile().chunk(cast=50) if is_lazy else profile()
    assert as_dataset(X).feature_names == tuple(NAMES)
    with pytest.warns(UserWarning, match="put in the model's order"):
        labels = mixture.predict(X[NAMES[::-1]])
    np.testing.assert_array_equal(labels.values, plain["predict"])
    assert labels.coords.to_dataset().identical(profile().coords.to_dataset())
    again = dgmm.GaussianMixture(2, random_state=0).fit(X)
    assert again.means_.tobytes() == mixture.means_.tobytes()


@pytest.mark.parametrize("is_lazy", [False, True])
def test_maps_whose_last_dimension_names_variables_come_back_as_a_map(mixture, plain, is_lazy):
    X = grid().to_dataarray("feature").transpose(..., "feature")
    X = X.chunk(lat=5) if is_lazy else X
    assert as_dataset(X).feature_names == tuple(NAMES)
    for name in METHODS:
        found = getattr(mixture, name)(X)
        assert found.dims == ("lat", "lon", "component")[: found.ndim]
        np.testing.assert_array_equal(found.values.reshape(plain[name].shape), plain[name])
        assert found.coords.to_dataset().identical(grid().coords.to_dataset())


def test_the_ways_that_refusals_of_labelled_inputs_name_work(mixture, plain):
    X = grid()
    with pytest.raises(DataTypeError, match=r"temp \(lat, lon\), .*to_dataarray\('feature'\)"):
        mixture.predict(X)
    assert mixture.predict(X.to_dataarray("feature").transpose(..., "feature")).shape == (12, 20)
    bare = X.to_dataarray("level").assign_coords(level=[0.0, 5, 10]).transpose(..., "level")
    with pytest.raises(
        DataTypeError, match=r"dimensions lat, lon, level.*X\.stack\(row="
    ) as caught:
        as_dataset(bare)
    assert "X.stack(row=('lat', 'lon')).transpose('row', 'level')" in str(caught.value)
    rows = bare.stack(row=("lat", "lon")).transpose("row", "level")
    labels = dgmm.GaussianMixture(2, random_state=0).fit(rows).predict(rows)
    np.testing.assert_array_equal(labels.unstack("row").values.ravel(), plain["predict"])
    assert as_dataset(rows).feature_names == ("level=0", "level=5", "level=10")


def test_labelled_inputs_that_could_be_several_things_are_refused():
    X = profile()
    for odd, told in (
        (X.assign(basin=3), r"basin \(\)\. Take variables that share"),
        (X.assign(more=(("cast", "level"), ROWS)), r"more \(cast, level\)"),
        (xarray.Dataset(), "without variables"),
        (xarray.Dataset({"X": (("cast", "level"), ROWS)}), r"X\['a'\] is one array"),
        (X.assign(kind=("cast", ["a"] * N)), "variable kind: values are <U1"),
        (X.assign(temp=X.temp.assign_attrs(scale_factor=0.1)), "variable temp: attributes scale"),
        (X.to_dataarray("feature").expand_dims(time=4), "feature, cast, any of which|any of which"),
        (grid()["temp"], "a map of one variable"),
    ):
        with pytest.raises(DataError, match=told):
            as_dataset(odd)
    with pytest.raises(DataError, match=r"valid range .*: salt in \d+ of 240 rows"):
        as_dataset(X.assign(salt=X.salt.assign_attrs(valid_max=0.0)))


def test_rows_are_those_in_hand_and_not_those_of_the_file(tmp_path, mixture, plain):
    """`encoding["source"]` names the file, whatever was selected or sorted since."""
    profile().to_netcdf(tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc") as X:
        assert X.encoding["source"]
        part = X.isel(cast=slice(200, 90, -1))
        labels = mixture.predict(part)
    np.testing.assert_array_equal(labels.values, plain["predict"][200:90:-1])
    assert labels.cast.values.tolist() == [f"c{i}" for i in range(200, 90, -1)]


INDEX = pd.Index([f"row {i % 200}" for i in range(N)], name="id")  # not unique


@pytest.mark.parametrize("kind", ["pandas", "nullable", "dask"])
def test_tables_with_an_index_give_series_with_it(mixture, plain, kind):
    X = pd.DataFrame(ROWS, columns=NAMES, index=INDEX)
    X = X.astype({"salt": "Float64"}) if kind == "nullable" else X
    given = dask.dataframe.from_pandas(X, npartitions=3, sort=False) if kind == "dask" else X
    for name in METHODS:
        found = getattr(mixture, name)(given)
        np.testing.assert_array_equal(np.asarray(found), plain[name])
        if name == "predict_proba":
            assert type(found) is np.ndarray
        else:
            assert isinstance(found, pd.Series)
            assert found.index.astype(object).equals(INDEX)
            assert found.index.name == "id"
    assert mixture.predict(given).name == "labels"
    assert mixture.predict(given).dtype == np.int32


def test_tables_without_an_index_and_arrays_give_arrays(mixture, plain):
    table = pl.DataFrame(ROWS, schema=NAMES)
    arrow = pa.table({name: ROWS[:, i] for i, name in enumerate(NAMES)})
    for X in (table, arrow, arrow.to_batches()[0], ROWS):
        found = mixture.predict(X)
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, plain["predict"])


@pytest.mark.parametrize(
    ("table", "column", "told"),
    [
        (pd.DataFrame, pd.Categorical(["x"]), r"kind \(category\)"),
        (pl.DataFrame, pl.Series(["x"], dtype=pl.Categorical), r"kind \(Cat"),
        (pl.DataFrame, pl.Series(["x"], dtype=pl.Enum(["x"])), r"kind \(Enum"),
        (pa.table, pa.array(["x"]).dictionary_encode(), r"kind \(dictionary"),
    ],
)
def test_categories_are_named_with_their_type(table, column, told):
    with pytest.raises(DataTypeError, match=told):
        as_dataset(table({"a": [1.0], "kind": column}))


def observed(**parts):
    cells = pd.DataFrame(index=[f"cell {i}" for i in range(N)])
    return anndata.AnnData(ROWS, obs=cells, var=pd.DataFrame(index=NAMES), **parts)


def test_an_annotated_array_is_read_where_it_is_the_only_one(mixture, plain):
    X = observed()
    assert as_dataset(X).feature_names == tuple(NAMES)
    labels = mixture.predict(X)
    pd.testing.assert_index_equal(labels.index, X.obs_names)
    np.testing.assert_array_equal(labels, plain["predict"])
    X.obs["label"] = labels
    assert type(mixture.predict_proba(X)) is np.ndarray


def test_an_annotated_array_in_a_file_is_read(tmp_path, mixture, plain):
    observed().write_h5ad(tmp_path / "a.h5ad")
    X = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    np.testing.assert_array_equal(mixture.predict(X), plain["predict"])


@pytest.mark.parametrize("what", ["embedding", "sparse", "none"])
def test_annotated_arrays_of_several_kinds_are_refused_with_the_choice(what):
    if what == "embedding":
        X, told = observed(obsm={"X_pca": ROWS[:, :2]}), r"X\.obsm\['X_pca'\], or X\.X"
    elif what == "sparse":
        from scipy.sparse import csr_matrix

        X, told = anndata.AnnData(csr_matrix(np.eye(4))), r"a sparse X .*X\.X\.toarray\(\)"
    else:
        X, told = anndata.AnnData(obs=pd.DataFrame(index=["a", "b"])), "no X and 0 embeddings"
    with pytest.raises(DataTypeError, match=told):
        as_dataset(X)
