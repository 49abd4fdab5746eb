"""Rows that are too many to be loaded, in a Zarr array on disk for as long as they are needed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.feature_names import feature_names_from
from dgmm.data.lazy_arrays import MOST_LOADED_BYTES, LazyRows
from dgmm.data.number_words import in_units
from dgmm.data.unsupported_inputs import kind_of
from dgmm.data.valid_range import ValidRange
from dgmm.data.zarr.dataset import ZarrDataset, open_zarr
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockGrid

#: What a file system has to have beside the rows.
_MARGIN = 1.02


@contextmanager
def temporary_rows(lazy: LazyRows, valid_range: ValidRange | None) -> Iterator[ZarrDataset]:
    """Write rows to the folder for temporary files, part by part, and remove them at the end.

    Parameters
    ----------
    lazy : LazyRows
    valid_range
        Outside of which values stand for missing ones.

    Raises
    ------
    DataError
        If there is no space for them, or the parts do not hold the rows that were announced.
    """
    parent = tempfile.gettempdir()
    free = shutil.disk_usage(parent).free
    if lazy.n_bytes * _MARGIN > free:
        raise DataError(
            f"X is {kind_of(lazy.X)} ({lazy.size}); its rows would be written to a temporary array "
            f"in {parent}, where {in_units(free)} are free. Set TMPDIR to a folder with more "
            f"space, or write them as a Zarr array, {lazy.writing}, and give the path"
        )
    with tempfile.TemporaryDirectory(prefix="dgmm-rows-") as folder:
        path = str(Path(folder) / "rows.zarr")
        _write(lazy, path)
        yield replace(
            open_zarr(path),
            feature_names=feature_names_from(lazy.names, lazy.shape[1], "feature names"),
            has_names=lazy.names is not None,
            fill_value=None,
            valid_range=valid_range,
            warnings=(_note(lazy, parent),),
            attributes={} if lazy.units is None else {"units": lazy.units},
        )


def _note(lazy: LazyRows, parent: str) -> str:
    return (
        f"X is {kind_of(lazy.X)} ({lazy.size}), more than the {in_units(MOST_LOADED_BYTES)} that "
        f"are loaded into memory: its rows were written to a temporary Zarr array in {parent}, "
        "which is removed at the end. To write them once for several calls, give the path of what "
        f"{lazy.writing} makes"
    )


def _write(lazy: LazyRows, path: str) -> None:
    """Write whole chunks; each is a block of the fit that reads them."""
    n, d = lazy.shape
    height = min(BlockGrid(n, d).rows_per_block, n)
    array: Any = zarr.create_array(
        *(path,),
        shape=(n, d),
        chunks=(height, d),
        dtype=lazy.dtype,
        compressors=None,
        config={"write_empty_chunks": True},
    )
    start, waiting = 0, np.empty((0, d), lazy.dtype)
    for part in lazy.parts():
        waiting = np.concatenate([waiting, _numbers(part, d, lazy.dtype)])
        whole = len(waiting) // height * height
        array[start : start + whole] = waiting[:whole]
        start, waiting = start + whole, waiting[whole:]
    array[start:] = _checked(waiting, n - start)


def _numbers(part: Any, n_features: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The rows of a part in the type of all."""
    if not len(part):
        return np.empty((0, n_features), dtype)
    rows = ArrayDataset(part).X
    if rows.shape[1] != n_features:
        raise DataError(f"X: a part has {rows.shape[1]} features, expected {n_features}")
    return rows.astype(dtype, copy=False)


def _checked(rows: NDArray[Any], n_expected: int) -> NDArray[Any]:
    if len(rows) != n_expected:
        raise DataError(
            f"X: its parts have {len(rows) - n_expected:+,} rows beside those that its shape gives"
        )
    return rows
