"""Arrays that are computed or read when they are asked for: whole, or part by part."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dgmm.data.labelled_rows import LabelledRows
from dgmm.data.number_words import in_units
from dgmm.data.tables import numbers_of_table
from dgmm.data.unsupported_inputs import kind_of, library_of, no_array
from dgmm.data.validation import check_dtype, check_shape, native
from dgmm.errors import DataError, DataTypeError

#: Larger ones are not loaded: as much as a fit's own sample of rows may take.
MOST_LOADED_BYTES = 256 * 1024 * 1024
#: Bytes of rows that are computed or read at once, where chunks allow it.
BATCH_BYTES = 64 * 1024 * 1024
#: Libraries whose arrays lie in files until they are indexed.
_FILE_LIBRARIES = frozenset({"h5py", "h5netcdf", "netCDF4", "tables"})
#: What makes a Zarr array of each kind, whose path can be given as well.
_WRITING = {
    "dask array": "X.rechunk(('auto', -1)).to_zarr(path)",
    "dask table": "X.to_dask_array(lengths=True).rechunk(('auto', -1)).to_zarr(path)",
    "xarray": "X.to_dataset(name='rows').to_zarr(path) (makes path/rows)",
    "variables": (
        "X.to_dataarray('feature').T.to_dataset(name='rows').to_zarr(path) (makes path/rows)"
    ),
    "file": "dask.array.from_array(X).rechunk(('auto', -1)).to_zarr(path)",
}


@dataclass(frozen=True, slots=True, eq=False)
class LazyRows:
    """Rows (n, d) that are not in memory.

    Parameters
    ----------
    X
        The user's.
    kind : str
        One of those that `writing` knows.
    shape : (n, d)
    dtype : dtype
        Of objects, where only the values tell.
    names : sequence of str or None
        Of the features, as far as they are known before rows are.
    load : callable
        Gives all of them, as whatever `ArrayDataset` or a table takes.
    bands : sequence of (start, stop)
        Parts that are computed or read at once, in order; of rows, places or partitions.
    part : callable
        Gives the rows of a band.
    units : str, mapping or None
        Unit of all features, or of each by name.
    """

    X: Any
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    names: Sequence[str] | None
    load: Callable[[], Any]
    bands: Sequence[tuple[int, int]]
    part: Callable[[int, int], Any]
    units: str | Mapping[str, str] | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def size(self) -> str:
        """Numbers of rows and features, and bytes, in words."""
        return f"{' × '.join(f'{n:,}' for n in self.shape)} values, {in_units(self.n_bytes)}"

    @property
    def writing(self) -> str:
        """Python that writes the rows to a Zarr array."""
        return _WRITING[self.kind]

    def loaded(self) -> Any:
        """All rows, in memory.

        Raises
        ------
        DataTypeError
            If they cannot be computed or read.
        """
        return self._in_words(self.load)

    def parts(self) -> Iterator[Any]:
        """Yield the rows in order, band by band.

        Raises
        ------
        DataTypeError
            If they cannot be computed or read.
        """
        for start, stop in self.bands:
            yield self._in_words(partial(self.part, start, stop))

    def _in_words(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (MemoryError, DataError):
            raise
        except Exception as error:  # of whatever the graph, or the file, runs
            raise no_array(self.X, f"{type(error).__name__}: {error}") from error


def lazy_rows(X: Any, labelled: LabelledRows | None = None) -> LazyRows | None:
    """X as rows that are not in memory yet; None where they are.

    Parameters
    ----------
    X
        A Dask array or table, an array of an HDF5 or netCDF file, or anything else.
    labelled
        X as xarray's labels make it rows.

    Raises
    ------
    DataError
        If its size is not known, or its type or shape cannot be fitted.
    """
    if isinstance(X, list | tuple) and any(_is_dask(row) for row in X):
        raise DataTypeError(f"X is {kind_of(X)} of Dask arrays; expected one: dask.array.stack(X)")
    if labelled is not None:
        return None if labelled.is_in_memory else _of_labelled(labelled)
    if library_of(X) == "xarray":
        return None if getattr(X, "_in_memory", True) else _of_array(X, "xarray", lambda: X.values)
    if library_of(X) in _FILE_LIBRARIES and hasattr(X, "dtype") and hasattr(X, "shape"):
        return _of_array(X, "file", lambda: X[...])
    if not _is_dask(X):
        return None
    if isinstance(getattr(X, "chunks", None), tuple):
        return _of_array(X, "dask array", X.compute)
    # Types are looked at, for whatever a Delayed is asked for it answers with a Delayed.
    if isinstance(getattr(X, "npartitions", None), int) and getattr(X, "ndim", None) == 2:
        return _of_table(X)
    raise DataTypeError(
        f"X is {kind_of(X)}, which is no array of rows × features yet; X.compute() gives what it "
        "stands for, X.to_frame() makes a table of a series"
    )


def _is_dask(X: Any) -> bool:
    """Whether X is a collection of Dask's protocol with something to compute."""
    graph = getattr(X, "__dask_graph__", None)
    return not isinstance(X, type) and callable(graph) and graph() is not None


