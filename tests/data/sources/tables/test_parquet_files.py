"""Parquet tables: schemas are checked before rows are read, nulls and masks become NaN."""

from __future__ import annotations

import os
import pickle
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_source import carried_of, opened, rows_of, weights_of

from dgmm.data.sources.tables import duplicate_ids, parquet_files
from dgmm.data.sources.tables.column_choice import FeatureColumn
from dgmm.data.sources.tables.column_values import feature_values
from dgmm.errors import DataError, DataNotFoundError

NAN = float("nan")


def write(path: Path, **columns: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def vectors(rows: list[list[float] | None], length: int = 2) -> pa.Array:
    return pa.array(rows, pa.list_(pa.float32(), length))


def test_every_number_is_read_as_it_is_and_nulls_as_nan(tmp_path):
    whole, real = pa.array([1, None, -3]), pa.array([0.5, NAN, None])
    flag, price = [True, None, False], [Decimal("1.25"), None, Decimal("2.5")]
    file = write(tmp_path / "t.parquet", whole=whole, real=real, flag=flag, price=price)
    source = opened(file)
    assert source.description.feature_names == ("whole", "real", "flag", "price")
    assert source.delivery == "table"
    expected = [[1, 0.5, 1, 1.25], [NAN] * 4, [-3, NAN, 0, 2.5]]
    np.testing.assert_array_equal(rows_of(source), expected)


def test_infinity_is_a_value_and_not_missing(tmp_path):
    source = opened(write(tmp_path / "t.parquet", a=[float("inf"), 1.0], b=[1.0, None]))
    np.testing.assert_array_equal(rows_of(source), [[np.inf, 1], [1, NAN]])


def test_columns_that_float32_holds_are_float32(tmp_path):
    narrow = pa.array([1, 2**15 - 1], pa.int16())
    source = opened(write(tmp_path / "t.parquet", a=pa.array([0.1, 2.0], pa.float32()), b=narrow))
    assert source.description.dtype == np.float32
    np.testing.assert_array_equal(rows_of(source), np.float32([[0.1, 1], [2, 32767]]))
    wide = opened(write(tmp_path / "w.parquet", a=pa.array([2**24 + 1], pa.int32())))
    assert rows_of(wide) == 2**24 + 1, "no float32 number"


NULL_VECTORS = pytest.mark.skipif(
    int(pa.__version__.partition(".")[0]) < 26, reason="null vectors take pyarrow 26"
)


def test_an_older_library_is_named_where_values_cannot_be_read(tmp_path, monkeypatch):
    file = write(tmp_path / "t.parquet", e=vectors([[1.0, 2.0], [3.0, 4.0]]))
    source = opened(file)
    monkeypatch.setattr(pa, "__version__", "20.0.0")
    content = bytearray(file.read_bytes())
    content[4:40] = bytes(36)
    file.write_bytes(content)
    os.utime(file, ns=(source.files[0].mtime_ns, source.files[0].mtime_ns))
    with pytest.raises(DataError, match=r"null are read by pyarrow 26 and later.* 20\.0\.0"):
        rows_of(source)
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"or move it away$"):
        rows_of(source)


@NULL_VECTORS
def test_vectors_are_a_feature_per_entry_and_a_null_vector_is_nan(tmp_path):
    rows = [[1.0, 2.0], None, [3.0, None], [5.0, 6.0]]
    source = opened(write(tmp_path / "t.parquet", e=vectors(rows), x=pa.array([1, 2, 3, 4])))
    assert source.description.feature_names == ("e_0", "e_1", "x")
    expected = [[1, 2, 1], [NAN, NAN, 2], [3, NAN, 3], [5, 6, 4]]
    np.testing.assert_array_equal(rows_of(source), expected)


def test_vectors_of_a_later_batch_are_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("dgmm.data.sources.tables.table_source.BATCH_ROWS", 3)
    monkeypatch.setattr("dgmm.data.sources.tables.table_source._FEWEST_ROWS", 3)
    rows = [[float(i), float(-i)] for i in range(10)]
    source = opened(write(tmp_path / "t.parquet", e=vectors(rows)))
    assert [len(r.values) for r in source.read(source.parts()[0])] == [3, 3, 3, 1]
    np.testing.assert_array_equal(rows_of(source), rows)


