"""Parquet files of results: columns that are carried along beside those of a run's row arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sources.tables.arrow import arrow
from dgmm.storage.atomic_files import written_aside
from dgmm.storage.folders import Target

_OPTIONS: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}


def carried_types(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Arrow types of columns, by name."""
    return {name: _array(values).type for name, values in columns.items()}


def result_column(values: NDArray[Any]) -> Any:
    """A row array (b,) as an Arrow array; NaN, which stands for a dropped row, is null."""
    return arrow().array(values, from_pandas=values.dtype.kind == "f")


def write_part(path: Target, types: Mapping[str, Any], batches: Iterator[Mapping[str, Any]]) -> int:
    """Write batches of columns as one Parquet file, whole or not at all; its rows are returned.

    The same batches give the same bytes.

    Parameters
    ----------
    path
        A file that is there is replaced.
    types
        Arrow types by name: those of the file, with or without rows.
    batches
        Columns by name, as Arrow arrays or what these can be made of; a row group each.

    Raises
    ------
    OutputFailedError
        If it cannot be written.
    """
    library = arrow()
    schema, n_rows = library.schema(list(types.items())), 0
    parquet = arrow("parquet")
    with (
        written_aside(path) as file,
        parquet.ParquetWriter(file, schema, **_OPTIONS) as writer,
    ):
        for columns in batches:
            arrays = [_array(columns[name], kind) for name, kind in types.items()]
            batch = library.record_batch(arrays, schema=schema)
            writer.write_batch(batch, row_group_size=max(batch.num_rows, 1))
            n_rows += batch.num_rows
    return n_rows


def result_types(dtypes: Mapping[str, np.dtype[Any]]) -> dict[str, Any]:
    """Arrow types of row arrays, by name."""
    return {name: arrow().from_numpy_dtype(dtype) for name, dtype in dtypes.items()}


def _array(values: Any, kind: Any = None) -> Any:
    library = arrow()
    if not isinstance(values, library.Array | library.ChunkedArray):
        return library.array(values, type=kind)
    if isinstance(values, library.ChunkedArray):
        values = values.combine_chunks()
    return values if kind is None or values.type == kind else values.cast(kind)
