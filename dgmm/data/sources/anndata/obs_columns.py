"""Columns of an AnnData table (obs): numbers, text, categories and nullable values.

How each is stored: https://anndata.readthedocs.io/en/latest/fileformat-prose.html
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.array_values import absent_note, check_exact
from dgmm.data.sources.stored_arrays import (
    Hierarchy,
    HierarchyFile,
    StoredArray,
    require_array,
)
from dgmm.data.sources.tables.arrow_columns import arrow_categories, arrow_column
from dgmm.errors import DataError
from dgmm.terminal_text import listed

OBS = "obs"
#: What results call the names of the rows, whatever the index is called.
OBS_NAMES = "obs_names"
Kind = Literal["numbers", "text", "categories", "nullable numbers", "nullable text"]
_NULLABLE: dict[Any, Kind] = {
    "nullable-integer": "nullable numbers",
    "nullable-boolean": "nullable numbers",
    "nullable-string-array": "nullable text",
}
#: The arrays of a column that have a value for each row.
_TAILS: Mapping[Kind, tuple[str, ...]] = {
    "numbers": ("",),
    "text": ("",),
    "categories": ("/codes",),
    "nullable numbers": ("/values", "/mask"),
    "nullable text": ("/values", "/mask"),
}
_OLD = "was written by AnnData before 0.8. Read it and write it again with a later one"


@dataclass(frozen=True, slots=True)
class ObsColumn:
    """A column of obs; picklable.

    Attributes
    ----------
    file : HierarchyFile
    path : str
        `obs/louvain`.
    name : str
        What results call it.
    kind : str
    """

    file: HierarchyFile
    path: str
    name: str
    kind: Kind

    @property
    def is_numeric(self) -> bool:
        """Whether it can be a feature or a weight."""
        return self.kind in {"numbers", "nullable numbers"}

    def numbers(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[np.float64]]:
        """Yield rows [start, stop) as floats (b,), NaN where missing.

        Raises
        ------
        DataError
            If the column holds an integer that float64 does not.
        """
        for values, is_missing in self._cells(start, stop, n_rows):
            check_exact(values, f"{self.file.path}: {safe_text(self.path)}, from row {start:,} on")
            numbers = values.astype(np.float64)
            if is_missing is not None:
                numbers[is_missing] = np.nan
            yield numbers

    def arrow(self, start: int, stop: int, n_rows: int) -> Iterator[Any]:
        """Yield rows [start, stop) as Arrow arrays, null where missing."""
        if self.kind == "categories":
            hierarchy = self.file.open()
            categories = _whole(hierarchy, f"{self.path}/categories")
            codes = require_array(hierarchy, f"{self.path}/codes")
            for part in codes.batches(start, stop, n_rows):
                yield arrow_categories(part, categories)
            return
        for values, is_missing in self._cells(start, stop, n_rows):
            yield arrow_column(values, is_missing)

    def _cells(
        self, start: int, stop: int, n_rows: int
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_] | None]]:
        hierarchy = self.file.open()
        if self.kind in {"numbers", "text"}:
            array = require_array(hierarchy, self.path)
            yield from ((values, None) for values in array.batches(start, stop, n_rows))
            return
        values = require_array(hierarchy, f"{self.path}/values").batches(start, stop, n_rows)
        masks = require_array(hierarchy, f"{self.path}/mask").batches(start, stop, n_rows)
        yield from zip(values, masks, strict=True)


@dataclass(frozen=True, slots=True)
class ObsValues:
    """Columns of obs side by side, as float64."""

    columns: tuple[ObsColumn, ...]

    def batches(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[Any]]:
        """Yield rows [start, stop) as (b, d), `n_rows` at a time."""
        columns = [column.numbers(start, stop, n_rows) for column in self.columns]
        for batch in zip(*columns, strict=True):
            yield np.column_stack(batch)


def obs_names(file: HierarchyFile, hierarchy: Hierarchy) -> ObsColumn:
    """The names of the rows.

    Raises
    ------
    DataError
        If obs is no table, or one of AnnData before 0.8.
    """
    index = _table(hierarchy).get("_index")
    if not isinstance(index, str):
        raise DataError(f"{hierarchy.where}: obs has no attribute _index; it {_OLD}")
    return _column(file, hierarchy, index, OBS_NAMES)


def obs_column(file: HierarchyFile, hierarchy: Hierarchy, name: str) -> ObsColumn:
    """The column of that name; `obs_names` are the names of the rows.

    Raises
    ------
    DataError
        If there is none, or it is stored in a way that is not read.
    """
    names = column_names(hierarchy)
    if name == OBS_NAMES and name not in names:
        return obs_names(file, hierarchy)
    if name not in names and name != _table(hierarchy).get("_index"):
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {safe_text(close[0])!r}?" if close else ""
        raise DataError(
            f"{hierarchy.where}: obs has no column {safe_text(name)!r}.{hint} Its columns: "
            f"{listed(map(safe_text, names), 20) or 'none'}"
        )
    return _column(file, hierarchy, name, name)


def feature_columns(
    file: HierarchyFile, hierarchy: Hierarchy, names: tuple[str, ...], what: str = "features"
) -> tuple[ObsColumn, ...]:
    """Columns of numbers.

    Raises
    ------
    DataError
        Naming each that holds none, with `describe` as the remedy.
    """
    found = tuple(obs_column(file, hierarchy, name) for name in names)
    others = [
        f"{safe_text(column.name)} ({column.kind})" for column in found if not column.is_numeric
    ]
    if others:
        raise DataError(
            f"{hierarchy.where}: these columns of obs hold no numbers and cannot be {what}: "
            f"{listed(others)}. Name them in `describe`: results carry them along, and the report "
            "counts them in each component. Text is never encoded as numbers"
        )
    return found


def check_columns(
    hierarchy: Hierarchy, columns: Iterable[ObsColumn], n_obs: int, *, absent_chunks: str
) -> tuple[str, ...]:
    """Look whether columns have a value for each row, and all of their chunks.

    AnnData leaves out chunks of nothing but zeros, such as the codes of a column of one category;
    a chunk that was lost reads the same. Only the mask of text may lack them: AnnData 0.13 writes
    names of rows with one, which is never stored since no name is missing, and makes categories of
    text with missing values.

    Returns
    -------
    tuple of str
        Warnings of chunks that are not stored, where the job reads fill values for them.

    Raises
    ------
    DataError
        Naming the column.
    """
    notes: list[str] = []
    for column in columns:
        arrays: list[tuple[str, tuple[int] | None]] = [
            (tail, (n_obs,)) for tail in _TAILS[column.kind]
        ]
        if column.kind == "categories":
            arrays.append(("/categories", None))
        for tail, shape in arrays:
            array = require_array(hierarchy, column.path + tail)
            where = f"{hierarchy.where}: {safe_text(column.path + tail)}"
            if shape is not None and array.shape != shape:
                raise DataError(
                    f"{where} has shape {array.shape}, and obs {n_obs:,} rows; the file is damaged"
                )
            if (column.kind, tail) == ("nullable text", "/mask"):
                continue
            if (note := absent_note(array, where, absent_chunks=absent_chunks)) is not None:
                notes.append(note)
    return tuple(notes)


def text_array(hierarchy: Hierarchy, path: str) -> StoredArray:
    """The array that holds the names of a table's rows: AnnData 0.13 has it in a group, by a mask.

    Raises
    ------
    DataError
        If there is none.
    """
    is_nullable = hierarchy.attributes(path).get("encoding-type") in _NULLABLE
    return require_array(hierarchy, f"{path}/values" if is_nullable else path)


def column_names(hierarchy: Hierarchy) -> list[str]:
    """Columns of obs in their order, the index left out."""
    order = _table(hierarchy).get("column-order")
    if not isinstance(order, list):
        raise DataError(f"{hierarchy.where}: obs has no attribute column-order; it {_OLD}")
    return [str(name) for name in order]


def _table(hierarchy: Hierarchy) -> Mapping[str, Any]:
    """Attributes of obs."""
    if hierarchy.array(OBS) is not None:
        raise DataError(f"{hierarchy.where}: obs is one array of records: it {_OLD}")
    if hierarchy.members("").get(OBS) is None:
        raise DataError(f"{hierarchy.where} has no obs; expected an AnnData file or store")
    return hierarchy.attributes(OBS)


def _column(file: HierarchyFile, hierarchy: Hierarchy, stored: str, name: str) -> ObsColumn:
    path = f"{OBS}/{stored}"
    where = f"{hierarchy.where}: {safe_text(path)}"
    array = hierarchy.array(path)
    if array is not None:
        if "categories" in array.attributes:
            raise DataError(f"{where} holds categories apart from it: the file {_OLD}")
        if len(array.shape) != 1 or not (array.is_text or array.dtype.kind in "biuf"):
            raise DataError(
                f"{where} has shape {array.shape} and type {array.dtype}; expected one number or "
                "text per row"
            )
        return ObsColumn(file, path, name, "text" if array.is_text else "numbers")
    encoding = hierarchy.attributes(path).get("encoding-type")
    if encoding == "categorical":
        return ObsColumn(file, path, name, "categories")
    if encoding in _NULLABLE:
        return ObsColumn(file, path, name, _NULLABLE[encoding])
    raise DataError(
        f"{where} is not there, or encoded as {safe_text(str(encoding))!r}, which is not read"
    )


def _whole(hierarchy: Hierarchy, path: str) -> NDArray[Any]:
    """All values of an array: the categories of a column, which are few."""
    array = require_array(hierarchy, path)
    parts = list(array.batches(0, array.shape[0], max(array.shape[0], 1)))
    return parts[0] if parts else np.empty(0, object)
