"""Numbers that are stored as Python objects, and masked numbers, as plain arrays of NumPy."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text

#: NumPy's scalars that are real numbers; its time spans are signed integers by inheritance.
_REAL_SCALARS, _TIME_SPAN = (np.bool_, np.integer, np.floating), np.timedelta64
_MASKED = type(np.ma.masked)
_LONGEST = 40
Masked: TypeAlias = "np.ma.MaskedArray[Any, Any]"


class NoNumber(NamedTuple):
    """A cell that is no real number: where it stands, and what it is in words."""

    place: tuple[int, ...]
    what: str


def float_cells(cells: NDArray[Any]) -> NDArray[np.float64] | NoNumber:
    """Objects as float64, or the first of them that is no real number.

    None, `pandas.NA` and masked cells are missing values: NaN. Text is no number, whatever it says.

    Parameters
    ----------
    cells : array of objects, of any shape

    Examples
    --------
    >>> float_cells(np.array([[1, None], [True, 2.5]], dtype=object)).tolist()
    [[1.0, nan], [1.0, 2.5]]
    >>> float_cells(np.array([[1, "a"]], dtype=object))
    NoNumber(place=(0, 1), what="'a' (str)")
    """
    kinds = {type(cell) for cell in cells.flat}
    missing = {kind for kind in kinds if _is_missing(kind)}
    if not all(_may_be_real(kind) for kind in kinds - missing):
        return _first_fault(cells, missing)
    if missing:
        values = [math.nan if type(cell) in missing else cell for cell in cells.flat]
        cells = np.array(values, dtype=object).reshape(cells.shape)
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        return _first_fault(cells, missing)


def unmasked(values: Masked) -> NDArray[Any]:
    """The values, NaN (None among objects) where they are masked; as they are where nothing is.

    Integers become float64; what is no number keeps its type, and is for others to refuse.
    """
    plain = np.array(values.data, copy=None)
    if not np.ma.is_masked(values) or plain.dtype.kind not in "biufO":
        return plain
    plain = plain.astype(np.float64 if plain.dtype.kind in "biu" else plain.dtype)
    plain[np.ma.getmaskarray(values)] = None if plain.dtype.kind == "O" else np.nan
    return plain


def _is_missing(kind: type) -> bool:
    is_na = kind.__name__ == "NAType" and kind.__module__.partition(".")[0] == "pandas"
    return is_na or kind in {type(None), _MASKED}


def _may_be_real(kind: type) -> bool:
    """Whether cells of a type can be a real number: arrays, text, dates and complex numbers not."""
    if issubclass(kind, np.generic):
        return issubclass(kind, _REAL_SCALARS) and not issubclass(kind, _TIME_SPAN)
    if issubclass(kind, np.ndarray):
        return False
    return hasattr(kind, "__float__") or hasattr(kind, "__index__")


def _first_fault(cells: NDArray[Any], missing: set[type]) -> NoNumber:
    for i, cell in enumerate(cells.flat):
        if type(cell) in missing:
            continue
        why = _why_no_float(cell)
        if why or not _may_be_real(type(cell)):
            place = tuple(int(axis) for axis in np.unravel_index(i, cells.shape))
            return NoNumber(place, _described(cell) + (f" ({why})" if why else ""))
    return NoNumber((), "numbers that NumPy does not convert")


def _why_no_float(cell: Any) -> str:
    """What Python says where it makes no float of a cell that is neither text nor NumPy's."""
    if isinstance(cell, str | bytes | np.generic | np.ndarray):
        return ""
    try:
        float(cell)
    except (TypeError, ValueError, OverflowError, ArithmeticError) as error:
        return safe_text(str(error))
    return ""


def _described(cell: object) -> str:
    """A cell in words: text and short numbers as they stand, anything else by its type."""
    kind = safe_text(type(cell).__name__)
    if isinstance(cell, str | bytes | complex | Decimal | np.generic):
        text = safe_text(repr(cell))
        return f"{text if len(text) <= _LONGEST else text[:_LONGEST] + '…'} ({kind})"
    return f"of type {kind}"