@NULL_VECTORS
def test_a_value_is_missing_where_its_mask_is_true(tmp_path):
    masks = pa.array([[False, True], [False, False], None, [True, False]], pa.list_(pa.bool_(), 2))
    columns = {"BV": [0.5, 0.0, 0.7, 0.8], "BV.mask": [False, True, False, None]}
    vector = {"e": vectors([[1, 2], [3, 4], [5, 6], [7, 8]]), "e.mask": masks}
    source = opened(write(tmp_path / "stars.parquet", **columns, **vector))
    assert source.description.feature_names == ("BV", "e_0", "e_1")
    expected = [[0.5, 1, NAN], [NAN, 3, 4], [0.7, NAN, NAN], [NAN, NAN, 8]]
    np.testing.assert_array_equal(rows_of(source), np.float64(np.float32(expected)).round(6))
    assert source.description.notes == (
        "BV is missing where BV.mask is true; BV.mask is no feature",
        "e is missing where e.mask is true; e.mask is no feature",
    )


def test_a_file_without_the_mask_has_nothing_masked(tmp_path):
    write(tmp_path / "t/0.parquet", x=[1.0, 0.0], **{"x.mask": [False, True]})
    write(tmp_path / "t/1.parquet", x=[2.0])
    np.testing.assert_array_equal(rows_of(opened(tmp_path / "t")), [[1], [NAN], [2]])


def test_a_mask_is_no_feature_even_where_it_is_named(tmp_path):
    file = write(tmp_path / "t.parquet", x=[1.0], **{"x.mask": [False]})
    with pytest.raises(DataError, match=r"'x\.mask' is the mask of 'x'"):
        opened(file, columns=("x", "x.mask"))


def test_columns_go_by_name_whatever_their_order_and_whole_numbers_mix_with_real_ones(tmp_path):
    write(tmp_path / "t/0.parquet", a=[1, 2], b=[0.5, 1.5])
    write(tmp_path / "t/1.parquet", b=[2.5], a=[3.5])
    np.testing.assert_array_equal(rows_of(opened(tmp_path / "t")), [[1, 0.5], [2, 1.5], [3.5, 2.5]])


def test_a_file_that_lacks_a_column_is_named_before_any_row_is_read(tmp_path, monkeypatch):
    write(tmp_path / "t/p0.parquet", a=[1], b=[2])
    write(tmp_path / "t/p2.parquet", a=[1])
    monkeypatch.setattr(parquet_files.ParquetReader, "batches", None)
    with pytest.raises(DataError, match=r"t/p2\.parquet has no column 'b', which t/p0\.parquet"):
        opened(tmp_path / "t")
    with pytest.raises(DataError, match=r"t/p2\.parquet has no column 'b'"):
        opened(tmp_path / "t", columns=("a",), described=("b",))
    assert opened(tmp_path / "t", columns=("a",)).description.feature_names == ("a",)


def test_files_are_read_in_natural_order_and_folders_give_columns(tmp_path):
    for month in (1, 2, 10, 11):
        file = tmp_path / "t" / f"month={month}" / "part-0.parquet"
        write(file, x=[float(month)], id=[f"{month:04d}"])
    source = opened(tmp_path / "t", ids=("id",), described=("month",))
    assert [part.name for part in source.parts()] == [
        f"t/month={month}/part-0.parquet" for month in (1, 2, 10, 11)
    ]
    assert carried_of(source) == {"id": ["0001", "0002", "0010", "0011"], "month": [1, 2, 10, 11]}
    np.testing.assert_array_equal(rows_of(source), [[1], [2], [10], [11]])
    month = opened(tmp_path / "t", columns=("month",))
    np.testing.assert_array_equal(rows_of(month), [[1], [2], [10], [11]])
    pattern = opened(f"{tmp_path}/t/month=1*/*.parquet", columns=("x", "month"))
    np.testing.assert_array_equal(rows_of(pattern), [[1, 1], [10, 10], [11, 11]])


def test_folders_with_leading_zeros_or_text_give_text(tmp_path):
    for name in ("k=01", "k=2", "k=__HIVE_DEFAULT_PARTITION__"):
        write(tmp_path / "t" / name / "p.parquet", x=[1.0])
    source = opened(tmp_path / "t", described=("k",))
    assert sorted(carried_of(source)["k"], key=str) == ["01", "2", None]
    assert "k: given by the names of folders" in opened(tmp_path / "t").description.notes[0]


