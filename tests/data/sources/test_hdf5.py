"""HDF5 by dataset path: values in whole chunks, each decoded once; faults with file and dataset."""

from __future__ import annotations

import pickle
import sys

import h5py
import numpy as np
import pytest

from dgmm.data.data_source import DataSource
from dgmm.data.formats import open_format
from dgmm.data.sources import array_source, stored_arrays
from dgmm.data.sources.hdf5 import hdf5_file
from dgmm.data.sources.hdf5.hdf5_source import open_hdf5
from dgmm.errors import DataError, DataNotFoundError, UnavailableError

ROWS = np.random.default_rng(0).normal(size=(1000, 6)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "x.dat", "w") as file:
        run = file.create_group("runs/a")
        run.create_dataset("scores", data=ROWS, chunks=(64, 4), compression="gzip")
        run.create_dataset("plain", data=ROWS[:, :2].astype(">f8"))
        run["scores"].attrs["feature_names"] = list("uvwxyz")
        run["weight"] = np.arange(1000) % 5
        run["text"] = np.array([["a"], ["b"]], dtype=h5py.string_dtype())
        file["record"] = np.zeros(5, dtype=[("a", "f8")])
    return str(tmp_path / "x.dat")


def source_of(path, array="runs/a/scores", **keys):
    return open_format("auto", DataSource(path, array=array, **keys))


def read_all(source):
    again = pickle.loads(pickle.dumps(source))  # noqa: S301 - the test's own
    return np.concatenate([rows.values for part in again.parts() for rows in again.read(part)])


def test_rows_are_those_of_the_dataset(path, monkeypatch):
    monkeypatch.setattr(stored_arrays, "BATCH_BYTES", 130 * 24)
    monkeypatch.setattr(array_source, "_PART_BYTES", 200 * 24)
    source = source_of(path)
    assert [part.n_rows for part in source.parts()] == [256, 256, 256, 232]
    assert {len(rows.values) for rows in source.read(source.parts()[0])} == {128}, "whole chunks"
    np.testing.assert_array_equal(read_all(source), ROWS)
    assert source.description.feature_names == tuple("uvwxyz")
    assert source.description.dtype == np.float32
    assert source.locate(7) == f"{path}: runs/a/scores, row 7"
    plain = source_of(path, "/runs/a/plain")
    np.testing.assert_array_equal(read_all(plain), ROWS[:, :2])
    assert plain.description.feature_names == ("x0", "x1")


def test_each_chunk_is_decoded_once(path, monkeypatch):
    """The chunks that reads touch, counted by the places of rows that h5py is asked for."""
    monkeypatch.setattr(stored_arrays, "BATCH_BYTES", 130 * 24)
    monkeypatch.setattr(array_source, "_PART_BYTES", 200 * 24)
    asked = []

    def counted(values, rows):
        asked.append(rows)
        return values[rows]

    monkeypatch.setattr(hdf5_file, "getitem", counted)
    read_all(source_of(path))
    touched = [chunk for rows in asked for chunk in range(rows.start // 64, -(-rows.stop // 64))]
    assert touched == list(range(16))


def test_a_dataset_of_numbers_may_be_the_weights(path):
    source = source_of(path, weight_column="runs/a/weight")
    weights = [rows.weights for part in source.parts() for rows in source.read(part)]
    np.testing.assert_array_equal(np.concatenate(weights), np.arange(1000) % 5)
    assert source.description.has_weights
    with pytest.raises(DataError, match="expected one number for each of 1,000 rows"):
        source_of(path, weight_column="runs/a/plain")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ("runs/a/score", r"Did you mean 'runs/a/scores'\? Its arrays: record, runs/a/plain"),
        ("runs/a", "'runs/a' is a group"),
        (None, r"name one of its datasets in data\.array\. Its arrays: record"),
        ("record", r"record: values are .*\(structured records\)"),
        ("runs/a/text", "expected booleans, integers"),
        ("runs/a/weight", r"shape \(1000,\)"),
    ],
)
def test_what_is_not_there_or_no_table_is_refused(path, array, words):
    with pytest.raises(DataError, match=words):
        source_of(path, array)


