"""Why a table is refused: columns that are absent, twice in use, or hold no numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dgmm.data.data_source import DataSource
from dgmm.data.feature_names import safe_text
from dgmm.data.sources.tables.column_types import (
    decoded,
    is_mask,
    is_nested,
    is_number,
    list_remedy,
    width,
)
from dgmm.errors import DataError
from dgmm.terminal_text import listed

#: Types by column of one file; those of partitions included.
Columns = Mapping[str, Any]
#: By column of a file of text, what in it is no number; empty for types that are declared.
NoNumbers = Mapping[str, str]
MASK = ".mask"


def check_known(named: Iterable[str], every: Columns, file: str) -> None:
    """Refuse a column that no file has, with the one that it may be."""
    for name in named:
        if name not in every:
            close = difflib.get_close_matches(name, list(every), 1)
            hint = f"; did you mean {safe_text(close[0])!r}?" if close else ""
            found = listed([safe_text(n) for n in every], 20)
            raise DataError(f"{file} has no column {safe_text(name)!r}{hint}. It has {found}")


def check_present(names: Iterable[str], files: Sequence[tuple[str, Columns]]) -> None:
    """Refuse a file that lacks a column which others have."""
    for name in names:
        for file, columns in files:
            if name not in columns:
                having = next(other for other, c in files if name in c)
                raise DataError(
                    f"{file} has no column {safe_text(name)!r}, which {having} has: its rows would "
                    "be read as missing values. Write the file with that column, move it away, or "
                    "name in data.columns those that all files have"
                )


def check_roles(names: Sequence[str], source: DataSource, every: Columns) -> None:
    """Refuse features that are weights or masks, or none at all."""
    if not names:
        raise DataError(
            f"no column is left as a feature: the table has {listed(map(safe_text, every), 20)}. "
            "Name those to fit in data.columns"
        )
    for name in names:
        if name == source.weight_column:
            raise DataError(f"column {name!r} holds the weights of rows; it can be no feature too")
        if masked(name, every) is not None:
            raise DataError(
                f"column {name!r} is the mask of {masked(name, every)!r} (true where that is "
                "missing) and no feature: take it out of data.columns"
            )


def masked(name: str, every: Columns) -> str | None:
    """The column that a column is the mask of, as astropy writes masked tables."""
    masked = name.removesuffix(MASK)
    return masked if masked != name and masked in every and is_mask(every[name]) else None


def check_flat(carried: Mapping[str, Any]) -> None:
    """Refuse lists and structures to be carried along."""
    for name, kind in carried.items():
        if is_nested(kind):
            raise DataError(
                f"column {safe_text(name)!r} holds {kind}, which neither identifies nor describes "
                "a row: take it out of data.id and data.describe"
            )


def no_features(faulty: Sequence[str], every: Columns, no_numbers: NoNumbers) -> DataError:
    """Why columns cannot be features."""
    shown = listed([_shown(name, every[name], no_numbers) for name in faulty], 30)
    remedy = next(filter(None, (list_remedy(every[name]) for name in faulty)), "")
    return DataError(
        f"these columns hold no numbers: {shown}. Text, categories and times are never turned into "
        "numbers: name them in data.describe (counted in each component) or in data.id (carried "
        f"along), or name the features alone in data.columns{remedy}"
    )


def _shown(name: str, kind: Any, no_numbers: NoNumbers) -> str:
    found = f": {no_numbers[name]}" if name in no_numbers else ""
    return f"{safe_text(name)} ({safe_text(str(kind))}{found})"


def check_number(
    name: str,
    files: Sequence[tuple[str, Columns]],
    no_numbers: NoNumbers,
    vectors: bool = False,
) -> None:
    """Refuse a column without numbers, or vectors of them, in any file."""
    for file, columns in files:
        kind = columns.get(name)
        if kind is None or is_number(kind) or (vectors and width(kind)):
            continue
        shown = _shown(name, decoded(kind), no_numbers)
        raise DataError(
            f"{file}: column {shown} holds no numbers. Text, categories and times are never turned "
            "into numbers: name the column in data.describe to count its values in each component"
            + (
                ", or, where some text stands for a missing value, name that text in "
                "data.csv.null_values"
                if name in no_numbers
                else ""
            )
            + list_remedy(decoded(kind))
        )
