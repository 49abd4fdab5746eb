"""Rows × features of one stored array as floats: what it may hold, and values in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sources.stored_arrays import HierarchyFile, StoredArray, require_array
from dgmm.data.valid_range import ValidRange, valid_range_of
from dgmm.data.validation import check_dtype, check_shape
from dgmm.data.zarr.conventions import refuse_encoded
from dgmm.errors import DataError

#: Integers up to this are exact as float64.
LARGEST_EXACT = 2**53


class ArrayFile(Protocol):
    """One array: how it is opened, and what identifies it; picklable, for workers."""

    @property
    def where(self) -> str:
        """File and array, for messages."""

    def open(self) -> StoredArray:
        """The array, opened once in each process."""

    def fingerprint(self) -> dict[str, Any]:
        """Sizes and times, as they were when it was described."""

    def check_unchanged(self) -> None:
        """Raise a DataError if it has changed since."""


@dataclass(frozen=True, slots=True)
class ArrayInFile:
    """An array of a file that holds several, by its path."""

    file: HierarchyFile
    name: str

    @property
    def where(self) -> str:
        """File and array."""
        return f"{self.file.path}: {self.name}"

    def open(self) -> StoredArray:
        """The array.

        Raises
        ------
        DataError
            If there is none of that name.
        """
        return require_array(self.file.open(), self.name)

    def fingerprint(self) -> dict[str, Any]:
        """The file's, and the array's name in it."""
        return self.file.fingerprint() | {"array": self.name}

    def check_unchanged(self) -> None:
        """Raise a DataError if the file has changed since it was described."""
        self.file.check_unchanged()


@dataclass(frozen=True, slots=True)
class ArrayValues:
    """The rows of an array as float32 or float64; made by `array_values`."""

    array: ArrayFile
    dtype: np.dtype[Any]
    valid_range: ValidRange | None = None
    warnings: tuple[str, ...] = ()

    def batches(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[Any]]:
        """Yield rows [start, stop) as (b, d), `n_rows` at a time.

        Raises
        ------
        DataError
            If the file is damaged, an integer is not exact as float64, or a value lies outside the
            array's valid range.
        """
        first = start
        for values in self.array.open().batches(start, stop, n_rows):
            place = f"{self.array.where}, rows {first:,} to {first + len(values) - 1:,}"
            check_exact(values, place)
            if self.valid_range is not None and (n := self.valid_range.rows_outside(values)):
                raise DataError(self.valid_range.refusal(f"{n:,} of {place}"))
            yield np.ascontiguousarray(values, self.dtype)
            first += len(values)


def array_values(array: ArrayFile, *, absent_chunks: str = "error") -> ArrayValues:
    """The rows of an array, which is opened once to see that they can be read.

    Raises
    ------
    DataError
        If it holds no rows × features of real numbers, lacks chunks, or is encoded (scale_factor,
        _FillValue, dates).
    """
    opened = array.open()
    dtype = np.dtype(object) if opened.is_text else opened.dtype
    check_dtype(dtype, array.where)
    check_shape(opened.shape, array.where)
    refuse_encoded(array.where, opened.attributes, dtype.kind)
    note = absent_note(opened, array.where, absent_chunks=absent_chunks)
    bounds = valid_range_of(array.where, opened.attributes, dtype)
    warnings = () if note is None else (note,)
    return ArrayValues(array, float_type(dtype), bounds, warnings)


def absent_note(array: StoredArray, where: str, *, absent_chunks: str) -> str | None:
    """A warning of chunks that are not stored, where the job reads fill values for them.

    Zarr stores no chunk of nothing but the fill value unless its configuration has
    `array.write_empty_chunks`, which is no part of the metadata; AnnData never sets it, and HDF5
    allots no chunk that nothing was written to. So nothing stored tells one that was left out from
    one that was lost.

    Raises
    ------
    DataError
        With their number, where the job does not.
    """
    n_absent = array.n_absent()
    if not n_absent:
        return None
    if absent_chunks == "fill":
        return f"{where}: {n_absent:,} of its chunks are not stored and are read as fill values"
    raise DataError(
        f"{where}: {n_absent:,} of its chunks are not stored and would be read as fill values. "
        "Zarr and AnnData write no chunk that holds nothing else (such as 0, False, or the first "
        "category), and one that was lost looks the same. If none was lost, set data.absent_chunks "
        "to fill; otherwise write the array again"
    )


def float_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 for floats of up to 32 bits; float64 for every other number."""
    return np.dtype(np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64)


def check_exact(values: NDArray[Any], place: str) -> None:
    """Refuse integers that float64 does not hold.

    Raises
    ------
    DataError
        With the first of them.
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not values.size:
        return
    beyond = (values > LARGEST_EXACT) | (values < -min(LARGEST_EXACT, np.iinfo(values.dtype).max))
    if values.dtype.kind == "u":
        beyond = values > LARGEST_EXACT
    if beyond.any():
        raise DataError(
            f"{place}: {values[beyond][0]} is an integer beyond 2^53, which float64 does not hold "
            "exactly; expected measured numbers. Leave out columns of identifiers, or scale them"
        )