def test_a_column_that_file_and_folder_give_is_refused(tmp_path):
    write(tmp_path / "t/k=1/p.parquet", k=[1.0])
    with pytest.raises(DataError, match=r"k=1/p\.parquet holds a column 'k', and its folder"):
        opened(tmp_path / "t")


def test_hidden_files_and_files_without_rows_are_no_fault(tmp_path):
    write(tmp_path / "t/a.parquet", x=[1.0, 2.0])
    write(tmp_path / "t/b.parquet", x=pa.array([], pa.float64()))
    write(tmp_path / "t/c.parquet", x=[3.0])
    (tmp_path / "t/_SUCCESS").touch()
    (tmp_path / "t/.a.parquet.crc").write_bytes(b"crc")
    write(tmp_path / "t/_temporary/d.parquet", x=[9.0])
    for path in (tmp_path / "t", f"{tmp_path}/t/*"):
        source = opened(path, "parquet")
        assert [part.n_rows for part in source.parts()] == [2, 0, 1]
        np.testing.assert_array_equal(rows_of(source), [[1], [2], [3]])
        assert source.locate(2) == "t/c.parquet, row 0"


def test_an_empty_file_a_cut_file_and_another_file_are_named(tmp_path):
    whole = write(tmp_path / "t/0.parquet", x=list(map(float, range(1000))))
    other = tmp_path / "t/1.parquet"
    other.touch()
    with pytest.raises(DataError, match=r"t/1\.parquet is empty \(0 bytes\)"):
        opened(tmp_path / "t")
    other.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"t/1\.parquet cannot be read: .*cut short"):
        opened(tmp_path / "t")
    other.write_bytes(b"name,x\n")
    with pytest.raises(DataError, match=r"t/1\.parquet is no Parquet file: it begins with b'name'"):
        opened(tmp_path / "t")


def test_damaged_pages_are_named(tmp_path):
    content = np.random.default_rng(0).normal(size=10_000)
    file = write(tmp_path / "t.parquet", x=content)
    source = opened(file)
    damaged = bytearray(file.read_bytes())
    damaged[4:2000] = bytes(1996)
    file.write_bytes(damaged)
    with pytest.raises(DataError, match=r"t\.parquet cannot be read"):
        rows_of(source)


def test_a_value_that_its_checksum_does_not_fit_is_found(tmp_path):
    table = pa.table({"x": np.random.default_rng(0).normal(size=1000)})
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(table, tmp_path / "t.parquet", **options)
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    content[4000] ^= 1  # within one of the numbers
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet cannot be read: .*CRC"):
        rows_of(opened(tmp_path / "t.parquet"))


def test_a_path_without_a_file_is_not_found(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t/_SUCCESS").touch()
    for path, what in ((tmp_path / "no.parquet", "does not exist"), (tmp_path / "t", "no file")):
        with pytest.raises(DataNotFoundError, match=what):
            opened(path, "parquet")
    with pytest.raises(DataNotFoundError, match="matches nothing"):
        opened(f"{tmp_path}/t/*.parquet", "parquet")


def test_a_file_that_is_named_twice_is_refused(tmp_path):
    file = str(write(tmp_path / "a.parquet", x=[1.0]))
    with pytest.raises(DataError, match=r"names .*a\.parquet twice"):
        opened(file, paths=(file, f"{tmp_path}/*.parquet"))
    (tmp_path / "link").symlink_to(file)
    for again in (f"{tmp_path}/../{tmp_path.name}/a.parquet", f"{tmp_path}/link"):
        with pytest.raises(DataError, match=r"names .*a\.parquet twice"):
            opened(file, paths=(file, again))


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1])
def test_an_integer_beyond_2_to_the_53_is_refused_with_row_and_value(tmp_path, value):
    file = write(tmp_path / "t.parquet", n=[1, 2, None, value], x=[1.0] * 4)
    with pytest.raises(DataError, match=rf"t\.parquet, row 3: column 'n' holds {value}, beyond"):
        rows_of(opened(file))
    assert carried_of(opened(file, ids=("n",)))["n"][3] == value
    limit = write(tmp_path / "l.parquet", n=[2**53, -(2**53)])
    np.testing.assert_array_equal(rows_of(opened(limit)), [[2.0**53], [-(2.0**53)]])