def _of_labelled(labelled: LabelledRows) -> LazyRows:
    n_places = labelled.sample_shape[0]
    place_bytes = math.prod(labelled.shape) * labelled.dtype.itemsize // n_places
    return LazyRows(
        labelled.X,
        "xarray" if hasattr(labelled.X, "dtype") else "variables",
        labelled.shape,
        native(labelled.dtype),
        labelled.names,
        load=labelled.rows,
        bands=bands(n_places, place_bytes, labelled.boundaries()),
        part=labelled.rows,
        units=labelled.units,
    )


def _of_array(X: Any, kind: str, load: Callable[[], Any]) -> LazyRows:
    shape = _known(X)
    dtype = np.dtype(X.dtype)
    if dtype.kind != "O":
        check_dtype(dtype, "X")
    check_shape(shape, "X")
    return LazyRows(
        *(X, kind, shape, _with_masks(X, native(dtype)), None, load),
        bands=bands(shape[0], shape[1] * dtype.itemsize, _boundaries(X, shape[0])),
        part=lambda start, stop: _computed(X[start:stop]),
    )


def _of_table(X: Any) -> LazyRows:
    """A table of Dask; its rows are counted, which reads it once and holds no more of it."""
    try:
        shape = len(X), len(X.columns)
    except Exception as error:
        raise no_array(X, f"{type(error).__name__}: {error}") from error
    numbers = [numbers_of_table(X._meta)] if hasattr(X, "_meta") else []  # noqa: SLF001 - Dask's own protocol
    single = bool(numbers) and numbers[0][0].dtype == np.float32
    return LazyRows(
        *(X, "dask table", shape, np.dtype(np.float32 if single else np.float64)),
        names=numbers[0][1] if numbers else None,
        load=X.compute,
        bands=[(i, i + 1) for i in range(X.npartitions)],
        part=lambda i, _: numbers_of_table(X.partitions[i].compute())[0],
    )


def _known(X: Any) -> tuple[int, ...]:
    shape = X.shape or ()
    if any(math.isnan(size) for size in shape):
        raise DataError(
            f"X is {kind_of(X)} whose number of rows is not known (its chunks have NaN sizes): "
            "X.compute_chunk_sizes() finds it"
        )
    return tuple(int(size) for size in shape)


def _with_masks(X: Any, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of the values once masked cells are NaN; netCDF4 also unpacks as it reads."""
    is_masked = isinstance(getattr(X, "_meta", None), np.ma.MaskedArray)
    if library_of(X) == "netCDF4":
        dtype, is_masked = native(np.ma.asanyarray(X[:1]).dtype), True
    return np.dtype(np.float64) if dtype.kind == "O" or (is_masked and dtype.kind != "f") else dtype


def _computed(X: Any) -> Any:
    return X.compute() if _is_dask(X) else getattr(X, "values", X)


def _boundaries(X: Any, n: int) -> list[int] | None:
    """Where chunks begin and end along the rows."""
    chunks = getattr(X, "chunks", None)
    if not isinstance(chunks, tuple) or not chunks:
        return None
    if isinstance(chunks[0], tuple):
        return [0, *np.cumsum(chunks[0]).tolist()]
    return [*range(0, n, max(int(chunks[0]), 1)), n]


def bands(n: int, row_bytes: int, boundaries: Sequence[int] | None) -> list[tuple[int, int]]:
    """Consecutive parts of [0, n): whole chunks, together some 64 MiB.

    Examples
    --------
    >>> bands(10, BATCH_BYTES // 4, [0, 3, 6, 9, 10])
    [(0, 3), (3, 6), (6, 10)]
    """
    most = max(BATCH_BYTES // max(row_bytes, 1), 1)
    if boundaries is None:
        return [(start, min(start + most, n)) for start in range(0, n, most)]
    found, start, last = [], 0, 0
    for end in boundaries:
        if end - start > most and last > start:
            found.append((start, last))
            start = last
        last = end
    return [*found, (start, n)] if start < n else found
