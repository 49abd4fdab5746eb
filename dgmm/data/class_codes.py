"""Classes and groups of rows as users have them, integers or text, and the codes they become."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.row_labels import UNKNOWN
from dgmm.errors import DataError

#: One value a row, some rows at a time, in order; every call reads them again.
ReadLabels = Callable[[], Iterable[Any]]
Name = int | str


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The distinct values of a column, in order: their places are codes.

    Attributes
    ----------
    names : tuple of int or str
        Ascending; all of one kind.
    """

    names: tuple[Name, ...]

    @classmethod
    def found(cls, read: ReadLabels, what: str, most: int, unknown: Collection[str] = ()) -> Codes:
        """Read all values once.

        Parameters
        ----------
        read
            Gives them.
        what
            What they are, for messages: `data.classes class`.
        most
            More distinct values are an error.
        unknown
            Values, as text, that stand for an unknown one.

        Raises
        ------
        DataError
            If values are neither integers nor text, both, or too many.
        """
        names: set[Name] = set()
        start = 0
        for values in read():
            names.update(_distinct(values, what, start))
            start += len(values)
            if len(names) > most:
                raise DataError(
                    f"{what} has more than {most:,} different values; expected a column of "
                    f"labels, such as {_shown(names)}. Name another column"
                )
        if len(kinds := {type(name) for name in names}) > 1:
            examples = ", ".join(_shown([n for n in names if type(n) is kind]) for kind in kinds)
            raise DataError(f"{what} has integers and text ({examples}); write all of one kind")
        return cls(tuple(sorted(name for name in names if str(name) not in unknown)))

    def others(
        self, read: ReadLabels, what: str, most: int, unknown: Collection[str] = ()
    ) -> tuple[Name, ...]:
        """Values, known ones, that are none of these, in order; of more than `most`, that many."""
        found: set[Name] = set()
        start = 0
        for values in read():
            found |= _distinct(values, what, start) - {*self.names}
            start += len(values)
            if len(found) > most:
                break
        known = (name for name in found if str(name) not in unknown)
        return tuple(sorted(known, key=lambda name: (isinstance(name, str), name))[:most])

    def of(self, values: Any, what: str) -> NDArray[np.int64]:
        """The codes of some rows' values (b,); −1 where a value is missing or not among these."""
        plain = _plain(values, what)
        if plain.dtype.kind == "O":
            places: dict[Name | None, int] = {n: code for code, n in enumerate(self.names)}
            return np.array([places.get(_name(v, what), UNKNOWN) for v in plain], np.int64)
        if not self.names or isinstance(self.names[0], str) != (plain.dtype.kind == "U"):
            return np.full(len(plain), UNKNOWN, np.int64)
        names = np.array(self.names)
        at = np.minimum(np.searchsorted(names, plain), len(names) - 1)
        return np.where(names[at] == plain, at, UNKNOWN).astype(np.int64)


def coded(read: ReadLabels, codes: Codes, what: str) -> Iterator[NDArray[np.int64]]:
    """Yield codes in the order of the rows."""
    for values in read():
        yield codes.of(values, what)


def _distinct(values: Any, what: str, start: int) -> set[Name]:
    """Of rows from `start` on."""
    plain = _plain(values, what)
    if plain.dtype.kind == "O":
        own = (_name(v, what, row) for row, v in enumerate(plain, start))
        return {name for name in own if name is not None}
    return {v for v in np.unique(plain).tolist() if v != ""}


def _plain(values: Any, what: str) -> NDArray[Any]:
    """Integers as int64, text as it is, all else as objects (b,)."""
    found = np.asarray(values.to_pylist() if hasattr(values, "to_pylist") else values)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise DataError(f"{what} has shape {found.shape}; expected one value per row")
    if found.dtype.kind == "i" or (found.dtype.kind == "u" and found.dtype.itemsize < 8):
        return found.astype(np.int64)
    return found if found.dtype.kind == "U" else found.astype(object)


def _name(value: Any, what: str, row: int | None = None) -> Name | None:
    """A class or group as it is called, in a row; None where it is missing."""
    if value is None or value != value or value == "":  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace") or None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | float | np.number) and float(value).is_integer():
        return int(value)
    where = "a row" if row is None else f"row {row}"
    raise DataError(
        f"{what} is {safe_text(str(value))} in {where}; expected whole numbers or text. Name a "
        "column of labels, or write them as text"
    )


def _shown(names: Collection[Name]) -> str:
    return ", ".join(safe_text(repr(name)) for name in sorted(names, key=str)[:3])