def test_text_times_and_categories_are_refused_by_name_as_features(tmp_path):
    columns = {
        "x": [1.0],
        "name": ["a"],
        "when": pa.array([0], pa.timestamp("ms")),
        "kind": pa.array(["k"]).dictionary_encode(),
        "many": [[1.0, 2.0]],
    }
    file = write(tmp_path / "t.parquet", **columns)
    with pytest.raises(DataError) as refused:
        opened(file)
    said = str(refused.value)
    for word in ("name (string)", "when (timestamp", "kind (dictionary", "many (list", "describe"):
        assert word in said
    for name in ("name", "when", "kind", "many"):
        with pytest.raises(DataError, match=f"t.parquet: column {name} .*describe"):
            opened(file, columns=("x", name))
    source = opened(file, described=("name", "when", "kind"), columns=("x",))
    assert carried_of(source)["kind"] == ["k"]


def test_an_absent_column_is_named_with_one_like_it(tmp_path):
    file = write(tmp_path / "t.parquet", air_time=[1.0])
    with pytest.raises(DataError, match="no column 'airtime'; did you mean 'air_time'"):
        opened(file, columns=("airtime",))


def test_a_table_of_ids_alone_has_no_feature(tmp_path):
    file = write(tmp_path / "t.parquet", id=["a"])
    with pytest.raises(DataError, match="no column is left as a feature"):
        opened(file, ids=("id",))


def test_ids_are_carried_as_they_are(tmp_path):
    ids = ["007", "08", "", None]
    file = write(tmp_path / "t.parquet", id=ids, n=pa.array([1, 2, 3, 4], pa.int8()), x=[1.0] * 4)
    source = opened(file, ids=("id", "n"))
    assert carried_of(source) == {"id": ids, "n": [1, 2, 3, 4]}
    part = next(iter(source.read_carried(source.parts()[0])))
    assert part["n"].type == pa.int8()


def test_lists_are_neither_ids_nor_descriptions(tmp_path):
    file = write(tmp_path / "t.parquet", e=vectors([[1, 2]]), x=[1.0])
    for role in ("ids", "described"):
        with pytest.raises(DataError, match="column 'e' holds fixed_size_list"):
            opened(file, columns=("x",), **{role: ("e",)})


def test_ids_of_two_types_are_refused(tmp_path):
    write(tmp_path / "t/0.parquet", id=["1"], x=[1.0])
    write(tmp_path / "t/1.parquet", id=[2], x=[1.0])
    with pytest.raises(DataError, match=r"'id' is string in t/0\.parquet and int64 in t/1\.par"):
        opened(tmp_path / "t", ids=("id",))


def test_an_id_that_is_there_twice_is_refused_with_both_rows(tmp_path):
    write(tmp_path / "t/0.parquet", id=["a", "b"], day=[1, 1], x=[1.0, 2.0])
    write(tmp_path / "t/1.parquet", id=["c", "a"], day=[1, 2], x=[1.0, 2.0])
    with pytest.raises(
        DataError, match=r"id 'a' is in t/0\.parquet, row 0 and again in t/1\.p.* 1"
    ):
        opened(tmp_path / "t", columns=("x",), ids=("id",))
    assert opened(tmp_path / "t", columns=("x",), ids=("id", "day")).description.carried
    assert opened(tmp_path / "t", columns=("x",), described=("id",)).description.carried


def test_ids_with_equal_hashes_are_no_duplicates(tmp_path, monkeypatch):
    monkeypatch.setattr(
        duplicate_ids, "row_hashes", lambda columns: np.zeros(len(columns[0]), "u8")
    )
    file = write(tmp_path / "t.parquet", id=[-1, -2], x=[1.0, 2.0])
    assert carried_of(opened(file, ids=("id",))) == {"id": [-1, -2]}
    with pytest.raises(DataError, match="id 5 is in"):
        opened(write(tmp_path / "u.parquet", id=[5, 7, 5], x=[1.0, 2.0, 3.0]), ids=("id",))


@pytest.mark.parametrize(
    "ids",
    [
        [f"{i:05d}" for i in range(50_000)],
        ["", None, "a", "aa", "aaa", "ab", "ba", "ä", "\x00", "\x00\x00", "0", "00", "1"],
        [*range(-500, 500), None, 2**63 - 1, -(2**63)],
        pa.array(range(1000), pa.timestamp("ms")),
        pa.array([i / 8 for i in range(1000)]),
        pa.array([b"a", b"\xff", b""], pa.binary()),
        [True, False, None],
    ],
    ids=["digits", "text", "integers", "times", "floats", "bytes", "booleans"],
)
def test_hashes_of_unlike_ids_are_unlike(ids):
    column = pa.array(ids)
    hashes = duplicate_ids.row_hashes([column])
    assert len(set(hashes.tolist())) == len(column)
    parts = [duplicate_ids.row_hashes([column.slice(i, 1)]) for i in range(min(len(column), 50))]
    np.testing.assert_array_equal(np.concatenate(parts), hashes[:50])
    both = duplicate_ids.row_hashes([column, column[::-1]])
    assert len(set(both.tolist())) == len(column)
    ahead = duplicate_ids.row_hashes([pa.array(["a", "ab"]), pa.array(["bc", "c"])])
    assert ahead[0] != ahead[1]