def test_numbers_that_stand_for_others_are_refused(path):
    with h5py.File(path, "a") as file:
        file["runs/a/plain"].attrs["scale_factor"] = 0.1
    with pytest.raises(DataError, match=r"scale_factor = 0\.1"):
        source_of(path, "runs/a/plain")


def test_values_outside_the_valid_range_are_refused(path):
    with h5py.File(path, "a") as file:
        file["runs/a/plain"].attrs["valid_max"] = 2.5
    n_outside = int((ROWS[:, :2] > 2.5).any(axis=1).sum())
    assert n_outside > 0
    with pytest.raises(DataError, match=rf"valid_max = 2\.5\).* {n_outside} of {path}"):
        read_all(source_of(path, "runs/a/plain"))


def test_chunks_without_storage_are_no_values(path):
    with h5py.File(path, "a") as file:
        file.create_dataset("late", (1000, 2), "f4", chunks=(100, 2))[:250] = 1.0
        file.create_dataset("never", (1000, 2), "f4")
    with pytest.raises(DataError, match="late: 7 of its chunks are not stored"):
        source_of(path, "late")
    with pytest.raises(DataError, match="never: 1 of its chunks"):
        source_of(path, "never")
    filled = read_all(source_of(path, "late", absent_chunks="fill"))
    np.testing.assert_array_equal(filled[:, 0], np.arange(1000) < 250)


def test_cut_and_damaged_files_are_named(path, tmp_path):
    with h5py.File(path) as file:
        place = file["runs/a/scores"].id.get_chunk_info(2).byte_offset
    content = bytearray((tmp_path / "x.dat").read_bytes())
    content[place : place + 40] = b"\xff" * 40
    (tmp_path / "damaged").write_bytes(content)
    with pytest.raises(DataError, match="runs/a/scores, rows 0 to 999: cut or damaged"):
        read_all(source_of(str(tmp_path / "damaged")))
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cut: cut or damaged, HDF5 cannot read it"):
        open_hdf5(DataSource(str(tmp_path / "cut"), array="runs/a/scores"))
    with pytest.raises(DataNotFoundError, match="does not exist"):
        open_hdf5(DataSource(str(tmp_path / "absent"), array="x"))


def test_a_file_written_again_is_another(path):
    source = source_of(path)
    source.check_unchanged()
    hdf5_file._opened.cache_clear()  # a process does not write what it has open for reading
    with h5py.File(path, "a") as file:
        file["more"] = np.zeros(10)
    with pytest.raises(DataError, match="changed after the run had begun"):
        source.check_unchanged()
    assert source_of(path).fingerprint() != source.fingerprint()


def test_without_h5py_its_install_line_is_given(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    hdf5_file._opened.cache_clear()
    with pytest.raises(UnavailableError, match=r"pip install 'dgmm\[hdf5\]'"):
        source_of(path)


def test_links_that_lead_nowhere_leave_the_other_datasets_to_be_named(path):
    with h5py.File(path, "a") as file:
        file["one"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/one")
        file["nowhere"] = h5py.ExternalLink("absent.h5", "/x")
    for name in ("one", "runs/a/scored", "nowhere"):
        with pytest.raises(DataError, match=r"is not there.*runs/a/scores"):
            source_of(path, name)


def test_weights_whose_chunks_were_never_written_are_refused(path):
    with h5py.File(path, "a") as file:
        file.create_dataset("w", (1000,), "f8", chunks=(100,))[:500] = 1.0
    with pytest.raises(DataError, match=r": w: 5 of its chunks are not stored.*to fill"):
        source_of(path, weight_column="w")
    source_of(path, weight_column="w", absent_chunks="fill")
