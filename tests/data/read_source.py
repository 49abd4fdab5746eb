"""What a source yields, all parts together."""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.data.data_source import DataSource
from dgmm.data.formats import open_format
from dgmm.data.sources.row_source import RowSource


def opened(path: object, format_name: str = "auto", **wanted: Any) -> RowSource:
    """A source as a job opens it."""
    source = open_format(format_name, DataSource(str(path), **wanted))
    assert isinstance(source, RowSource)
    return source


def rows_of(source: RowSource) -> np.ndarray:
    """Values of all rows, in order; each part has as many as it said."""
    found = []
    for part in source.parts():
        rows = [rows.values for rows in source.read(part)]
        assert sum(map(len, rows)) == part.n_rows
        found += rows
    return np.concatenate(found)


def weights_of(source: RowSource) -> np.ndarray:
    """Weights of all rows, in order."""
    rows = [rows for part in source.parts() for rows in source.read(part)]
    return np.concatenate([r.weights for r in rows if r.weights is not None])


def carried_of(source: RowSource) -> dict[str, list[Any]]:
    """Carried columns of all rows, in order."""
    found: dict[str, list[Any]] = {name: [] for name in source.description.carried}
    for part in source.parts():
        for columns in source.read_carried(part):
            for name, values in columns.items():
                found[name] += values.to_pylist()
    return found
