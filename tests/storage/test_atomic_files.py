"""Files appear whole or not at all, hold no pickle, and say plainly when they cannot be written."""

from __future__ import annotations

import csv
import enum
import io
import json
import os
import pickle
import re
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dgmm.errors import DataError, InputNotFoundError, OutputFailedError
from dgmm.exit_codes import ExitCode
from dgmm.storage.append_files import CsvLines, JsonLines
from dgmm.storage.array_files import read_arrays, write_arrays
from dgmm.storage.atomic_files import plain, read_json, write_bytes, write_json, write_text


class Code(enum.IntEnum):
    SEVEN = 7


def test_a_written_file_holds_the_bytes_and_leaves_nothing_beside_it(tmp_path):
    write_bytes(tmp_path / "a.bin", b"one")
    write_bytes(tmp_path / "a.bin", b"two")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.bin", b"two")]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputFailedError, match=r"a\.txt: No space left on device") as error:
        write_text(tmp_path / "a.txt", "new")
    assert error.value.exit_code == ExitCode.OUTPUT_FAILED
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_file_and_folder_are_synced_before_a_write_returns(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write_text(tmp_path / "a.txt", "text")
    file, folder = synced
    assert re.fullmatch(re.escape(str(tmp_path)) + r"/\.a\.txt\.[0-9a-f]{16}\.tmp", file)
    assert folder == str(tmp_path)


def test_an_absent_folder_is_an_output_that_failed(tmp_path):
    with pytest.raises(OutputFailedError, match="No such file"):
        write_bytes(tmp_path / "absent" / "folder", b"")


def test_json_is_strict_keeps_its_order_and_takes_numpy(tmp_path):
    value = {
        "z": np.float64(0.1),
        "a": np.array([[1, 2]], dtype=np.int8),
        "nan": float("nan"),
        "ends": (np.inf, -np.inf),
        "code": Code.SEVEN,
        "flag": np.bool_(True),
        "path": Path("runs/a"),
        7: None,
        "name": "größe",
    }
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert list(json.loads(text)) == ["z", "a", "nan", "ends", "code", "flag", "path", "7", "name"]
    assert read_json(tmp_path / "a.json") == {
        "z": 0.1,
        "a": [[1, 2]],
        "nan": None,
        "ends": ["Infinity", "-Infinity"],
        "code": 7,
        "flag": True,
        "path": "runs/a",
        "7": None,
        "name": "größe",
    }
    assert text.startswith('{\n "z": 0.1,\n')


def test_what_has_no_form_in_json_is_refused():
    with pytest.raises(TypeError, match="bytes has no form in JSON"):
        plain({"key": [b"raw"]})


@pytest.mark.parametrize("text", ['{"a": ', '{"a": NaN}', "\udcff", "[" * 100_000, ""])
def test_a_file_that_is_not_json_is_invalid_data(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("read", [read_json, read_arrays])
def test_an_absent_file_is_an_input_not_found(tmp_path, read):
    with pytest.raises(InputNotFoundError, match=r"cannot read .*absent"):
        read(tmp_path / "absent")


def test_arrays_come_back_equal_with_dtype_and_shape(tmp_path):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "c": np.array(["x", "größe"]),
        "scalar": np.array(np.nan, dtype=np.float32),
        "empty": np.empty((0, 4)),
    }
    write_arrays(tmp_path / "a.npz", **arrays)
    back = read_arrays(tmp_path / "a.npz")
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype.newbyteorder("=")


def test_equal_arrays_are_equal_bytes_whatever_their_layout(tmp_path, monkeypatch):
    array = np.arange(12.0).reshape(3, 4)
    write_arrays(tmp_path / "a.npz", x=array)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_arrays(tmp_path / "b.npz", x=np.asfortranarray(array.astype(">f8")))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_python_objects_are_never_written(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(tmp_path / "a.npz", x=np.array([{}], dtype=object))
    assert list(tmp_path.iterdir()) == []


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def zipped(path: Path, name: str, data: bytes, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, data)


class Bomb:
    def __reduce__(self):
        return (Path("exploded").touch, ())


@pytest.mark.parametrize(
    "name", ["../x.npy", "/x.npy", "a/x.npy", "..\\x.npy", "x", "x.pkl", ".npy"]
)
def test_a_member_named_by_a_path_is_refused(tmp_path, name):
    zipped(tmp_path / "a.npz", name, npy(np.ones(3)))
    with pytest.raises(DataError, match=r"a plain NAME\.npy is due"):
        read_arrays(tmp_path / "a.npz")


def test_pickle_is_refused_and_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Bomb()))
    zipped(tmp_path / "inside.npz", "x.npy", npy(np.array([Bomb()]), allow_pickle=True))
    for name in ("bare.npz", "inside.npz"):
        with pytest.raises(DataError, match="not an intact npz"):
            read_arrays(name)
    assert not Path("exploded").exists()


