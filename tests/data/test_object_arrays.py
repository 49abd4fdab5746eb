"""Objects, masks and things that are no array: read as numbers, or refused by what they are."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xarray
import zarr

import dgmm
from dgmm.data.open_dataset import as_dataset
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError, DataNotFoundError, DataTypeError, InputNotFoundError
from dgmm.exit_codes import ExitCode

VALUES = np.random.default_rng(23).normal(size=(12, 3))


def read(X):
    return np.asarray(as_dataset(X).X)


def objects(*rows):
    return np.array(rows, dtype=object)


def test_arrays_of_objects_that_are_numbers_are_converted():
    np.testing.assert_array_equal(read(VALUES.astype(object)), VALUES)
    row = [True, 3, 2.5, np.float32(0.5), np.int8(-2), np.True_, Fraction(1, 4), 2**70]
    np.testing.assert_array_equal(read(objects(row)), [[1, 3, 2.5, 0.5, -2, 1, 0.25, 2.0**70]])


def test_absent_objects_are_missing_values():
    found = read(objects([1, None], [pd.NA, 2], [np.nan, np.ma.masked]))
    np.testing.assert_array_equal(np.isnan(found), [[0, 1], [1, 0], [1, 1]])


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ("7.5", r"'7\.5' \(str\)"),
        ("many words " * 9, "'many words .*… "),
        (b"7", r"b'7' \(bytes\)"),
        ({"a": 1}, "of type dict .*argument must be a string or a real number"),
        ([1, 2], "of type list"),
        (np.zeros(2), "of type ndarray"),
        (2j, r"2j \(complex\)"),
        (np.complex64(1), r".*complex64"),
        (np.datetime64("2021-01-01"), r".*datetime64"),
        (np.timedelta64(3, "s"), r".*timedelta64"),
        (dt.date(2021, 1, 1), "of type date"),
        (pd.Timestamp("2021"), "of type Timestamp"),
        (pd.NaT, "of type NaTType"),
        (10**400, "of type int .*too large"),
        (len, "of type builtin_function"),
    ],
)
def test_an_object_that_is_no_number_is_refused_where_it_stands(cell, word):
    cells = VALUES.astype(object)
    cells[8, 1] = cell
    with pytest.raises(TypeError, match=f"row 8, column 1 is {word}") as caught:
        as_dataset(cells)
    assert isinstance(caught.value, DataError)
    assert len(str(caught.value)) < 400


def test_lists_with_text_or_rows_of_several_lengths_are_refused_where_they_stand():
    with pytest.raises(DataError, match=r"row 1, column 0 is 'u'"):
        as_dataset([[1.0, 2.0], ["u", 4.0]])
    with pytest.raises(DataError, match="row 2 has 1 values, row 0 has 2"):
        as_dataset([[1, 2], [3, 4], [5]])
    with pytest.raises(DataError, match="row 0 is of type list"):
        as_dataset(np.array([[1, 2], [3]], dtype=object))
    with pytest.raises(DataError, match=r"row 0 is of type ndarray.*numpy\.stack"):
        as_dataset(pd.Series(list(VALUES)))
    with pytest.raises(DataError, match="cannot be made an array"):
        as_dataset([[1, 2], [3, [4]]])
    with pytest.raises(DataError, match="Reshape"):
        as_dataset(np.array([[["u", 1]]], dtype=object))


class Masking:
    """An object whose array is masked, as netCDF4's variables are."""

    def __array__(self, dtype=None, copy=None):
        return np.ma.masked_greater(VALUES, 1)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "?", "O"])
def test_masked_cells_are_missing_values(dtype):
    values, mask = (10 * VALUES).astype(dtype), VALUES > 0.5
    found = read(np.ma.masked_array(values, mask))
    assert found.dtype == (np.float32 if dtype == "f4" else np.float64)
    np.testing.assert_array_equal(np.isnan(found), mask)
    np.testing.assert_array_equal(found[~mask], values[~mask].astype(float))
    assert not np.isnan(np.asarray(values, float)).any()


def test_no_mask_is_read_through():
    mask = VALUES > 1
    for X in (Masking(), list(Masking().__array__()), tuple(Masking().__array__())):
        np.testing.assert_array_equal(np.isnan(read(X)), mask)
    unmasked = np.ma.masked_array(np.arange(6).reshape(3, 2))
    assert read(unmasked).dtype == unmasked.dtype
    with pytest.raises(DataError, match="dates"):
        as_dataset(np.ma.masked_array(np.zeros((2, 2), "M8[s]"), mask=True))


def test_masks_of_given_starts_are_not_read_through():
    means = np.ma.masked_array([[0.0, 0, 0], [1, 1, 1]], mask=[[0, 1, 0], [0, 0, 0]])
    with pytest.raises(DataError, match=r"means_init .*finite numbers"):
        dgmm.GaussianMixture(2, means_init=means).fit(VALUES)
    means.mask = False
    mixture = dgmm.GaussianMixture(2, means_init=means, covariance_type="tied", tol=1)
    with pytest.warns(UserWarning, match="rows"):
        mixture.fit(VALUES)
    assert mixture.means_.shape == (2, 3)


