"""Tables with columns of several types are read as numbers, or refused by the names of columns."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import dgmm
from dgmm.data.open_dataset import as_dataset
from dgmm.errors import DataError, DataTypeError

N = 40
RNG = np.random.default_rng(17)
FRAME = pd.DataFrame(RNG.normal(size=(N, 2)), columns=["depth", "salinity"])


def read(X):
    return np.asarray(as_dataset(X).X)


@pytest.mark.parametrize(
    "column",
    [
        pd.array([True, False] * 20, "boolean"),
        pd.array(range(N), "UInt8"),
        pd.array(np.linspace(-1, 1, N), "Float64"),
        pd.array(np.arange(N) % 3 == 0),
        pd.arrays.SparseArray(np.arange(N) % 5, dtype="float64"),
        [Decimal(i) / 4 for i in range(N)],
        [i if i % 2 else i + 0.5 for i in range(N)],
        np.arange(N, dtype="i2"),
        np.arange(N, dtype="u8"),
    ],
    ids=lambda column: str(getattr(column, "dtype", "object")),
)
def test_columns_of_every_type_of_number_are_read_beside_floats(column):
    table = FRAME.assign(extra=pd.Series(column))
    dataset = as_dataset(table)
    assert dataset.feature_names == ("depth", "salinity", "extra")
    assert dataset.dtype == np.float64
    wanted = np.column_stack([FRAME.to_numpy(), [float(value) for value in column]])
    np.testing.assert_array_equal(dataset.X, wanted)


@pytest.mark.parametrize("dtype", ["Float32", "Float64", "Int16", "boolean", "object"])
def test_what_is_absent_in_a_nullable_column_is_nan(dtype):
    values = pd.array([1, None, 0] + [1] * (N - 3), dtype)
    found = read(FRAME.assign(valve=values))
    assert np.flatnonzero(np.isnan(found[:, 2])).tolist() == [1]
    np.testing.assert_array_equal(found[[0, 2], 2], [1, 0])


def test_tables_of_one_type_keep_it_and_are_not_copied():
    for dtype in ("f4", "i8", "?"):
        table = pd.DataFrame(np.ones((6, 3), dtype), columns=["a", "b", "c"])
        found = read(table)
        assert found.dtype == np.dtype(dtype)
        assert np.shares_memory(found, table.to_numpy())
    for name, dtype in {"Float32": "f4", "Int16": "i2", "boolean": "?"}.items():
        whole = pd.DataFrame({"a": [1, 0], "b": [0, 1]}).astype(name)
        assert read(whole).dtype == np.dtype(dtype)
        np.testing.assert_array_equal(read(whole), [[1, 0], [0, 1]])
    unsigned = pd.DataFrame({"a": np.arange(3, dtype="u8"), "b": np.arange(3)})
    np.testing.assert_array_equal(read(unsigned), [[0, 0], [1, 1], [2, 2]])


def test_every_column_without_numbers_is_named_with_its_type():
    table = FRAME.assign(
        station=["A1", "B2"] * 20,
        phase=pd.Categorical([3, 4] * 20),
        when=pd.date_range("2021-03-01", periods=N),
        zone=pd.date_range("2021-03-01", periods=N, tz="UTC"),
        lag=pd.to_timedelta(np.arange(N), "s"),
        span=pd.interval_range(0, N),
        wave=np.full(N, 1j),
        note=[1.5] * 9 + ["none"] + [2.5] * 30,
        path=[[1.0, 2.0]] * N,
    )
    with pytest.raises(DataTypeError) as caught:
        as_dataset(table)
    text = str(caught.value)
    for name in ("station (", "phase (category)", "when (datetime64", "zone (datetime64"):
        assert name in text
    for name in ("lag (timedelta64", "span (interval", "wave (complex128)"):
        assert name in text
    assert "note (object: row 9 is 'none' (str))" in text
    assert "path (object: row 0 is of type list" in text
    assert "depth" not in text
    assert "Leave them out" in text


def test_many_such_columns_are_counted():
    table = pd.DataFrame({f"c{i}": ["u", "v"] for i in range(25)})
    with pytest.raises(DataError, match=r"c9 .* and 15 more"):
        as_dataset(table)


@pytest.mark.parametrize("labels", [["a", 1], [2.5, "b"], ["a", ("b", 1)], ["a", None]])
def test_columns_called_by_text_and_otherwise_are_refused_as_scikit_learn_does(labels):
    table = pd.DataFrame(np.ones((4, 2)))
    table.columns = pd.Index(labels, dtype=object, tupleize_cols=False)
    with pytest.raises(TypeError, match="expected text for all or for none") as caught:
        as_dataset(table)
    assert isinstance(caught.value, DataError)
    assert repr(labels[0]) in str(caught.value)


def test_columns_of_which_none_is_called_by_text_have_no_names():
    for columns in ([0, 1], pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])):
        table = pd.DataFrame(np.ones((4, 2)), columns=columns)
        assert as_dataset(table).feature_names == ("x0", "x1")
    with pytest.raises(DataTypeError, match=r"hold no numbers: 1 \("):
        as_dataset(pd.DataFrame({0: [1.0], 1: ["u"]}))


def test_columns_of_one_name_are_refused():
    with pytest.raises(DataError, match="more than once: 'depth'"):
        as_dataset(FRAME.set_axis(["depth", "depth"], axis="columns"))


def test_tables_without_columns_or_rows_are_refused():
    with pytest.raises(DataError, match="no features"):
        as_dataset(pd.DataFrame(index=range(3)))
    with pytest.raises(DataError, match="no rows"):
        as_dataset(FRAME.astype("Float64")[:0])


def two_groups():
    values = np.concatenate([RNG.normal(size=(N, 2)), RNG.normal(size=(N, 2)) + 9])
    return pd.DataFrame(values, columns=["u", "v"])


@pytest.mark.filterwarnings(
    "ignore:80 rows are too few",
    "ignore:features of repeated values",
    "ignore:components without a covariance",
)
def test_a_fit_to_typed_columns_is_that_to_their_floats():
    plain = two_groups().assign(w=lambda t: t.u > 4)
    typed = plain.astype({"u": "Float64", "v": "object", "w": "boolean"})
    options = {"random_state": 3, "reg_covar": 1e-3}
    wanted = dgmm.GaussianMixture(2, **options).fit(plain.astype(float))
    found = dgmm.GaussianMixture(2, **options).fit(typed)
    assert found.means_.tobytes() == wanted.means_.tobytes()
    np.testing.assert_array_equal(found.predict(typed), wanted.predict(plain.astype(float)))
    assert list(found.feature_names_in_) == ["u", "v", "w"]


@pytest.mark.filterwarnings("ignore:80 rows are too few", "ignore:1 of 80 rows")
def test_what_is_absent_in_a_table_is_a_missing_value():
    table = two_groups().astype({"v": "Float64"})
    table.loc[7, "v"] = pd.NA
    with pytest.raises(DataError, match="v: 1 NaN"):
        dgmm.GaussianMixture(2, random_state=0).fit(table)
    mixture = dgmm.GaussianMixture(2, random_state=0, missing="drop").fit(table)
    assert np.flatnonzero(mixture.predict(table) == -1).tolist() == [7]


class ForeignTable:
    """What Arrow's tables have: columns by place, names in a schema."""

    class Column:
        def __init__(self, values, kind):
            self.values, self.type = values, kind

        def __array__(self, dtype=None, copy=None):
            if self.type == "broken":
                raise RuntimeError("no such buffer")
            return np.array(self.values, dtype)

    class Schema:
        names = ("a", "b", "c")

    schema = Schema()

    def __init__(self, last):
        self.columns = [
            self.Column([1.0, 2.0], "double"),
            self.Column(np.array([True, None], object), "bool"),
            self.Column(last, "broken" if last is None else "string"),
        ]

    def column(self, i):
        return self.columns[i]

    def __len__(self):
        return 2


