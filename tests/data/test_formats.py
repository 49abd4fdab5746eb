"""Formats told by content: each is asked in turn, and Zarr is what nobody claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgmm.config import DataSettings
from dgmm.data.data_source import DataSource
from dgmm.data.formats import FORMATS, DetectedFormat, detected_format, open_format
from dgmm.errors import DataError, DataNotFoundError


def opened(source):
    raise DataNotFoundError(f"opened {source.path} as stars")


@pytest.fixture
def stars(monkeypatch):
    def recognises(source: DataSource) -> bool:
        path = Path(source.path)
        return path.is_file() and path.read_bytes()[:4] == b"STAR"

    monkeypatch.setitem(FORMATS, "stars", DetectedFormat(opened, recognises, frozenset({"array"})))


@pytest.mark.usefixtures("stars")
def test_a_format_is_told_by_content_and_not_by_name(tmp_path):
    file = tmp_path / "rows.zarr"
    file.write_bytes(b"STAR, and more")
    assert detected_format(DataSource(str(file))) == "stars"
    with pytest.raises(DataNotFoundError, match=r"rows\.zarr as stars"):
        open_format("auto", DataSource(str(file)))


@pytest.mark.usefixtures("stars")
def test_what_no_format_recognises_is_opened_as_zarr(tmp_path):
    file = tmp_path / "rows.stars"
    file.write_bytes(b"\x00\x01 something else")
    assert detected_format(DataSource(str(file))) == "zarr"
    assert detected_format(DataSource(str(tmp_path / "absent"))) == "zarr"


def test_a_file_of_no_format_is_named(tmp_path):
    (tmp_path / "x").write_bytes(b"SIMPLE  =                    T" + bytes(50))
    with pytest.raises(DataError, match=r"x is a FITS file, and no Zarr array.*docs/data\.md"):
        open_format("auto", DataSource(str(tmp_path / "x")))


@pytest.mark.usefixtures("stars")
def test_a_format_that_is_named_is_taken_whatever_the_content(tmp_path):
    with pytest.raises(DataNotFoundError, match="absent as stars"):
        open_format("stars", DataSource(str(tmp_path / "absent")))


@pytest.mark.usefixtures("stars")
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"ids": ("a",)},
            r"^data\.id means nothing to data in format stars, which takes data\.a",
        ),
        ({"csv": {"decimal": ","}}, r"^data\.csv means nothing"),
        ({"paths": ("a", "b")}, r"^a list of paths means nothing"),
        ({"absent_chunks": "fill"}, r"^data\.absent_chunks means nothing"),
    ],
)
def test_a_key_that_a_format_would_pass_over_is_refused(keys, said):
    with pytest.raises(DataError, match=said):
        open_format("stars", DataSource("a", **keys))


def test_every_format_that_is_built_in_says_which_keys_it_takes():
    known = {"paths", "weights", "weights.cos"} | set(DataSettings.model_fields) - {
        "path",
        "format",
        "missing",
    }
    for member in FORMATS.values():
        assert member.takes <= known


@pytest.mark.parametrize("keys", [{}, {"columns": ("x",)}, {"variables": ("x",)}])
def test_a_path_that_is_not_there_is_said_before_any_key_is_refused(tmp_path, keys):
    with pytest.raises(DataNotFoundError, match=r"mistyped\.parquet does not exist"):
        open_format("auto", DataSource(str(tmp_path / "mistyped.parquet"), **keys))
    with pytest.raises(DataNotFoundError, match=r"\*\.nc matches nothing"):
        open_format("auto", DataSource(str(tmp_path / "*.nc"), **keys))


@pytest.mark.parametrize("keys", [{"columns": ("x",)}, {"variables": ("x",)}])
def test_nothing_to_read_is_said_before_any_key_is_refused(tmp_path, keys):
    (tmp_path / "e.csv").touch()
    with pytest.raises(DataError, match=r"e\.csv is an empty file, which is not read"):
        open_format("auto", DataSource(str(tmp_path / "e.csv"), **keys))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataNotFoundError, match="a folder without files"):
        open_format("auto", DataSource(str(tmp_path / "folder"), **keys))