class Refusing:
    """A tensor that NumPy may not have, as PyTorch's with gradients."""

    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Can't call numpy() on Tensor that requires grad."),
        TypeError("can't convert cuda:0 device type tensor to numpy."),
        NotImplementedError("on a meta tensor"),
        KeyError("lost"),
        OSError("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_array_that_cannot_be_had_is_refused_with_its_own_reason(error):
    with pytest.raises(DataTypeError, match=r"Refusing and cannot be made an") as caught:
        as_dataset(Refusing(error))
    assert type(error).__name__ in str(caught.value)
    assert str(error).strip(".") in str(caught.value)


def test_tensors_of_torch_are_told_how_to_become_arrays():
    refusing = type("Tensor", (Refusing,), {"__module__": "torch"})
    with pytest.raises(DataError, match=r"of type torch\.Tensor .*X\.detach\(\)\.cpu\(\)\.numpy"):
        as_dataset(refusing(RuntimeError("requires grad")))


def test_no_memory_for_an_array_is_no_fault_of_the_data():
    with pytest.raises(MemoryError):
        as_dataset(Refusing(MemoryError()))


class OwnSparse:
    def todense(self):
        return VALUES


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (None, "X is None; expected rows × features"),
        (b"/data/rows.zarr", r"os\.fsdecode"),
        ({"a": [1, 2]}, r"of type dict.*pandas\.DataFrame\(X\)"),
        (iter(VALUES), r"numpy\.array\(list\(X\)\)"),
        ({1, 2}, "of type set and cannot be made an array"),
        (len, "cannot be made an array"),
        (object(), "of type object and cannot be made an array"),
        (scipy.sparse.csr_matrix(VALUES), r"a sparse matrix; expected a dense .*X\.toarray\(\)"),
        (scipy.sparse.coo_array(VALUES), r"a sparse matrix.*X\.toarray\(\)"),
        (OwnSparse(), r"a sparse matrix.*X\.todense\(\)"),
        (
            xarray.Dataset({"t": (("x", "y"), [[1.0]])}),
            r"xarray\.Dataset .*to_dataarray\('feature'\)",
        ),
        (zarr.storage.MemoryStore(), r"a zarr store \(MemoryStore\).*zarr\.open_array"),
        ("", "X is the text ''"),
        ("a\0b", r"X is the text 'a\?b'"),
        ("\ud800", "expected the path of a Zarr array"),
        (np.zeros(3, "f8,f4"), "structured records.*structured_to_unstructured"),
        (np.zeros((3, 2), "V8"), "raw bytes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_array_is_refused_by_what_it_is(X, words):
    with pytest.raises(DataError, match=words):
        dgmm.GaussianMixture(2).fit(X)


def test_a_group_is_refused_with_the_names_of_its_arrays():
    group = zarr.open_group({}, mode="w")
    with pytest.raises(DataError, match=r"a Zarr group .*It holds no arrays"):
        as_dataset(group)
    for name in ("scores", "depth"):
        group.create_array(name, data=VALUES)
    with pytest.raises(DataTypeError, match=r"a Zarr group .*Its arrays: ") as caught:
        as_dataset(group)
    assert all(name in str(caught.value) for name in ("scores", "depth", "X['"))


@pytest.mark.parametrize(
    "url",
    [
        "s3://reader:secret@bucket/rows.zarr",
        "https://reader:secret@host/rows.zarr?secret=1",
        "gs://bucket/rows.zarr",
        "memory://rows.zarr",
        "simplecache::s3://bucket/rows.zarr",
    ],
)
@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_url_is_refused_as_such_and_tells_no_secret(url, kind):
    with pytest.raises(DataError, match=r"URLs are not read.*Copy or mount") as caught:
        as_dataset(kind(url))
    assert isinstance(caught.value, InputNotFoundError)
    assert url.partition(":")[0] in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_url_is_told_to_be_a_path(tmp_path):
    with pytest.raises(DataError, match=r"URLs are not read.*Leave out file://"):
        as_dataset(f"file://{tmp_path}/rows.zarr")


def test_a_folder_whose_name_looks_like_a_scheme_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zarr.create_array(str(tmp_path / "run:" / "rows.zarr"), data=VALUES)
    assert as_dataset("run:/rows.zarr").n_samples == 12


def test_text_that_is_no_path_is_input_not_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("rows", "two\nlines", "~/rows.zarr", "n" * 5000):
        with pytest.raises(DataNotFoundError) as caught:
            as_dataset(text)
        assert isinstance(caught.value, DataError)
        assert caught.value.exit_code == ExitCode.INPUT_NOT_FOUND
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1200
    zarr.create_array(str(tmp_path / "rows.zarr"), data=VALUES)
    assert as_dataset("~/rows.zarr").n_samples == 12
    assert as_dataset(os.fspath(tmp_path / "rows.zarr")).n_samples == 12


@pytest.mark.filterwarnings("ignore:The data type")  # zarr's own of types outside the standard
@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        ([("u", "f4"), ("v", "i2")], "structured records"),
        ("M8[s]", "dates"),
        ("m8[s]", "time spans"),
        ("U4", "strings"),
        ("S4", "byte strings"),
        ("c8", "complex numbers"),
    ],
)
def test_other_types_of_version_3_are_named_by_what_they_hold(tmp_path, dtype, words):
    path = str(tmp_path / "rows.zarr")
    zarr.create_array(path, shape=(4, 2), chunks=(4, 2), dtype=np.dtype(dtype), zarr_format=3)
    with pytest.raises(DataError, match=rf"\({words}\)"):
        open_zarr(path)
    for X in (path, zarr.open_array(path, mode="r")):
        with pytest.raises(DataError, match=rf"\({words}\)"):
            as_dataset(X)