def test_ids_of_too_many_rows_are_not_compared_and_the_plan_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("dgmm.data.sources.tables.duplicate_ids.MOST_ROWS", 1)
    source = opened(write(tmp_path / "t.parquet", id=["a", "a"], x=[1.0, 2.0]), ids=("id",))
    assert "id: not compared" in source.description.notes[0]


def test_weights_are_read_beside_the_rows_and_are_no_feature(tmp_path):
    file = write(tmp_path / "t.parquet", x=[1.0, 2.0, 3.0], w=pa.array([1, None, 3]))
    source = opened(file, weight_column="w")
    assert source.description.feature_names == ("x",)
    assert source.description.has_weights
    np.testing.assert_array_equal(weights_of(source), [1, NAN, 3])
    with pytest.raises(DataError, match="'w' holds the weights"):
        opened(file, columns=("x", "w"), weight_column="w")
    with pytest.raises(DataError, match=r"column i .*holds no numbers"):
        opened(write(tmp_path / "u.parquet", x=[1.0], i=["a"]), columns=("x",), weight_column="i")


def test_large_files_are_cut_between_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_files, "_PART_ROWS", 10)
    x = np.arange(35.0)
    pq.write_table(pa.table({"x": x}), tmp_path / "t.parquet", row_group_size=4)
    source = opened(tmp_path / "t.parquet")
    assert [part.n_rows for part in source.parts()] == [8, 8, 8, 8, 3]
    assert source.parts()[1].name.endswith("/t.parquet, rows 8 to 15")
    np.testing.assert_array_equal(rows_of(source)[:, 0], x)
    assert source.locate(20).endswith("/t.parquet, row 20")
    pq.write_table(pa.table({"x": x}), tmp_path / "u.parquet", row_group_size=20)
    assert [part.n_rows for part in opened(tmp_path / "u.parquet").parts()] == [20, 15]


def test_a_source_is_picklable_and_reads_the_same_elsewhere(tmp_path):
    file = write(tmp_path / "t/k=1/p.parquet", x=[1.0, None], id=["a", "b"])
    source = opened(file.parent.parent, ids=("id",), described=("k",))
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301 - of this test
    np.testing.assert_array_equal(rows_of(copy), rows_of(source))
    assert carried_of(copy) == {"id": ["a", "b"], "k": [1, 1]}


def test_a_table_of_many_files_is_small_where_it_is_sent(tmp_path):
    columns = {f"column_{i}": [1.0] for i in range(50)}
    for i in range(40):
        write(tmp_path / "t" / f"{i}.parquet", **columns)
    few = len(pickle.dumps(opened(tmp_path / "t", paths=(f"{tmp_path}/t/0.parquet",))))
    assert len(pickle.dumps(opened(tmp_path / "t"))) - few < 39 * 500, "bytes a file"


def test_the_fingerprint_follows_files_and_what_is_taken_of_them(tmp_path):
    file = write(tmp_path / "t.parquet", x=[1.0], y=[2.0])
    source = opened(file)
    prints = [source.fingerprint(), opened(file, columns=("y", "x")).fingerprint()]
    assert opened(file).fingerprint() == prints[0] != prints[1]
    source.check_unchanged()
    write(file, x=[1.0, 2.0], y=[2.0, 3.0])
    assert opened(file).fingerprint() != prints[0]
    with pytest.raises(DataError, match=r"t\.parquet changed since the table was opened"):
        source.check_unchanged()
    with pytest.raises(DataError, match=r"t\.parquet gave 2 rows where 1 were expected|range"):
        rows_of(source)


