"""Tables with columns of several types (pandas, polars, Arrow) as one array of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import feature_names_from, safe_text
from dgmm.data.object_arrays import NoNumber, float_cells, unmasked
from dgmm.data.unsupported_inputs import no_array
from dgmm.data.validation import is_admitted
from dgmm.errors import DataError, DataTypeError
from dgmm.terminal_text import listed

#: Kinds of types, as NumPy and pandas call them, whose values are numbers.
_NUMBERS = frozenset("biuf")
_FLOAT = np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class _NotNumeric:
    """A column that holds other things than numbers, in words."""

    what: str


def is_table(X: Any) -> bool:
    """Whether X has columns with a type each."""
    return hasattr(X, "columns") and (hasattr(X, "dtypes") or hasattr(X, "schema"))


def numbers_of_table(X: Any) -> tuple[NDArray[Any], list[str] | None]:
    """The columns of a table as one array (n, d), and their names.

    Booleans and nullable columns (Int64, Float64, boolean; of Arrow and polars too) are numbers,
    NaN where they are missing; the array's type is what NumPy makes of those of the columns. Names
    are those of columns that are called by text; None where all are called otherwise.

    Raises
    ------
    DataTypeError
        Naming each column that holds no numbers, with its type; or where only some columns are
        called by text; or if the table does not give its columns.
    DataError
        If two columns have one name.
    """
    try:
        return _numbers_and_names(X)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # of whatever library the table is
        raise no_array(X, f"{type(error).__name__}: {error}") from error


def _numbers_and_names(X: Any) -> tuple[NDArray[Any], list[str] | None]:
    labels = _labels(X)
    names = _names(labels)
    types = list(X.dtypes) if hasattr(X, "iloc") else []
    if types and all(isinstance(dtype, np.dtype) and is_admitted(dtype) for dtype in types):
        return np.asarray(X, dtype=np.result_type(*types)), names
    columns = [_numbers(_column(X, i, label)) for i, label in enumerate(labels)]
    faulty = [
        f"{safe_text(str(label))} ({column.what})"
        for label, column in zip(labels, columns, strict=True)
        if isinstance(column, _NotNumeric)
    ]
    if faulty:
        raise DataTypeError(
            f"X: these columns hold no numbers: {listed(faulty)}. Leave them out, or put numbers "
            "in their place (of categories, such as by pandas.get_dummies, a column of 0 and 1 "
            "each)"
        )
    return _beside([column for column in columns if isinstance(column, np.ndarray)], len(X)), names


def _labels(X: Any) -> list[Any]:
    """What the columns are called; Arrow keeps the columns themselves under that attribute."""
    return list(X.columns) if hasattr(X, "dtypes") else list(X.schema.names)


def _names(labels: Sequence[Any]) -> list[str] | None:
    texts = [label for label in labels if isinstance(label, str)]
    if not texts:
        return None
    if len(texts) < len(labels):
        other = next(label for label in labels if not isinstance(label, str))
        raise DataTypeError(
            f"X: columns are called by text ({safe_text(repr(texts[0]))}) and by other things "
            f"({safe_text(repr(other))}, of type {type(other).__name__}); expected text for all or "
            "for none. X.columns = X.columns.astype(str) makes it text"
        )
    return list(feature_names_from(texts, len(texts), "X: names of columns"))


def _column(X: Any, i: int, label: Any) -> Any:
    """A column by its place (pandas, polars, Arrow); names need not be unique."""
    if hasattr(X, "iloc"):
        return X.iloc[:, i]
    if hasattr(X, "to_series"):
        return X.to_series(i)
    return X.column(i) if hasattr(X, "schema") else X[label]


def _numbers(column: Any) -> NDArray[Any] | _NotNumeric:
    """A column as an array of numbers (n,), NaN where it is missing."""
    dtype = column.dtype if hasattr(column, "dtype") else column.type
    if hasattr(dtype, "na_value") and dtype.kind not in _NUMBERS:
        return _NotNumeric(safe_text(str(dtype)))  # categories too: they are labels
    try:
        values = _values(column, dtype)
    except Exception as error:  # noqa: BLE001 - each library has its own for what it cannot convert
        return _NotNumeric(safe_text(f"{dtype}: {error}"))
    if values.dtype.kind == "O":
        cells = float_cells(values)
        if isinstance(cells, NoNumber):
            row = f"row {cells.place[0]} is" if cells.place else "has"
            return _NotNumeric(f"{safe_text(str(dtype))}: {row} {cells.what}")
        return cells
    if values.ndim != 1 or not is_admitted(values.dtype):
        return _NotNumeric(safe_text(str(dtype)))
    return values


def _values(column: Any, dtype: Any) -> NDArray[Any]:
    """A column as NumPy has it; nullable columns of pandas as floats where values are absent."""
    if not hasattr(dtype, "na_value"):
        values = np.asanyarray(column)
        return unmasked(values) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    plain = getattr(dtype, "numpy_dtype", _FLOAT)
    if plain.kind == "f" or column.isna().any():
        plain = plain if plain.kind == "f" else _FLOAT
        return np.asarray(column.to_numpy(dtype=plain, na_value=np.nan))
    return np.asarray(column.to_numpy(dtype=plain))


def _beside(columns: list[NDArray[Any]], n_rows: int) -> NDArray[Any]:
    """Columns side by side, in C order, of the type that holds them all."""
    dtype = np.result_type(*columns) if columns else np.float64
    out = np.empty((n_rows, len(columns)), dtype)
    for i, column in enumerate(columns):
        out[:, i] = column
    return out
