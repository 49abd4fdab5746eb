"""Rows of a NumPy array in memory, read as if they were stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.data.feature_names import feature_names_from
from dgmm.data.fill_value import FillValue
from dgmm.data.object_arrays import NoNumber, float_cells, unmasked
from dgmm.data.row_block import RowBlock, Rows
from dgmm.data.row_weights import row_weights
from dgmm.data.unsupported_inputs import no_array, refuse_unreadable
from dgmm.data.valid_range import ValidRange
from dgmm.data.validation import check_dtype, check_shape, native
from dgmm.errors import DataError, DataTypeError
from dgmm.reduction.blocks import BlockGrid, BlockRange

_SOURCE = "X"


@dataclass(frozen=True, slots=True, init=False, eq=False)
class ArrayDataset:
    """Rows (n, d) of an array in memory; any memory order, any byte order.

    Parameters
    ----------
    X : (n, d) array_like
        Booleans, integers, or floats of 16, 32 or 64 bits, which are not copied; or objects that
        are such numbers. None, pandas.NA and masked cells become NaN.
    feature_names : sequence of str, optional
        One unique name per column; x0, x1, … by default.
    fill_value : FillValue, optional
        Of the stored array that X was read from.
    valid_range : ValidRange, optional
        Outside of which values stand for missing ones.
    weights : (n,) array_like, optional
        Weight of each row, finite and not negative; 1 each by default.
    units : str or mapping, optional
        Unit of all features, or of each by name.

    Attributes
    ----------
    has_names : bool
        Whether features have names of their own; where not, they are called x0, x1, … by position.

    Raises
    ------
    DataError
        If X is not such an array, or the names do not fit.

    Examples
    --------
    >>> ArrayDataset([[1.0, 2.0], [3.0, 4.0]]).n_features
    2
    """

    X: Rows
    feature_names: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    fill_value: FillValue | None = None
    valid_range: ValidRange | None = None
    weights: NDArray[np.float64] | None = None
    has_names: bool = True

    def __init__(
        self,
        X: object,
        feature_names: Sequence[str] | None = None,
        fill_value: FillValue | None = None,
        valid_range: ValidRange | None = None,
        weights: ArrayLike | None = None,
        units: str | Mapping[str, str] | None = None,
    ) -> None:
        values = _as_array(X)
        check_dtype(values.dtype, _SOURCE)
        check_shape(values.shape, _SOURCE)
        names = feature_names_from(feature_names, values.shape[1], "feature_names")
        object.__setattr__(self, "X", values)
        object.__setattr__(self, "feature_names", names)
        object.__setattr__(self, "attributes", {} if units is None else {"units": units})
        object.__setattr__(self, "fill_value", fill_value)
        object.__setattr__(self, "valid_range", valid_range)
        object.__setattr__(self, "has_names", feature_names is not None)
        checked = None if weights is None else row_weights(weights, len(values))
        object.__setattr__(self, "weights", checked)

    @property
    def n_samples(self) -> int:
        """Rows."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns."""
        return int(self.X.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value, in native byte order."""
        return native(self.X.dtype)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Nothing: the rows lie in memory."""
        return ()

    @property
    def grid(self) -> BlockGrid:
        """How the rows are cut into blocks."""
        return BlockGrid(self.n_samples, self.n_features)

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks: their values are a view where order and byte order allow it."""
        for block in range(blocks.start, blocks.stop):
            start, stop = self.grid.rows(block)
            values = np.ascontiguousarray(self.X[start:stop], dtype=self.dtype)
            weights = None if self.weights is None else self.weights[start:stop]
            yield RowBlock(block, start, values, weights)

    def rows_in_memory(self, start: int, stop: int) -> Rows | None:
        """Rows [start, stop) where they need no copy and have no weights; else None."""
        X = self.X
        is_ready = self.weights is None and X.flags.c_contiguous and X.dtype.isnative
        return X[start:stop] if is_ready else None

    def locate(self, row: int) -> str:
        """Where a row lies."""
        return f"row {row}"

    def fingerprint(self) -> dict[str, Any]:
        """Shape, type and SHA-256 of the values, and of the weights where there are any."""
        digest = hashlib.sha256()
        for block in self.read_blocks(BlockRange(0, self.grid.n_blocks)):
            digest.update(block.values.data)
        found = {
            "shape": [self.n_samples, self.n_features],
            "dtype": self.dtype.name,
            "values_sha256": digest.hexdigest(),
        }
        if self.weights is not None:
            found["weights_sha256"] = hashlib.sha256(self.weights.data).hexdigest()
        return found

    def check_unchanged(self) -> None:
        """Nothing to check: the caller owns the array."""


def _as_array(X: object) -> Rows:
    """Anything as an array of NumPy; masked cells and absent objects as NaN."""
    refuse_unreadable(X)
    try:
        if isinstance(X, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in X):
            X = np.ma.array(X)
        values = np.asanyarray(X)
    except MemoryError:
        raise
    except Exception as error:  # of any library's __array__
        raise _ragged(X) or no_array(X, f"{type(error).__name__}: {error}") from error
    if isinstance(values, np.ma.MaskedArray):
        values = unmasked(values)
    if isinstance(X, list | tuple) and values.dtype.kind in "US":
        values = np.asarray(X, dtype=object)  # NumPy makes text of numbers beside text
    return _numbers(np.asarray(values), X) if values.dtype.kind == "O" else np.asarray(values)


def _numbers(cells: Rows, X: object) -> Rows:
    """The numbers that an array of Python objects holds, as float64."""
    if cells.ndim == 0:
        raise no_array(X, "NumPy sees one object in it, not rows of numbers")
    if cells.ndim > 2:
        check_shape(cells.shape, _SOURCE)
    found = float_cells(cells)
    if not isinstance(found, NoNumber):
        return found
    place = ", ".join(
        f"{name} {i}" for name, i in zip(("row", "column"), found.place, strict=False)
    )
    remedy = ". numpy.stack(X) makes an array of rows of one length" if cells.ndim == 1 else ""
    raise DataTypeError(
        f"{_SOURCE}: an array of Python objects, in which {place or 'a cell'} is {found.what}; "
        f"expected a number in every cell, or None where it is missing{remedy}"
    )


def _ragged(X: object) -> DataError | None:
    """The error for rows that differ in length; None where they do not."""
    if not isinstance(X, list | tuple) or not all(isinstance(row, Sized) for row in X):
        return None
    lengths = [len(row) for row in X]
    other = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if other is None:
        return None
    return DataError(
        f"{_SOURCE}: row {other} has {lengths[other]} values, row 0 has {lengths[0]}: it cannot be "
        "made an array of rows × features. Give all rows one length"
    )