def test_an_index_of_pandas_is_no_feature_unless_it_is_named(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=[5, 7, 9])
    frame.to_parquet(tmp_path / "t.parquet")
    source = opened(tmp_path / "t.parquet")
    np.testing.assert_array_equal(rows_of(source), [[1], [2], [3]])
    assert source.description.notes[0].startswith("__index_level_0__: has no name, as an index")
    assert carried_of(opened(tmp_path / "t.parquet", ids=("__index_level_0__",))) == {
        "__index_level_0__": [5, 7, 9]
    }


def test_files_of_polars_and_pandas_are_read_alike(tmp_path):
    frame = pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": [0.5, None, 1.5]})
    frame.to_parquet(tmp_path / "t0.parquet", index=False)
    pl.from_pandas(frame).write_parquet(tmp_path / "t1.parquet")
    expected = [[1, 0.5], [NAN, NAN], [3, 1.5]]
    for i in range(2):
        np.testing.assert_array_equal(rows_of(opened(tmp_path / f"t{i}.parquet")), expected)


def test_a_partition_that_is_named_itself_gives_its_columns(tmp_path):
    for month in (1, 2):
        write(tmp_path / f"run=7/t/year=2020/month={month}/x.parquet", a=[1.0])
    parts = [str(tmp_path / f"run=7/t/year=2020/month={month}") for month in (1, 2)]
    for paths in (parts, [f"{p}/x.parquet" for p in parts], [f"{p}/*.parquet" for p in parts]):
        source = opened(paths[0], paths=tuple(paths), described=("month", "year"))
        assert carried_of(source) == {"month": [1, 2], "year": [2020, 2020]}
        assert source.description.feature_names == ("a",)
        assert source.locate(1) == "t/year=2020/month=2/x.parquet, row 0"


def test_digits_that_are_no_decimal_number_sort_as_text(tmp_path):
    for name in ("1²2", "10", "9"):
        write(tmp_path / f"t/{name}.parquet", a=[1.0])
    names = [part.name for part in opened(tmp_path / "t").parts()]
    assert names == ["t/1²2.parquet", "t/9.parquet", "t/10.parquet"]


def test_whole_decimals_beyond_2_to_the_53_are_refused(tmp_path):
    whole = pa.array([1, Decimal(2**53 + 1)], pa.decimal128(38, 0))
    with pytest.raises(DataError, match="row 1: column 'a' holds 9007199254740993, beyond"):
        rows_of(opened(write(tmp_path / "t.parquet", a=whole)))
    fraction = pa.array([Decimal("9007199254740993.5"), None], pa.decimal256(60, 2))
    rows = rows_of(opened(write(tmp_path / "u.parquet", a=fraction)))
    np.testing.assert_allclose(rows, [[9007199254740993.5], [np.nan]], rtol=1e-15)


def test_lists_without_a_length_are_refused_with_the_remedy(tmp_path):
    file = write(tmp_path / "t.parquet", e=[[1.0, 2.0]], x=[1.0])
    for columns in ((), ("e",)):
        with pytest.raises(DataError, match=r"cast the column to pyarrow\.list_\(pyarrow\.float32"):
            opened(file, columns=columns)


def test_ids_alone_are_read_to_compare_them(tmp_path, monkeypatch):
    read = []
    batches = parquet_files.ParquetReader.batches

    def watched(self, file, extent, columns, *others, **keys):
        read.append(list(columns))
        return batches(self, file, extent, columns, *others, **keys)

    monkeypatch.setattr(parquet_files.ParquetReader, "batches", watched)
    file = write(tmp_path / "t.parquet", i=[1, 2], text=["a", "b"], x=[1.0, 2.0])
    source = opened(file, ids=("i",), described=("text",))
    assert read == [["i"]]
    assert "i: read once more than the rest" in source.description.notes[0]
    assert carried_of(source) == {"i": [1, 2], "text": ["a", "b"]}


@pytest.mark.parametrize("has_nulls", [False, True])
def test_vectors_of_a_part_of_a_batch_are_those_of_its_rows(has_nulls):
    """Arrow hands out slices: their cells begin anywhere in what lies behind them."""
    vectors = [[float(i), i + 0.5] for i in range(6)]
    if has_nulls:
        vectors[4] = None
    batch = pa.record_batch({"v": pa.array(vectors, pa.list_(pa.float64(), 2))})
    column = FeatureColumn("v", length=2)
    whole = feature_values(batch, [column], np.dtype(float), str)
    part = feature_values(batch.slice(2, 3), [column], np.dtype(float), str)
    np.testing.assert_array_equal(part, whole[2:5])
    assert part[0].tolist() == [2.0, 2.5]
