"""Columns of a batch as one array of numbers (b, d): NaN where null or masked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sources.tables.arrow import arrow
from dgmm.data.sources.tables.column_choice import FeatureColumn
from dgmm.errors import DataError

#: Integers up to here are float64 numbers; 2⁵³ + 1 is not.
LARGEST_INTEGER = 2**53

#: What a message calls a row of the batch, and the text of a cell where the file is text.
Place = Callable[[int], str]


def feature_values(
    batch: Any, features: Sequence[FeatureColumn], dtype: np.dtype[Any], place: Place
) -> NDArray[Any]:
    """The features of a batch as (b, d) of `dtype`, in C order.

    Raises
    ------
    DataError
        If a whole number is beyond 2⁵³, naming row, column and value.
    """
    d = sum(len(feature.feature_names) for feature in features)
    values = np.empty((batch.num_rows, d), dtype)
    at = 0
    for feature in features:
        stop = at + len(feature.feature_names)
        mask = None if feature.mask is None else _column(batch, feature.mask)
        values[:, at:stop] = _numbers(batch.column(feature.name), feature, mask, place)
        at = stop
    return values


def weight_values(batch: Any, name: str, place: Place) -> NDArray[np.float64]:
    """The weights of a batch's rows (b,), NaN where null."""
    column = _numbers(batch.column(name), FeatureColumn(name), None, place)
    return np.ascontiguousarray(column[:, 0], dtype=np.float64)


def _column(batch: Any, name: str) -> Any | None:
    return batch.column(name) if name in batch.schema.names else None


def _numbers(column: Any, feature: FeatureColumn, mask: Any | None, place: Place) -> NDArray[Any]:
    """A column as (b, 1), or (b, length) where it holds vectors."""
    n = max(feature.length, 1)
    cells = _cells(column, n) if feature.length else column
    numbers = _floats(cells, feature.name, lambda i: place(i // n)).reshape(-1, n)
    if mask is None and not feature.length:
        return numbers
    missing = np.zeros(numbers.shape, bool)
    if mask is not None:
        # A null in a mask does not say that the value is there.
        of_vectors = arrow("types").is_fixed_size_list(mask.type)
        flags = _cells(mask, n) if of_vectors else mask
        missing |= (
            flags.fill_null(True).to_numpy(zero_copy_only=False).reshape(-1, n if of_vectors else 1)
        )
    if feature.length and column.null_count:
        missing |= column.is_null().to_numpy(zero_copy_only=False)[:, None]
    return np.where(missing, np.nan, numbers) if missing.any() else numbers


def _cells(vectors: Any, n: int) -> Any:
    """The cells of fixed-size vectors one after the other, those of null vectors too."""
    return vectors.values.slice(vectors.offset * n, len(vectors) * n)


def _floats(column: Any, name: str, place: Place) -> NDArray[Any]:
    types, compute = arrow("types"), arrow("compute")
    if types.is_integer(column.type):
        _check_exact(column, name, place)
    if types.is_null(column.type):
        return np.full(len(column), np.nan)
    if types.is_boolean(column.type):
        column = compute.cast(column, "uint8")
    elif types.is_decimal(column.type):
        _check_exact_decimals(column, name, place)
        column = compute.cast(column, "float64")
    numbers: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return numbers


def _check_exact_decimals(column: Any, name: str, place: Place) -> None:
    """Of decimals those are refused that are whole numbers; fractions are rounded as ever."""
    numbers = arrow("compute").cast(column, "float64").to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(np.abs(numbers) >= LARGEST_INTEGER).tolist():
        value = column[row].as_py()
        if abs(value) > LARGEST_INTEGER and value == value.to_integral_value():
            raise inexact(place(row), name, str(value))


def _check_exact(column: Any, name: str, place: Place) -> None:
    if column.type.bit_width < 64:
        return
    compute = arrow("compute")
    ends = compute.min_max(column).as_py()
    if ends["min"] is None:
        return
    worst = next((v for v in (ends["max"], ends["min"]) if abs(v) > LARGEST_INTEGER), None)
    if worst is not None:
        row = compute.index(column, worst).as_py()
        raise inexact(place(row), name, str(worst))


def inexact(place: str, name: str, value: str) -> DataError:
    """Why an integer is refused that float64 would round."""
    return DataError(
        f"{place}: column {name!r} holds {value}, beyond 2^53 = {LARGEST_INTEGER:,}: as a float64 "
        "number it would be rounded, and other values would become equal to it. If it is an "
        "identifier, name it in data.id; if a quantity, store it as float64"
    )
