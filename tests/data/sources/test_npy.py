"""NumPy's files: read in pieces, with the values np.load gives; pickles are never loaded."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest

from dgmm.data.data_source import DataSource
from dgmm.data.formats import detected_format, open_format
from dgmm.data.sources import array_source, stored_arrays
from dgmm.data.sources.npy.npy_source import open_numpy
from dgmm.errors import DataError

ROWS = np.random.default_rng(0).normal(size=(1000, 3))
#: Types and orders in which one table is saved.
FORMS = [
    np.ascontiguousarray(ROWS),
    np.asfortranarray(ROWS),
    ROWS.astype(">f4"),
    np.asfortranarray(ROWS.astype(np.float16)),
    (ROWS * 100).astype(np.int16),
    ROWS > 0,
]


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of 200 rows and batches of 50, of three float64."""
    monkeypatch.setattr(stored_arrays, "BATCH_BYTES", 50 * 24)
    monkeypatch.setattr(array_source, "_PART_BYTES", 200 * 24)


def read_all(source):
    """The rows of all parts, which are read in another order than they stand in."""
    again = pickle.loads(pickle.dumps(source))  # noqa: S301 - the test's own
    parts = {part.index: part for part in again.parts()}
    found = {i: [rows.values for rows in again.read(parts[i])] for i in reversed(parts)}
    return np.concatenate([values for i in sorted(found) for values in found[i]])


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("rows", FORMS, ids=lambda rows: f"{rows.dtype} {rows.flags.fnc}")
def test_rows_of_a_file_are_those_that_numpy_loads(tmp_path, rows):
    np.save(tmp_path / "x.npy", rows)
    source = open_format("auto", DataSource(str(tmp_path / "x.npy")))
    values = read_all(source)
    np.testing.assert_array_equal(values, np.load(tmp_path / "x.npy"))
    is_single = rows.dtype.kind == "f" and rows.dtype.itemsize <= 4
    assert values.dtype == source.description.dtype == (np.float32 if is_single else np.float64)
    assert len(source.parts()) > 1
    assert source.locate(12) == f"{tmp_path / 'x.npy'}, row 12"


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("rows", FORMS[:3], ids=["C", "Fortran", "big-endian"])
def test_rows_of_a_member_are_those_that_numpy_loads(tmp_path, save, rows):
    save(tmp_path / "x.npz", other=ROWS[:5, :2], scores=rows)
    source = open_format("auto", DataSource(str(tmp_path / "x.npz"), array="scores"))
    np.testing.assert_array_equal(read_all(source), rows)
    is_one_part = len(source.parts()) == 1
    assert is_one_part == (save is np.savez_compressed), "compressed rows come one after another"
    sizes = [len(rows.values) for rows in source.read(source.parts()[0])]
    assert max(sizes) <= 100


def test_the_only_member_needs_no_name(tmp_path):
    np.savez(tmp_path / "x.npz", ROWS)
    np.testing.assert_array_equal(read_all(open_numpy(DataSource(str(tmp_path / "x.npz")))), ROWS)


@pytest.mark.parametrize("array", [None, "score"])
def test_members_are_listed_where_none_of_that_name_is_there(tmp_path, array):
    np.savez(tmp_path / "x.npz", a=ROWS, scores=ROWS)
    with pytest.raises(DataError, match="Its arrays: a, scores"):
        open_numpy(DataSource(str(tmp_path / "x.npz"), array=array))


class Loaded:
    """An object whose pickle ends the test where it is loaded."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_pickled_objects_are_refused_and_never_loaded(tmp_path, name):
    objects = np.array([[Loaded(), 1.0]], dtype=object)
    (np.save if name == "x.npy" else np.savez)(tmp_path / name, objects)
    with pytest.raises(DataError, match="pickled Python objects"):
        open_numpy(DataSource(str(tmp_path / name)))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.zeros(3, dtype=[("a", "f8"), ("b", "f8")]), "structured records"),
        (np.zeros((3, 2), complex), "complex"),
        (np.array([["a", "b"]]), "strings"),
        (np.zeros(5), "shape \\(5,\\)"),
        (np.zeros((2, 3, 4)), "two dimensions"),
        (np.zeros((0, 4)), "no rows"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path, rows, words):
    np.save(tmp_path / "x.npy", rows)
    with pytest.raises(DataError, match=words):
        open_numpy(DataSource(str(tmp_path / "x.npy")))


def test_integers_beyond_what_floats_hold_are_refused(tmp_path):
    for dtype in (np.int64, np.uint64):
        rows = np.full((4, 2), 2**53, dtype)
        np.save(tmp_path / "x.npy", rows)
        np.testing.assert_array_equal(
            read_all(open_numpy(DataSource(str(tmp_path / "x.npy")))), rows
        )
        rows[3, 1] += 1
        np.save(tmp_path / "x.npy", rows)
        source = open_numpy(DataSource(str(tmp_path / "x.npy")))
        with pytest.raises(DataError, match="9007199254740993 is an integer beyond 2\\^53"):
            read_all(source)


def test_a_file_that_was_cut_is_refused_when_it_is_opened(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"cut short: its header claims \(1000, 3\) float64"):
        open_numpy(DataSource(str(path)))
    path.write_bytes(whole[:60])
    with pytest.raises(DataError, match="header is damaged"):
        open_numpy(DataSource(str(path)))


def test_a_damaged_member_is_named(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, scores=ROWS)
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)
    source = open_numpy(DataSource(str(path)))
    with pytest.raises(DataError, match="scores: damaged"):
        read_all(source)
    path.write_bytes(content[:9000])
    with pytest.raises(DataError, match="damaged"):
        open_numpy(DataSource(str(path), array="scores"))


def test_a_claim_beyond_the_archive_is_refused(tmp_path):
    claim = np.lib.format.header_data_from_array_1_0(ROWS) | {"shape": (10**12, 3)}
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive, archive.open("a.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, claim)
        file.write(ROWS.tobytes())
    with pytest.raises(DataError, match="cut short"):
        open_numpy(DataSource(str(tmp_path / "x.npz")))


def test_a_file_written_again_is_another(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, ROWS)
    source = open_numpy(DataSource(str(path)))
    source.check_unchanged()
    np.save(path, ROWS[:900])
    with pytest.raises(DataError, match="changed after the run had begun"):
        source.check_unchanged()
    assert open_numpy(DataSource(str(path))).fingerprint() != source.fingerprint()


def test_keys_that_mean_nothing_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    path = str(tmp_path / "x.npy")
    with pytest.raises(DataError, match=r"holds one array; remove data\.array \('a'\)"):
        open_numpy(DataSource(path, array="a"))
    for other in ({"ids": ("name",)}, {"paths": (path, path)}, {"weight_column": "w"}):
        with pytest.raises(DataError, match="means nothing to data in format numpy"):
            open_format("auto", DataSource(path, **other))
    (tmp_path / "x.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"a text file \(CSV\); expected a \.npy"):
        open_numpy(DataSource(str(tmp_path / "x.csv")))
    assert detected_format(DataSource(path)) == "numpy"


@pytest.mark.parametrize("shape", ["(" * 60, "(-1, 3), }"])
def test_a_header_that_is_no_dictionary_of_a_shape_is_damaged(tmp_path, shape):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape
    content = b"\x93NUMPY\x01\x00\x80\x00" + header.ljust(127).encode() + b"\n"
    (tmp_path / "x.npy").write_bytes(content + bytes(80))
    with pytest.raises(DataError, match="its header is damaged"):
        open_numpy(DataSource(str(tmp_path / "x.npy")))
