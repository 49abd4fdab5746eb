"""Arrays that are computed or read when they are asked for: loaded below a size, refused above."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import zarr

from dgmm.data.unsupported_inputs import kind_of, library_of, no_array
from dgmm.data.validation import check_dtype, check_shape
from dgmm.errors import DataError, DataTypeError

#: Larger ones belong on disk, where rows are read block by block: as much as a fit's own sample of
#: rows may take.
MOST_LOADED_BYTES = 256 * 1024 * 1024
#: Libraries whose arrays lie in files until they are indexed.
_FILE_LIBRARIES = frozenset({"h5py", "h5netcdf", "netCDF4", "tables"})
#: What makes a Zarr array of each kind, whose path is then given.
_WRITING = {
    "dask array": "Write it as a Zarr array, X.rechunk(('auto', -1)).to_zarr(path),",
    "dask table": (
        "Write it as a Zarr array, "
        "X.to_dask_array(lengths=True).rechunk(('auto', -1)).to_zarr(path),"
    ),
    "xarray": "Write it to Zarr, X.to_dataset(name='rows').to_zarr(path) makes path/rows,",
    "file": (
        "Write it as a Zarr array, dask.array.from_array(X).rechunk(('auto', -1)).to_zarr(path),"
    ),
    "zarr": "Copy its store into a local folder",
}
#: Kinds that Dask's protocol has a method for; others are indexed.
_COMPUTED = frozenset({"dask array", "dask table", "xarray"})
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def loaded(X: Any) -> Any:
    """X with its values in memory; X itself where they lie there.

    Parameters
    ----------
    X
        A Dask array or table, an xarray.DataArray (of Dask, or opened from a file), an array of an
        HDF5 or netCDF file, a `zarr.Array`, or anything else, which is left as it is.

    Raises
    ------
    DataError
        If it is larger than 256 MiB or its size is not known, with the way to write it to disk; if
        its type or shape cannot be fitted; or if it cannot be computed.
    """
    if isinstance(X, list | tuple) and any(_is_dask(row) for row in X):
        raise DataTypeError(f"X is {kind_of(X)} of Dask arrays; expected one: dask.array.stack(X)")
    kind = _kind(X)
    if kind is None:
        return X
    shape = _shape(X, kind)
    if kind != "dask table":
        dtype = np.dtype(X.dtype)
        if dtype.kind != "O":
            check_dtype(dtype, "X")
        check_shape(shape, "X")
    _refuse_large(X, kind, shape)
    try:
        return X.compute() if kind in _COMPUTED else X[...]
    except MemoryError:
        raise
    except Exception as error:  # of whatever the graph, or the file, runs
        raise no_array(X, f"{type(error).__name__}: {error}") from error


def _kind(X: Any) -> str | None:
    """How X is loaded; None where it lies in memory.

    Raises
    ------
    DataTypeError
        If it is computed when it is asked for, and is neither an array nor a table.
    """
    if isinstance(X, zarr.Array):
        return None if isinstance(X.store, zarr.storage.MemoryStore) else "zarr"
    if library_of(X) == "xarray":
        variable = getattr(X, "variable", None)
        return None if getattr(variable, "_in_memory", True) else "xarray"
    if library_of(X) in _FILE_LIBRARIES and hasattr(X, "dtype") and hasattr(X, "shape"):
        return "file"
    if not _is_dask(X):
        return None
    if isinstance(getattr(X, "chunks", None), tuple):
        return "dask array"
    # Types are looked at, for whatever a Delayed is asked for it answers with a Delayed.
    if isinstance(getattr(X, "npartitions", None), int) and getattr(X, "ndim", None) == 2:
        return "dask table"
    raise DataTypeError(
        f"X is {kind_of(X)}, which is no array of rows × features yet; X.compute() gives what it "
        "stands for, X.to_frame() makes a table of a series"
    )


def _is_dask(X: Any) -> bool:
    """Whether X is a collection of Dask's protocol with something to compute."""
    graph = getattr(X, "__dask_graph__", None)
    return not isinstance(X, type) and callable(graph) and graph() is not None


def _shape(X: Any, kind: str) -> tuple[int, ...]:
    """Rows and columns; a table's rows are counted, which reads it once and holds no more of it."""
    if kind == "dask table":
        try:
            return len(X), len(X.columns)
        except Exception as error:
            raise no_array(X, f"{type(error).__name__}: {error}") from error
    shape = X.shape or ()
    if any(math.isnan(size) for size in shape):
        raise DataError(
            f"X is {kind_of(X)} whose number of rows is not known (its chunks have NaN sizes): "
            "X.compute_chunk_sizes() finds it"
        )
    return tuple(int(size) for size in shape)


def _refuse_large(X: Any, kind: str, shape: tuple[int, ...]) -> None:
    types = X.dtypes if kind == "dask table" else [X.dtype]
    row_bytes = sum(getattr(dtype, "itemsize", 8) for dtype in types)
    n_bytes = row_bytes * (shape[0] if kind == "dask table" else math.prod(shape))
    if n_bytes > MOST_LOADED_BYTES:
        size = f"{' × '.join(f'{size:,}' for size in shape)} values, {_in_units(n_bytes)}"
        raise DataError(
            f"X is {kind_of(X)} ({size}); at most {_in_units(MOST_LOADED_BYTES)} are loaded into "
            f"memory. {_WRITING[kind]} and give the path: its rows are read block by block. Where "
            f"X fits into memory, give {'X.compute()' if kind in _COMPUTED else 'X[...]'}"
        )


def _in_units(n_bytes: float) -> str:
    power = min(int(math.log(n_bytes, 1024)), len(_UNITS) - 1) if n_bytes else 0
    return f"{n_bytes / 1024**power:.3g} {_UNITS[power]}"
