"""From what a Python user has in hand (an array, a path, a Zarr array) to a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.feature_names import safe_text
from dgmm.data.lazy_arrays import loaded
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.tables import is_table, numbers_of_table
from dgmm.data.unsupported_inputs import refuse_unreadable
from dgmm.data.valid_range import ValidRange, valid_range_of
from dgmm.data.validation import check_dtype, check_shape
from dgmm.data.zarr.conventions import meaning_of, refuse_encoded
from dgmm.data.zarr.coordinates import feature_names_in_store, feature_names_of_labelled
from dgmm.data.zarr.dataset import open_zarr
from dgmm.data.zarr.node import url_of
from dgmm.errors import DataError


def as_dataset(X: Any) -> Dataset:
    """Rows of X.

    Parameters
    ----------
    X
        A path of a Zarr array, a `zarr.Array`, a `StoredDataset` of any format (see
        `dgmm.data.formats.open_stored`), a table of pandas, polars or Arrow, or anything
        NumPy makes an (n, d) array of. A Zarr array in a folder is read block by block; one that
        lives elsewhere, and arrays of Dask, xarray or HDF5 that are not in memory, are loaded up
        to 256 MiB.

    Raises
    ------
    DataError
        If X cannot be read as rows of numbers: it says what X is, and what to do.
    """
    # An object that makes attributes as they are asked for (dask.delayed) has all of them.
    if hasattr(type(X), "read_blocks") and isinstance(X, StoredDataset):
        return X
    if isinstance(X, str | os.PathLike):
        return open_zarr(_folder(X))
    if isinstance(X, zarr.Array):
        root = getattr(X.store, "root", None)
        if isinstance(root, Path):
            return open_zarr(str((root / X.path).absolute()))
        return _read_whole(X)
    names, valid_range = _labels_of(X)
    X = loaded(X)
    refuse_unreadable(X)
    if is_table(X):
        return ArrayDataset(*numbers_of_table(X))
    return ArrayDataset(X, names, valid_range=valid_range)


def _folder(path: Any) -> str:
    """The absolute path that a text or a path object means; a URL as it stands.

    Raises
    ------
    DataError
        If no file can be called so.
    """
    text = os.fsdecode(path)
    try:
        is_name = bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise DataError(f"X is the text {safe_text(text)!r}; expected the path of a Zarr array")
    if url_of(text) is not None:
        return text
    return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 - resolve() would follow links


def _read_whole(X: Any) -> ArrayDataset:
    """A Zarr array that lies in no folder; the same conventions apply as to one that does."""
    check_dtype(X.dtype, "X")
    check_shape(X.shape, "X")
    meaning = meaning_of("X", X.attrs.asdict(), X.dtype, X.metadata.zarr_format, X.fill_value)
    names, _ = feature_names_in_store(X)
    values = np.asarray(loaded(X))
    if meaning.decoding is not None:
        values = meaning.decoding.apply(values)
    return ArrayDataset(values, names, meaning.fill_value, meaning.valid_range)


def _labels_of(X: Any) -> tuple[Sequence[str] | None, ValidRange | None]:
    """Feature names and valid range of an array of xarray; nothing of others.

    Raises
    ------
    DataError
        If it is a map, or its numbers are encoded.
    """
    dims, attributes = getattr(X, "dims", None), getattr(X, "attrs", None)
    if (
        not isinstance(dims, tuple)
        or not isinstance(attributes, Mapping)
        or not hasattr(X, "dtype")
    ):
        return None, None
    refuse_encoded("X", attributes, X.dtype.kind)
    names, _ = feature_names_of_labelled(X)
    return names, valid_range_of("X", attributes, X.dtype)
