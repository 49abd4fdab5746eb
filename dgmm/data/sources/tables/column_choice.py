"""Which columns are features, masks, weights and carried: from the schemas of all files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dgmm.data.data_source import DataSource
from dgmm.data.feature_names import feature_names_from, safe_text
from dgmm.data.sources.tables.column_checks import (
    MASK,
    Columns,
    NoNumbers,
    check_flat,
    check_known,
    check_number,
    check_present,
    check_roles,
    masked,
    no_features,
)
from dgmm.data.sources.tables.column_types import (
    common_type,
    feature_dtype,
    is_mask,
    is_number,
    width,
)
from dgmm.data.sources.tables.columns_of_model import columns_of_model, names_of
from dgmm.errors import DataError

#: What an index without a name is called: by pandas in Parquet, in CSV, and in CSV read as such.
_INDEX = re.compile(r"__index_level_[0-9]+__||Unnamed: [0-9]+")


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """A column of numbers (`length` 0) or vectors of a length; `mask` is true where missing."""

    name: str
    length: int = 0
    mask: str | None = None

    @property
    def feature_names(self) -> list[str]:
        """One name a feature: `x`, or `embedding_0`, `embedding_1`, … of a vector."""
        return names_of(self.name, self.length)


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """What is taken from a table.

    Attributes
    ----------
    features : tuple of FeatureColumn
    feature_names : tuple of str
    dtype : dtype
        Of their values: float32 where that holds them all.
    carried : mapping
        Arrow type by name, of the columns that results carry along: ids first.
    ids, described : tuple of str
        Those of them that identify a row, and whose values are counted in each component.
    weights : str or None
    notes : tuple of str
    """

    features: tuple[FeatureColumn, ...]
    feature_names: tuple[str, ...]
    dtype: np.dtype[Any]
    carried: Mapping[str, Any]
    ids: tuple[str, ...]
    described: tuple[str, ...]
    weights: str | None
    notes: tuple[str, ...]

    @property
    def n_numbers(self) -> int:
        """Numbers of a row that are read: features, masks, weights."""
        masks = sum(len(f.feature_names) for f in self.features if f.mask is not None)
        return len(self.feature_names) + masks + (self.weights is not None)

    @property
    def read(self) -> list[str]:
        """Columns of which `read` takes values; a file may lack a mask."""
        masks = [f.mask for f in self.features if f.mask is not None]
        weights = [] if self.weights is None else [self.weights]
        return list(dict.fromkeys([f.name for f in self.features] + masks + weights))


def choose_columns(
    source: DataSource,
    files: Sequence[tuple[str, Columns]],
    no_numbers: NoNumbers,
    partitions: Iterable[str] = (),
) -> ColumnChoice:
    """What a job takes from a table; every file's schema is checked.

    Parameters
    ----------
    source
        What the job names.
    files
        Name and columns of each file.
    no_numbers
        What a column of text holds, for messages.
    partitions
        Columns that folders give: no features unless they are named, as an index of pandas.

    Raises
    ------
    DataError
        Naming each column that is absent (and the file), twice there or no number.
    """
    every = _union(files)
    named = (*source.columns, *source.ids, *source.described, *_weights(source))
    check_known(named, every, files[0][0])
    aside = _aside(every, partitions)
    chosen = source.columns or columns_of_model(source.model_features, every, files[0][0])
    names = chosen or _numeric(source, every, no_numbers, aside)
    check_roles(names, source, every)
    features = tuple(_feature(name, files, no_numbers) for name in names)
    carried = tuple(dict.fromkeys([*source.ids, *source.described]))
    check_present([*names, *carried, *_weights(source)], files)
    for name in _weights(source):
        check_number(name, files, no_numbers)
    feature_names = [name for feature in features for name in feature.feature_names]
    types = {name: common_type(name, [(f, c[name]) for f, c in files]) for name in carried}
    check_flat(types)
    return ColumnChoice(
        features,
        feature_names_from(feature_names, len(feature_names), "columns of the table"),
        feature_dtype([c[name] for _, c in files for name in names]),
        types,
        source.ids,
        source.described,
        source.weight_column,
        tuple(_notes(source, features, {} if chosen else aside)),
    )


def _aside(every: Columns, partitions: Iterable[str]) -> dict[str, str]:
    """Columns that are features only where they are named, with what they are."""
    aside = dict.fromkeys(partitions, "given by the names of folders")
    index = [name for name in every if _INDEX.fullmatch(name)]
    return aside | dict.fromkeys(index, "has no name, as an index that pandas writes")


def _weights(source: DataSource) -> list[str]:
    return [] if source.weight_column is None else [source.weight_column]


def _union(files: Sequence[tuple[str, Columns]]) -> dict[str, Any]:
    """Columns of all files, as they first appear; a type that has values before null."""
    every: dict[str, Any] = {}
    for _, columns in files:
        for name, kind in columns.items():
            if name not in every or str(every[name]) == "null":
                every[name] = kind
    return every


def _numeric(
    source: DataSource, every: Columns, no_numbers: NoNumbers, aside: Mapping[str, str]
) -> tuple[str, ...]:
    """The columns that no key names, if all are numbers.

    Raises
    ------
    DataError
        Naming those that are not.
    """
    other = {*source.ids, *source.described, *_weights(source), *aside}
    left = [n for n in every if n not in other and masked(n, every) is None]
    faulty = [n for n in left if not width(every[n])]
    if faulty:
        raise no_features(faulty, every, no_numbers)
    return tuple(left)


def _feature(
    name: str, files: Sequence[tuple[str, Columns]], no_numbers: NoNumbers
) -> FeatureColumn:
    check_number(name, files, no_numbers, vectors=True)
    found = [(file, columns[name]) for file, columns in files if name in columns]
    first, kind = next((p for p in found if str(p[1]) != "null"), found[0])
    for file, other in found:
        if str(other) != "null" and _length(other) != _length(kind):
            raise DataError(
                f"column {safe_text(name)!r} is {kind} in {first} and {other} in {file}: vectors "
                "need one length in all files"
            )
    mask = name + MASK
    has_mask = any(mask in columns and is_mask(columns[mask]) for _, columns in files)
    return FeatureColumn(name, _length(kind), mask if has_mask else None)


def _length(kind: Any) -> int:
    """0 for a plain number, else the length of vectors."""
    return 0 if is_number(kind) else width(kind)


def _notes(
    source: DataSource,
    features: Sequence[FeatureColumn],
    aside: Mapping[str, str],
) -> Iterable[str]:
    for feature in features:
        if feature.mask is not None:
            yield (
                f"{feature.name} is missing where {feature.mask} is true; {feature.mask} is no "
                "feature"
            )
    used = {*source.ids, *source.described}
    for name, what in aside.items():
        if name not in used:
            shown = safe_text(name) or "the first column"
            yield f"{shown}: {what}, and no feature unless it is named in data.columns"
