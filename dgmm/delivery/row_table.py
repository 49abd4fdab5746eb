"""Results as a table: `rows/part-00000.parquet`, …, one file per part of the source.

Row i of a file is row i of its part: ids and described columns as they are in the source, then
`label`, `max_posterior`, `log_density` and what else a run has with one value a row. A row that was
dropped has label −1 (and anomaly −1), and null in place of scores.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgmm.data.sources.row_source import RowPart, RowSource
from dgmm.data.sources.tables.category_counts import CategoryCounts
from dgmm.data.sources.tables.written_parts import (
    carried_types,
    result_column,
    result_types,
    write_part,
)
from dgmm.delivery.request import DeliveryRequest
from dgmm.delivery.row_arrays import RowArrays
from dgmm.errors import DataError, StoppedError
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import TASKS_PER_THREAD, split_ranges
from dgmm.runtime import stop_flag
from dgmm.storage.atomic_files import output_errors
from dgmm.storage.folders import Folder
from dgmm.storage.retry import retry_budget

FOLDER = "rows"
#: What row arrays are called as columns, where that is another name.
_COLUMNS = {"labels": "label"}
#: Before a result's name where the source carries a column of that name.
_PREFIX = "dgmm_"
#: Values of a described column that run.json lists.
_LISTED = 50
#: Rows that are written at once where the source has nothing to carry.
_BATCH_ROWS = 65_536
_PART = re.compile(r"part-([0-9]{5,})\.parquet")


@dataclass(frozen=True, slots=True)
class _Written:
    """Files of some parts: rows, bytes, and counts of described columns."""

    n_rows: int
    n_bytes: int
    counts: Mapping[str, CategoryCounts]


def write_row_table(
    source: RowSource, request: DeliveryRequest, executor: Executor
) -> dict[str, Any]:
    """Write the table of a run's results; what stands in run.json of it is returned.

    Each file is written aside and renamed, so that a call after one that was killed gives the same
    files.

    Parameters
    ----------
    source
        The run's source, which its carried columns are read from once more.
    request
        The finished row arrays, and the run directory.
    executor
        Runs a task for some parts each.

    Raises
    ------
    DataError
        If the source has changed, or does not give the rows that its parts have.
    OutputFailedError
        If the disk refuses.
    """
    folder, parts = Path(request.folder) / FOLDER, source.parts()
    with output_errors(folder):
        folder.mkdir(exist_ok=True)
    task = _table_task(source, request, parts)
    ranges = split_ranges(len(parts), executor.n_threads * TASKS_PER_THREAD)
    done = [written for _, written in executor.run(task, ranges)]
    source.check_unchanged()  # other ids in as many rows would be joined with wrong results
    _remove_others(folder, len(parts))
    none = CategoryCounts.none(request.n_components)
    counts = dict.fromkeys(task.described, none)
    for written in done:
        counts = {name: counts[name].merge(written.counts[name]) for name in task.described}
    return {
        "path": FOLDER,
        "files": len(parts),
        "rows": sum(written.n_rows for written in done),
        "bytes": sum(written.n_bytes for written in done),
        "columns": [*task.carried, *task.columns.values()],
        "described": {name: found.record(_LISTED) for name, found in counts.items()},
    }


def part_file(index: int) -> str:
    """Name of a part's file."""
    return f"part-{index:05d}.parquet"


@dataclass(frozen=True, slots=True)
class _TableTask:
    """Writes the files of consecutive parts; picklable.

    `carried` has Arrow types by column; `columns` the name that each row array has in the table.
    """

    source: RowSource
    request: DeliveryRequest
    parts: tuple[RowPart, ...]
    starts: tuple[int, ...]
    carried: Mapping[str, Any]
    columns: Mapping[str, str]
    described: tuple[str, ...]

    def __call__(self, blocks: BlockRange) -> _Written:
        """Write parts [start, stop)."""
        arrays = RowArrays(self.request.outputs, list(self.columns))
        results = {self.columns[n]: t for n, t in result_types(arrays.dtypes).items()}
        types = {**self.carried, **results}
        none = CategoryCounts.none(self.request.n_components)
        counts = dict.fromkeys(self.described, none)
        n_rows = n_bytes = 0
        for part in self.parts[blocks.start : blocks.stop]:
            path = Path(self.request.folder) / FOLDER / part_file(part.index)
            with retry_budget(self.request.retry_s):
                n_rows += write_part(path, types, self._batches(part, arrays, counts))
            n_bytes += path.stat().st_size
        return _Written(n_rows, n_bytes, counts)

    def _batches(
        self, part: RowPart, arrays: RowArrays, counts: dict[str, CategoryCounts]
    ) -> Iterator[dict[str, Any]]:
        """Columns of a part's rows, no more and no fewer; what is described is counted."""
        first = start = self.starts[part.index]
        last = start + part.n_rows
        for carried, n_rows in self._carried(part):
            if stop_flag.requested.is_set():
                raise StoppedError("stopped in the middle of a task")
            stop = start + n_rows
            if stop > last:
                raise _other_rows(part, "more")
            found = arrays.read(start, stop)
            for name in self.described if "labels" in found else ():
                counts[name] = counts[name].with_rows(carried[name], found["labels"])
            results = {self.columns[n]: result_column(found[n]) for n in found}
            yield {**carried, **results}
            start = stop
        if start < last:
            raise _other_rows(part, f"{start - first:,}")

    def _carried(self, part: RowPart) -> Iterator[tuple[Mapping[str, Any], int]]:
        if self.carried:
            for columns in self.source.read_carried(part):
                yield columns, len(next(iter(columns.values())))
            return
        for start in range(0, part.n_rows, _BATCH_ROWS):
            yield {}, min(_BATCH_ROWS, part.n_rows - start)


def _table_task(
    source: RowSource, request: DeliveryRequest, parts: tuple[RowPart, ...]
) -> _TableTask:
    starts = tuple(itertools.accumulate((part.n_rows for part in parts), initial=0))
    arrays = RowArrays(request.outputs, request.names)
    names, described = source.description.carried, source.description.described
    columns = {n: _COLUMNS.get(n, n) for n in arrays.dtypes}
    columns = {n: _PREFIX + c if c in names else c for n, c in columns.items()}
    types = _types(source, parts) if names else {}
    return _TableTask(source, request, parts, starts, types, columns, described)


def _other_rows(part: RowPart, found: str) -> DataError:
    return DataError(
        f"{part.name} gave {found} rows of the columns that results carry, where {part.n_rows:,} "
        "were read before. Run again when nothing writes to it"
    )


def _types(source: RowSource, parts: tuple[RowPart, ...]) -> dict[str, Any]:
    """Types of the carried columns, from the first rows there are: all files have them."""
    for part in parts:
        if part.n_rows:
            return carried_types(next(iter(source.read_carried(part))))
    return {}


def _remove_others(folder: Path, n_parts: int) -> None:
    """Remove parts of another table, and files that a killed process did not finish."""
    with output_errors(folder), Folder(folder) as held:
        for name in held.names():
            part = _PART.fullmatch(name)
            is_left = name.startswith(".part-") and name.endswith(".tmp")
            if is_left or (part is not None and int(part[1]) >= n_parts):
                held.remove(name)
