"""Opening an HDF5 file's dataset of rows × features, named by its path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.data_source import DataSource
from dgmm.data.feature_names import feature_names_from, safe_text
from dgmm.data.sources.array_source import ArraySource, RowRanges
from dgmm.data.sources.array_values import (
    ArrayInFile,
    absent_note,
    array_values,
    check_exact,
)
from dgmm.data.sources.file_version import FileVersion
from dgmm.data.sources.hdf5.hdf5_file import Hdf5File
from dgmm.data.sources.row_source import SourceDescription
from dgmm.data.sources.stored_arrays import array_names, arrays_in_words
from dgmm.errors import DataError

KIND = "HDF5 dataset"


@dataclass(frozen=True, slots=True)
class DatasetColumn:
    """A dataset of one number per row."""

    array: ArrayInFile

    @property
    def name(self) -> str:
        """Its path."""
        return self.array.name

    def numbers(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[np.float64]]:
        """Yield rows [start, stop) as floats (b,)."""
        for values in self.array.open().batches(start, stop, n_rows):
            check_exact(values, f"{self.array.where}, from row {start:,} on")
            yield values.astype(np.float64)

    def arrow(self, start: int, stop: int, n_rows: int) -> Iterator[Any]:
        """Nothing: results carry no datasets along."""
        del start, stop, n_rows
        return iter(())


def open_hdf5(source: DataSource) -> ArraySource:
    """Open the dataset that `array` names; nothing but metadata is read.

    `weights` may name a dataset of one number per row.

    Raises
    ------
    DataError
        If no dataset is named, it is not there, or holds no rows × features of real numbers.
    DataNotFoundError
        If the file is absent or not readable.
    """
    file = Hdf5File(FileVersion.of(source.path))
    if source.array is None:
        found = arrays_in_words(list(array_names(file.open())))
        raise DataError(f"{source.path}: name one of its datasets in data.array. {found}")
    rows = array_values(ArrayInFile(file, source.array), absent_chunks=source.absent_chunks)
    array = rows.array.open()
    n_rows, n_features = array.shape
    names = feature_names_from(
        array.attributes.get("feature_names"),
        n_features,
        f"{rows.array.where}: attribute feature_names",
    )
    weights, note = _weights(file, source, n_rows) if source.weight_column else (None, None)
    warnings = (*rows.warnings, *([note] if note else []))
    return ArraySource(
        description=SourceDescription(
            KIND, names, rows.dtype, has_weights=weights is not None, warnings=warnings
        ),
        where=rows.array.where,
        ranges=RowRanges.of(array, n_features, rows.dtype.itemsize),
        values=rows,
        version=rows.array,
        weights=weights,
    )


def _weights(file: Hdf5File, source: DataSource, n_rows: int) -> tuple[DatasetColumn, str | None]:
    """The column, and a warning of chunks that it lacks."""
    name = str(source.weight_column)
    column = DatasetColumn(ArrayInFile(file, name))
    array = column.array.open()
    if array.shape != (n_rows,) or array.dtype.kind not in "biuf":
        raise DataError(
            f"{file.path}: weights {safe_text(name)} have shape {array.shape} and type "
            f"{array.dtype}; expected one number for each of {n_rows:,} rows"
        )
    note = absent_note(array, column.array.where, absent_chunks=source.absent_chunks)
    return column, note
