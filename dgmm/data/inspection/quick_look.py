"""The rows that a job would read: their number, names, and what a few of them hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.formats import open_format
from dgmm.data.inspection.suggestion import Suggestion
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.row_source import RowSource
from dgmm.data.stored_dataset import StoredDataset
from dgmm.reduction.blocks import BlockRange

#: Rows that are looked at in each of the places, and places from the beginning to the end.
_ROWS, _PLACES = 5_000, 9


@dataclass(frozen=True, slots=True)
class QuickLook:
    """What opening the rows and reading a few of them shows.

    Attributes
    ----------
    n_rows, n_features : int
    feature_names : tuple of str
    dtype : str
    notes : tuple of str
        What the source says of itself.
    n_looked, n_complete, n_empty : int
        Rows that were read, those without NaN, and those without any value.
    missing : mapping
        NaN of each feature that has any.
    """

    n_rows: int
    n_features: int
    feature_names: tuple[str, ...]
    dtype: str
    notes: tuple[str, ...]
    n_looked: int
    n_complete: int
    n_empty: int
    missing: dict[str, int]


def quick_look(suggestion: Suggestion, path: str) -> QuickLook:
    """Open the rows of a suggested job and read a few.

    Raises
    ------
    DataError, DataNotFoundError, UnavailableError
        As the format does.
    """
    opened = open_format(suggestion.format, suggestion.source(path))
    dataset = opened if isinstance(opened, StoredDataset) else SourceDataset.of(opened)
    rows = _of_source(opened) if isinstance(opened, RowSource) else _of_dataset(dataset)
    is_nan = [np.isnan(part) for part in rows if part.dtype.kind == "f"]
    counts = sum((part.sum(axis=0) for part in is_nan), np.zeros(dataset.n_features, np.int64))
    described = getattr(opened, "description", None)
    per_row = [part.sum(axis=1) for part in is_nan]
    n_missing = np.concatenate(per_row) if per_row else np.zeros(0, np.int64)
    return QuickLook(
        dataset.n_samples,
        dataset.n_features,
        dataset.feature_names,
        dataset.dtype.name,
        () if described is None else described.notes,
        len(n_missing),
        int((n_missing == 0).sum()),
        int((n_missing == dataset.n_features).sum()),
        {
            name: int(count)
            for name, count in zip(dataset.feature_names, counts, strict=True)
            if count
        },
    )


def _places(n: int) -> list[int]:
    return sorted({i * (n - 1) // (_PLACES - 1) for i in range(_PLACES)})


def _of_source(source: RowSource) -> Iterator[NDArray[Any]]:
    parts = [part for part in source.parts() if part.n_rows]
    for place in _places(len(parts)):
        n_left = _ROWS
        for rows in source.read(parts[place]):
            yield rows.values[:n_left]
            n_left -= len(rows.values)
            if n_left <= 0:
                break


def _of_dataset(dataset: StoredDataset) -> Iterator[NDArray[Any]]:
    for place in _places(dataset.grid.n_blocks):
        blocks = dataset.read_blocks(BlockRange(place, place + 1))
        yield from (block.values[:_ROWS] for block in islice(blocks, 1))