def test_a_compressed_member_is_refused_before_it_is_inflated(tmp_path):
    zipped(tmp_path / "a.npz", "x.npy", npy(np.zeros(10_000)), zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="compressed"):
        read_arrays(tmp_path / "a.npz")


def test_a_file_cut_anywhere_is_invalid_data(tmp_path):
    write_arrays(tmp_path / "a.npz", x=np.arange(20.0), y=np.ones((2, 2)))
    whole = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_arrays(tmp_path / "cut.npz")


def test_a_changed_byte_of_an_array_is_noticed(tmp_path):
    write_arrays(tmp_path / "a.npz", x=np.arange(20.0))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[data.index(np.arange(20.0).tobytes()) + 9] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DataError, match="CRC"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(2**58,), (5,), (2**70,), (-3,)])
def test_a_header_that_claims_another_size_is_invalid_data(tmp_path, shape):
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    zipped(tmp_path / "a.npz", "x.npy", stream.getvalue() + b"\0" * 80)
    with pytest.raises(DataError):
        read_arrays(tmp_path / "a.npz")


def test_json_lines_are_there_as_soon_as_they_are_appended(tmp_path):
    with JsonLines(tmp_path / "events.jsonl") as lines:
        for step in range(3):
            lines.append({"step": np.int64(step), "text": "two\nlines"})
            content = (tmp_path / "events.jsonl").read_text().splitlines()
            assert [json.loads(line)["step"] for line in content] == list(range(step + 1))


def test_appending_goes_on_after_a_line_that_was_cut_short(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\n{"a"')
    with JsonLines(path) as lines:
        lines.append({"a": 2})
    assert path.read_text().splitlines() == ['{"a": 1}', '{"a": 2}']


@pytest.mark.parametrize("rest", ["", "a,", "a,b"])
def test_half_a_heading_is_written_anew(tmp_path, rest):
    path = tmp_path / "metrics.csv"
    path.write_text(rest)
    with CsvLines(path, ["a", "b"]) as lines:
        lines.append({"a": 1, "b": 2})
    assert path.read_text() == "a,b\n1,2\n"


def test_a_long_line_that_was_cut_short_is_taken_off(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a": 1}\n' + b'{"text": "' + 200_000 * b"x" + 3 * b"\0")
    with JsonLines(path) as lines:
        lines.append({"a": 2})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}, {"a": 2}]


def test_a_line_that_finds_no_room_leaves_nothing_of_itself(tmp_path):
    path, most = tmp_path / "events.jsonl", 1000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with JsonLines(path) as lines:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        try:
            with pytest.raises(OutputFailedError, match="File too large"):
                list(map(lines.append, ({"step": n, "text": 30 * "y"} for n in range(100))))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
        assert steps == list(range(len(steps)))
        assert len(steps) > 10
        lines.append({"step": -1})  # room was made
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [*steps, -1]


def test_csv_has_one_heading_and_empty_cells_for_none_and_nan(tmp_path):
    path = tmp_path / "metrics.csv"
    for _ in range(2):
        with CsvLines(path, ["a", "b"]) as lines:
            lines.append({"a": np.float32(0.5), "b": 'x,"y"'})
            lines.append({"a": np.nan})
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["a", "b"], *[["0.5", 'x,"y"'], ["", ""]] * 2]


def test_a_row_with_an_unknown_column_is_refused(tmp_path):
    with CsvLines(tmp_path / "a.csv", ["a"]) as lines, pytest.raises(ValueError, match="column b"):
        lines.append({"b": 1})


def test_an_appender_without_a_folder_is_an_output_that_failed(tmp_path):
    with pytest.raises(OutputFailedError, match="absent"):
        JsonLines(tmp_path / "absent" / "a.jsonl")


@pytest.mark.parametrize("kind", ["device", "fifo", "folder"])
def test_lines_go_into_regular_files_alone(tmp_path, kind):
    path = tmp_path / "events.jsonl"
    if kind == "device":
        path = Path(os.devnull)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OutputFailedError, match=r"expected a regular file\. Remove it|directory"):
        JsonLines(path)


def test_closing_twice_is_harmless(tmp_path):
    lines = JsonLines(tmp_path / "a.jsonl")
    lines.close()
    lines.close()