def test_tables_with_a_schema_are_read_by_their_columns():
    dataset = as_dataset(ForeignTable([3, 4]))
    assert dataset.feature_names == ("a", "b", "c")
    np.testing.assert_array_equal(dataset.X, [[1, 1, 3], [2, np.nan, 4]])
    with pytest.raises(DataError, match=r"hold no numbers: c \(string"):
        as_dataset(ForeignTable(["u", "v"]))
    with pytest.raises(DataError, match=r"c \(broken: no such buffer\)"):
        as_dataset(ForeignTable(None))


def test_a_table_that_does_not_give_its_columns_is_refused():
    class Remote:
        columns, dtypes = ("a", "b"), (("a", "double"), ("b", "double"))

        def __len__(self):
            raise ConnectionError("gone")

    Remote.__module__ = "pyspark.sql"
    with pytest.raises(DataError, match=r"pyspark\.Remote and cannot be made .*X\.toPandas\(\)"):
        as_dataset(Remote())


def test_tables_of_polars_are_read_by_their_columns():
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"a": [1.5, 2.5], "b": [True, None], "c": [1, None]})
    np.testing.assert_array_equal(read(table), [[1.5, 1, 1], [2.5, np.nan, np.nan]])
    with pytest.raises(DataError, match=r"hold no numbers: d \(String"):
        as_dataset(table.with_columns(d=polars.lit("u")))
    with pytest.raises(DataError, match=r"X\.collect\(\)"):
        as_dataset(table.lazy())


def test_tables_of_arrow_are_read_by_their_columns():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"a": [1.5, None], "b": [True, None]})
    np.testing.assert_array_equal(read(table), [[1.5, 1], [np.nan, np.nan]])
    with pytest.raises(DataError, match=r"hold no numbers: c \(string"):
        as_dataset(table.append_column("c", [["u", "v"]]))
