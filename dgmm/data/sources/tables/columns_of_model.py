"""Columns of a table that are the features of a model, where a job that predicts names none."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from dgmm.data.feature_names import are_positions, safe_text
from dgmm.data.sources.tables.column_checks import Columns
from dgmm.data.sources.tables.column_types import is_number, width
from dgmm.errors import DataError
from dgmm.terminal_text import listed


def names_of(column: str, length: int) -> list[str]:
    """Names of a column's features: its own, or `embedding_0`, `embedding_1`, … of vectors."""
    return [column] if not length else [f"{column}_{i}" for i in range(length)]


def columns_of_model(features: Sequence[str], every: Columns, file: str) -> tuple[str, ...]:
    """The columns that the features of a model come from.

    In the table's order; in the model's where the table's would be x0, x1, ….

    Parameters
    ----------
    features
        Of the model; none for a fit.
    every
        Types of the table's columns.
    file
        Where they stand, for messages.

    Returns
    -------
    tuple of str
        Empty without a model, and where its features have no names of their own (x0, x1, …) and
        no column is called by one of these: those are taken by position.

    Raises
    ------
    DataError
        Naming the features that no column is, each with a column of a similar name.
    """
    if not features:
        return ()
    places = _places(every)
    absent = [name for name in features if name not in places]
    if not absent:
        found = {places[name] for name in features}
        chosen = tuple(name for name in every if name in found)
        # Columns called x0, x1, … in this order would look like data without names.
        in_order = tuple(dict.fromkeys(places[name] for name in features))
        return in_order if are_positions(chosen) else chosen
    if are_positions(features) and len(absent) == len(features):
        return ()
    shown = listed([_with_hint(name, list(places)) for name in absent], 10)
    raise DataError(
        f"{file} has no column for the model's feature{'s' * (len(absent) > 1)} {shown}. It has "
        f"{listed(map(safe_text, every), 20)}. Features are found by the names that the fit had: "
        "rename the columns of the table, or name another model"
    )


def _places(every: Columns) -> dict[str, str]:
    """Column by the name of each feature that it could give; plain columns before vectors."""
    plain = {name: name for name in every if is_number(every[name]) or not width(every[name])}
    vectors = {
        feature: name
        for name in every
        if name not in plain
        for feature in names_of(name, width(every[name]))
    }
    return {safe_text(feature): name for feature, name in (vectors | plain).items()}


def _with_hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return repr(name) + (f" (is it {close[0]!r}?)" if close else "")
