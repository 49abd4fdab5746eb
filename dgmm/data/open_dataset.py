"""From what a Python user has in hand (an array, a path, a Zarr array) to a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import zarr

from dgmm.data.annotated_rows import annotated_rows, is_annotated
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.feature_names import safe_text
from dgmm.data.labelled_rows import labelled_rows
from dgmm.data.lazy_arrays import MOST_LOADED_BYTES, LazyRows, lazy_rows
from dgmm.data.number_words import in_units
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.tables import is_table, numbers_of_table
from dgmm.data.temporary_rows import temporary_rows
from dgmm.data.unsupported_inputs import kind_of, refuse_unreadable
from dgmm.data.valid_range import ValidRange, valid_range_of
from dgmm.data.zarr.conventions import refuse_encoded
from dgmm.data.zarr.dataset import open_zarr
from dgmm.data.zarr.node import url_of
from dgmm.data.zarr.store_reader import open_in_store
from dgmm.errors import DataError


@contextmanager
def opened_rows(X: Any) -> Iterator[Dataset]:
    """Rows of X for as long as they are needed.

    Parameters
    ----------
    X
        As `as_dataset` takes it. Arrays and tables that are not in memory (Dask, xarray, HDF5) are
        loaded up to 256 MiB; larger ones are written to a temporary Zarr array, part by part.

    Raises
    ------
    DataError
        As by `as_dataset`; or if there is no space for a temporary array.
    """
    with ExitStack() as stack:
        yield _opened(X, lambda lazy, valid: stack.enter_context(temporary_rows(lazy, valid)))


def as_dataset(X: Any) -> Dataset:
    """Rows of X.

    Parameters
    ----------
    X
        A path of a Zarr array, a `zarr.Array`, a `StoredDataset` of any format (see
        `dgmm.data.formats.open_stored`), a table of pandas, polars or Arrow, an array or a data
        set of xarray, an AnnData with one array, or anything NumPy makes an (n, d) array of. Zarr
        arrays are read block by block; arrays of Dask, xarray or HDF5 that are not in memory are
        loaded up to 256 MiB, and refused above.

    Raises
    ------
    DataError
        If X cannot be read as rows of numbers: it says what X is, and what to do.
    """
    return _opened(X, _refuse_large)


def _opened(X: Any, too_large: Callable[[LazyRows, ValidRange | None], Dataset]) -> Dataset:
    if (stored := _stored(X)) is not None:
        return stored
    names: Sequence[str] | None = None
    if is_annotated(X):
        X, names = annotated_rows(X)
    labelled = labelled_rows(X)
    valid = _valid_range_of(X) if labelled is None else labelled.valid_range
    lazy = lazy_rows(X, labelled)
    if lazy is not None and lazy.n_bytes > MOST_LOADED_BYTES:
        return too_large(lazy if names is None else replace(lazy, names=names), valid)
    if labelled is not None:
        rows = labelled.rows() if lazy is None else lazy.loaded()
        return ArrayDataset(rows, labelled.names, valid_range=valid, units=labelled.units)
    if lazy is not None:
        X = lazy.loaded()
    refuse_unreadable(X)
    if is_table(X):
        return ArrayDataset(*numbers_of_table(X))
    return ArrayDataset(X, names, valid_range=valid)


def _stored(X: Any) -> Dataset | None:
    """The data set of what is stored, and read block by block; None of anything else."""
    # An object that makes attributes as they are asked for (dask.delayed) has all of them.
    if hasattr(type(X), "read_blocks") and isinstance(X, StoredDataset):
        return X
    if isinstance(X, str | os.PathLike):
        return open_zarr(_folder(X))
    if not isinstance(X, zarr.Array):
        return None
    root = getattr(X.store, "root", None)
    return (
        open_zarr(str((root / X.path).absolute())) if isinstance(root, Path) else open_in_store(X)
    )


def _refuse_large(lazy: LazyRows, _: ValidRange | None) -> Dataset:
    raise DataError(
        f"X is {kind_of(lazy.X)} ({lazy.size}); at most {in_units(MOST_LOADED_BYTES)} are loaded "
        f"into memory. Write it as a Zarr array, {lazy.writing}, and give the path: its rows are "
        "read block by block"
    )


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


def _valid_range_of(X: Any) -> ValidRange | None:
    """The valid range of a variable of xarray without coordinates; of others None.

    Raises
    ------
    DataError
        If its numbers are encoded.
    """
    dims, attributes = getattr(X, "dims", None), getattr(X, "attrs", None)
    if (
        not isinstance(dims, tuple)
        or not isinstance(attributes, Mapping)
        or not hasattr(X, "dtype")
    ):
        return None
    refuse_encoded("X", attributes, X.dtype.kind)
    return valid_range_of("X", attributes, X.dtype)
