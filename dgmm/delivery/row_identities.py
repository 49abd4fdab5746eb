"""What a source calls single rows: columns that results carry along, or coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sources.labelled.labelled_source import LabelledSource
from dgmm.data.sources.labelled.row_coordinates import row_coordinates
from dgmm.data.sources.row_source import RowPart, RowSource
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import TASKS_PER_THREAD, split_ranges


def row_identities(
    source: RowSource, rows: NDArray[np.int64], executor: Executor
) -> dict[str, list[Any]]:
    """Carried columns, or coordinates of labelled arrays, of rows (m,), by name, in their order.

    Only parts that hold such a row are read, each up to the last of these.

    Parameters
    ----------
    source
        Where the rows come from.
    rows
        Their numbers, each once.
    executor
        Where parts are read.

    Raises
    ------
    DataError
        If the source has changed and lacks a row.
    """
    if isinstance(source, LabelledSource):
        return row_coordinates(source, rows)
    names = source.description.carried
    if not names or not len(rows):
        return {name: [] for name in names}
    parts = source.parts()
    starts = np.array([0, *itertools.accumulate(part.n_rows for part in parts)])
    of_row = np.searchsorted(starts, rows, side="right") - 1
    wanted = tuple(
        (parts[i], tuple(sorted((rows[of_row == i] - starts[i]).tolist())))
        for i in np.unique(of_row)
    )
    task = _Carried(source, wanted)
    ranges = split_ranges(len(wanted), executor.n_threads * TASKS_PER_THREAD)
    found = {run.start: values for run, values in executor.run(task, ranges)}
    ordered = {n: [v for _, own in sorted(found.items()) for v in own[n]] for n in names}
    places = np.argsort(np.argsort(rows))
    return {name: [values[i] for i in places] for name, values in ordered.items()}


@dataclass(frozen=True, slots=True)
class _Carried:
    """Carried columns of some rows of each part; picklable."""

    source: RowSource
    wanted: tuple[tuple[RowPart, tuple[int, ...]], ...]

    def __call__(self, run: BlockRange) -> dict[str, list[Any]]:
        """Values by name, part by part, of rows in their order."""
        names = self.source.description.carried
        found: dict[str, list[Any]] = {name: [] for name in names}
        for part, rows in self.wanted[run.start : run.stop]:
            for name, values in self._of_part(part, rows).items():
                found[name] += values
        return found

    def _of_part(self, part: RowPart, rows: tuple[int, ...]) -> Mapping[str, list[Any]]:
        names = self.source.description.carried
        found: dict[str, list[Any]] = {name: [] for name in names}
        start, due = 0, list(rows)
        for columns in self.source.read_carried(part):
            n = len(columns[names[0]])
            here = list(itertools.takewhile(lambda row, stop=start + n: row < stop, due))  # type: ignore[misc] # bound now
            for name in names:
                own = columns[name]
                found[name] += [_plain(own[row - start]) for row in here]
            start, due = start + n, due[len(here) :]
            if not due:
                return found
        raise DataError(
            f"{part.name} gave {start:,} rows of the columns that results carry, where "
            f"{part.n_rows:,} were read before. Run again when nothing writes to it"
        )


def _plain(value: Any) -> Any:
    """An Arrow scalar as Python has it."""
    return value.as_py() if hasattr(value, "as_py") else value
