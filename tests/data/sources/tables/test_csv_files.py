"""CSV tables: types are declared, faults are named with file and line."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from read_source import carried_of, opened, rows_of, weights_of

from dgmm.data.sources.tables import csv_files
from dgmm.errors import DataError

NAN = float("nan")


def csv(path: Path, content: str | bytes, name: str = "t.csv", **wanted: Any) -> Any:
    """The source of a file with that content."""
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return opened(file, "csv", **wanted)


def test_numbers_and_booleans_are_read_and_empty_cells_are_nan(tmp_path):
    source = csv(tmp_path, "a,b,flag\n1,0.5,true\n,-1e3,\n3,NA,False\n")
    assert source.description.feature_names == ("a", "b", "flag")
    assert source.delivery == "table"
    expected = [[1, 0.5, 1], [NAN, -1000, NAN], [3, NAN, 0]]
    np.testing.assert_array_equal(rows_of(source), expected)
    assert "each was read once to count them" in source.description.notes[0]


def test_a_last_line_without_its_end_is_a_row(tmp_path):
    np.testing.assert_array_equal(rows_of(csv(tmp_path, "a,b\n1,2\n3,4")), [[1, 2], [3, 4]])


def test_line_ends_of_windows_blank_lines_a_mark_and_quotes_are_read(tmp_path):
    text = '\ufeffa,note\r\n1,"x, ""y""\nz"\r\n\r\n2,w\r\n'
    source = csv(tmp_path, text, described=("note",))
    assert source.description.feature_names == ("a",)
    assert carried_of(source) == {"note": ['x, "y"\nz', "w"]}
    np.testing.assert_array_equal(rows_of(source), [[1], [2]])


def test_ids_keep_their_zeros_and_what_looks_like_a_missing_number(tmp_path):
    text = "id,day,x\n007,2013-01-01,1\nNA,1,2\n1e5,,3\n"
    source = csv(tmp_path, text, ids=("id",), described=("day",))
    carried = carried_of(source)
    assert carried == {"id": ["007", "NA", "1e5"], "day": ["2013-01-01", "1", ""]}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gzip", "bz2"])
def test_compression_is_told_by_content(tmp_path, pack):
    source = csv(tmp_path, pack(b"a,b\n1,2\n3,4\n"), "t.txt")
    np.testing.assert_array_equal(rows_of(source), [[1, 2], [3, 4]])
    with pytest.raises(DataError, match=r"cut\.csv cannot be read: .*cut short"):
        csv(tmp_path, pack(b"a,b\n" + b"1,2\n" * 1000)[:-20], "cut.csv")


def test_options_of_europe_are_taken(tmp_path):
    text = "a;b;n\n1,5;-;ä\n2;3;ö\n".encode("latin-1")
    options = {"delimiter": ";", "decimal": ",", "null_values": ["-"], "encoding": "latin-1"}
    source = csv(tmp_path, text, csv=options, ids=("n",))
    np.testing.assert_array_equal(rows_of(source), [[1.5, NAN], [2, 3]])
    assert carried_of(source) == {"n": ["ä", "ö"]}
    assert source.fingerprint()["csv"] == options
    wide = csv(tmp_path, "a,n\n1,ä\n".encode("utf-16"), csv={"encoding": "utf-16"}, ids=("n",))
    assert carried_of(wide) == {"n": ["ä"]}


def test_a_tsv_file_is_separated_by_tabs_unless_the_job_says_otherwise(tmp_path):
    source = csv(tmp_path, "a\tb\n1\t2\n", "t.tsv", csv={"delimiter": None})
    np.testing.assert_array_equal(rows_of(source), [[1, 2]])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delimiter": ";;"}, r"data\.csv\.delimiter is ';;'; expected one ASCII"),
        ({"decimal": ""}, r"data\.csv\.decimal is ''"),
        ({"encoding": "utf-9"}, r"data\.csv\.encoding is 'utf-9'"),
    ],
)
def test_options_that_nothing_can_be_read_with_are_refused(tmp_path, options, said):
    with pytest.raises(DataError, match=said):
        csv(tmp_path, "a\n1\n", csv=options)


def test_another_delimiter_is_suggested(tmp_path):
    with pytest.raises(DataError, match=r"separated by ';', set data\.csv\.delimiter to ';'"):
        csv(tmp_path, "a;b\n1;2\n")


def test_text_that_stands_for_a_missing_number_is_named_with_the_remedy(tmp_path):
    text = "id,total\n1,10\n2, \n3,30\n"
    refusal = r"t\.csv: column total \(string: ' ' among 2 numbers\).*data\.csv\.null_values"
    with pytest.raises(DataError, match=refusal):
        csv(tmp_path, text, columns=("total",))
    with pytest.raises(DataError, match=r"total \(string: ' ' among 2 numbers\)"):
        csv(tmp_path, text, ids=("id",))
    source = csv(tmp_path, text, columns=("total",), csv={"null_values": [" "]})
    np.testing.assert_array_equal(rows_of(source), [[10], [NAN], [30]])


def test_text_after_the_first_megabyte_is_named_with_its_line(tmp_path):
    many = "12345678,1\n" * 100_000
    source = csv(tmp_path, f"a,b\n{many}1, \n")
    with pytest.raises(DataError, match=r"t\.csv, line 100002: column 'b' holds ' ', expected a n"):
        rows_of(source)


def test_every_text_column_that_is_not_named_is_refused_by_name(tmp_path):
    with pytest.raises(DataError) as refused:
        csv(tmp_path, "x,who,when\n1,ann,2013-01-01\n2,bob,2013-01-02\n")
    assert "who (string: 'ann'), when (date32[day]: '2013-01-01')" in str(refused.value)
    assert "data.describe" in str(refused.value)


@pytest.mark.parametrize(("row", "cells"), [("3", 1), ("3,4,5", 3)])
def test_a_row_with_other_cells_than_the_header_is_named_with_its_line(tmp_path, row, cells):
    refusal = rf"t\.csv, line 4: {cells} cells, where the header has 2: '{row}'"
    with pytest.raises(DataError, match=refusal):
        csv(tmp_path, f'a,n\n1,"x\ny"\n{row}\n', columns=("a",))
    many = "1,2\n" * 300_000
    with pytest.raises(DataError, match=r"u\.csv, line 300002: .* cells"):
        csv(tmp_path, f"a,b\n{many}{row}\n", "u.csv")


def test_bytes_of_another_encoding_are_named_with_their_line(tmp_path):
    text = "a,n\n1,x\n2,ä\n".encode("latin-1")
    with pytest.raises(DataError, match=r"t\.csv, line 3: byte 0xe4 .*data\.csv\.encoding"):
        csv(tmp_path, text, ids=("n",))
    with pytest.raises(DataError, match=r"t\.csv, line 1: byte 0xe4"):
        csv(tmp_path, "ä,b\n1,2\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"begins with the mark of utf-16"):
        csv(tmp_path, "a,b\n1,2\n".encode("utf-16"))
    np.testing.assert_array_equal(rows_of(csv(tmp_path, text, columns=("a",))), [[1], [2]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"t\.csv is empty \(0 bytes\)"),
        ("\n\n", r"t\.csv holds blank lines alone"),
        ("1,2\n3,4\n", r"the first line is '1,2'; expected a header"),
        ("a,b,a\n1,2,3\n", r"line 1: more than one column is called 'a'"),
        (b"PK\x03\x04 and more", r"t\.csv is a zip archive"),
    ],
)
def test_a_file_without_a_usable_header_is_refused(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        csv(tmp_path, content)


@pytest.mark.parametrize("header", ["a,b\n", "a,b", "b,a\n\n"])
def test_a_file_with_a_header_alone_has_no_rows(tmp_path, header):
    csv(tmp_path, "a,b\n1,2\n", "t/0.csv")
    csv(tmp_path, "a,b\n3,4\n", "t/2.csv")
    csv(tmp_path, header, "t/1.csv")
    (tmp_path / "t/_SUCCESS").touch()
    source = opened(tmp_path / "t")
    assert [part.n_rows for part in source.parts()] == [1, 0, 1]
    np.testing.assert_array_equal(rows_of(source), [[1, 2], [3, 4]])


def test_columns_go_by_name_and_a_file_that_lacks_one_is_named(tmp_path):
    csv(tmp_path, "a,b\n1,2\n", "t/p1.csv")
    csv(tmp_path, "b,a\n0.5,true\n", "t/p2.csv")
    np.testing.assert_array_equal(rows_of(opened(tmp_path / "t")), [[1, 2], [1, 0.5]])
    csv(tmp_path, "a,c\n1,2\n", "t/p10.csv")
    with pytest.raises(DataError, match=r"t/p10\.csv has no column 'b', which t/p1\.csv has"):
        opened(tmp_path / "t")
    assert [p.name for p in opened(tmp_path / "t", columns=("a",)).parts()][-1] == "t/p10.csv"


def test_an_integer_beyond_2_to_the_53_is_refused_with_line_and_value(tmp_path):
    text = 'n,note\n1,"x\ny"\n9007199254740993,z\n'
    with pytest.raises(DataError, match=r"t\.csv, line 4: column 'n' holds 9007199254740993, bey"):
        rows_of(csv(tmp_path, text, columns=("n",)))
    assert carried_of(csv(tmp_path, text, "u.csv", ids=("n",), columns=("n",)))["n"][1][-1] == "3"
    real = csv(tmp_path, "n\n1e300\n-9007199254740993.5\n")
    assert np.isfinite(rows_of(real)).all(), "columns of real numbers may be large"


def test_an_id_that_is_there_twice_is_refused_with_both_rows(tmp_path):
    csv(tmp_path, "id,x\n007,1\n7,2\n", "t/0.csv", ids=("id",))
    csv(tmp_path, "id,x\n07,1\n7,2\n", "t/1.csv", ids=("id",))
    with pytest.raises(DataError, match=r"'7' is in t/0\.csv, row 1 and again in t/1\.csv, row 1"):
        opened(tmp_path / "t", ids=("id",))


def test_rows_are_read_in_batches_and_stay_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "_block_bytes", lambda types: 1000)
    monkeypatch.setattr("dgmm.data.sources.tables.table_source.BATCH_ROWS", 30)
    monkeypatch.setattr("dgmm.data.sources.tables.table_source._FEWEST_ROWS", 30)
    lines = "".join(f"{i},{i / 8},{i % 7}\n" for i in range(1000))
    source = csv(tmp_path, f"id,x,w\n{lines}", ids=("id",), weight_column="w")
    assert max(len(rows.values) for rows in source.read(source.parts()[0])) <= 30
    np.testing.assert_array_equal(rows_of(source)[:, 0], np.arange(1000) / 8)
    np.testing.assert_array_equal(weights_of(source), np.arange(1000) % 7)
    assert carried_of(source)["id"] == [str(i) for i in range(1000)]
    assert source.locate(500).endswith("t.csv, row 500")


def test_a_file_that_changed_gives_no_rows_without_an_error(tmp_path):
    source = csv(tmp_path, "a,b\n1,2\n")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(DataError, match=r"t\.csv gave 2 rows where 1 were expected"):
        rows_of(source)
    with pytest.raises(DataError, match=r"t\.csv changed since"):
        source.check_unchanged()


@pytest.mark.parametrize("rest", ["2,y\n3,z\n", "2,y\n" * 400_000], ids=["short", "long"])
def test_a_quote_that_is_not_closed_is_named_with_its_line(tmp_path, rest):
    with pytest.raises(DataError, match=r"t\.csv, line 3: a cell that begins with a quote has no"):
        csv(tmp_path, f'a,b\n0,"w"\n1,"x\n{rest}', columns=("a",))
    inches = csv(tmp_path, 'a,b\n1,5" pipe\n2,y\n', "u.csv", columns=("a",))
    np.testing.assert_array_equal(rows_of(inches), [[1], [2]])


def test_an_index_of_pandas_is_no_feature_unless_it_is_named(tmp_path):
    source = csv(tmp_path, ",a\n0,1\n1,2\n")
    assert source.description.feature_names == ("a",)
    assert "the first column: has no name, as an index" in source.description.notes[1]
    again = csv(tmp_path, "Unnamed: 0,a\n0,1\n1,2\n", columns=("a", "Unnamed: 0"))
    np.testing.assert_array_equal(rows_of(again), [[1, 0], [2, 1]])


def test_another_column_without_a_name_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv, line 1: column 3 of 3 has no name"):
        csv(tmp_path, "a,b,\n1,2,\n")


def test_rows_of_many_columns_are_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr("dgmm.data.sources.tables.csv_sample._SAMPLE_BYTES", 1000)
    names, numbers = ",".join(f"c{i}" for i in range(500)), ",".join(["1.25"] * 500)
    source = csv(tmp_path, f"{names}\n{numbers}\n{numbers}\n")
    np.testing.assert_array_equal(rows_of(source), np.full((2, 500), 1.25))


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (["1", "12345678901234567890"], 3),
        (["1.5", "+9007199254740993"], 3),
        (["1e300", "2", '"-9007199254740993"'], 4),
        ([""] * 1_100_000 + ["9007199254740993"], 1_100_002),
    ],
    ids=["twenty digits", "decimals above", "quoted", "a mebibyte of empty cells above"],
)
def test_whole_numbers_beyond_2_to_the_53_are_refused_wherever_they_stand(tmp_path, cells, line):
    source = csv(tmp_path, "n,b\n" + "".join(f"{cell},1\n" for cell in cells))
    with pytest.raises(DataError, match=rf"t\.csv, line {line:d}: column 'n' holds .*beyond 2\^53"):
        rows_of(source)


def test_the_largest_exact_integers_are_read(tmp_path):
    source = csv(tmp_path, "n\n9007199254740992\n-9007199254740992\n")
    np.testing.assert_array_equal(rows_of(source), [[2.0**53], [-(2.0**53)]])


def test_a_mark_before_a_quoted_header_is_no_part_of_a_name(tmp_path):
    source = csv(tmp_path, '\ufeff"a, of all","b"\n"1","2"\n'.encode())
    assert source.description.feature_names == ("a, of all", "b")
    np.testing.assert_array_equal(rows_of(source), [[1, 2]])
