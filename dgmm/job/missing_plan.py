"""What a plan tells of missing values: counted while rows were prepared, by a run, or in a look."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from dgmm.config import Job
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.summary.missing_counts import MissingCounts
from dgmm.data.summary.missing_patterns import MOST_PATTERNS
from dgmm.errors import DgmmError
from dgmm.fitting.missing_cost import MOST_COST, MissingCost, describe_factor, is_high
from dgmm.ingest.prepare import counted_missing, is_prepared, opened
from dgmm.job.accepted_cost import cost_of
from dgmm.job.earlier_identities import is_of_same_data
from dgmm.job.prepare_stage import prepared_target
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.run_record import read
from dgmm.storage.atomic_files import read_json
from dgmm.storage.folders import Folder
from dgmm.storage.retry import retry_budget
from dgmm.terminal_text import listed

#: Blocks that a look reads at most, from all over the rows: of 2 MiB each.
_MOST_BLOCKS = 64
#: Patterns that a plan prints, and features of one.
_SHOWN, _SHOWN_FEATURES = 5, 6


def missing_values(job: Job, dataset: StoredDataset, *, look: bool = False) -> str:
    """What is known of missing values; empty where they are not marginalised over.

    Parameters
    ----------
    job, dataset
        The job, and its rows as they were opened.
    look
        Read some blocks of rows that are read in place, whatever counted them before.
    """
    if job.data.missing != "marginalise":
        return ""
    if look and not isinstance(dataset, SourceDataset):
        return _looked(job, dataset)
    if (counts := _counted(job, dataset)) is not None:
        return _told(job, dataset, counts, dataset.grid, "counted when the rows were written")
    found = None if job.command == "predict" else _recorded(job, dataset)
    if found is not None:
        n_patterns, cost = found.get("patterns"), float(found["cost"])
        several = f"more than {MOST_PATTERNS:,}" if n_patterns is None else f"{n_patterns:,}"
        how = f"counted by the run in {job.output.path}"
        takes = _takes(cost, float(found.get("seconds", math.inf)))
        return f"marginalised over: {several} patterns ({how}), {takes}"
    return f"marginalised over; {_not_counted(dataset)}" + _may_ask(job)


def _counted(job: Job, dataset: StoredDataset) -> MissingCounts | None:
    """What was counted when the rows were written: in the run directory, or where they lie."""
    if not isinstance(dataset, SourceDataset):
        return counted_missing(dataset)
    if not Path(job.output.path).is_dir():
        return None
    try:
        with Folder(job.output.path, follow=True) as folder:
            target = prepared_target(dataset, folder)
            rows = opened(target) if is_prepared(dataset, target) else None
    except (DgmmError, OSError):
        return None  # whether the directory can be used is for the run to say
    return None if rows is None else counted_missing(rows)


def _recorded(job: Job, dataset: StoredDataset) -> dict[str, Any] | None:
    """What a run of the same mixture on the same data in the run directory has counted."""
    path = Path(job.output.path) / "run.json"
    try:
        record = read(read_json(path)) if path.is_file() else {}
    except DgmmError:
        return None  # whether the directory can be used is for the run to say
    earlier, own = record.get("job", {}), job.resolved()
    sizes = ("n_components", "covariance_type")
    is_same = all(earlier.get(key) == own[key] for key in ("data", "preprocess")) and all(
        earlier.get("model", {}).get(key) == own["model"].get(key) for key in sizes
    )
    seen = dict((record.get("data") or {}).get("fingerprint") or {})
    seen.pop("start", None)  # the model that it began from, which changes no row
    is_same = is_same and is_of_same_data(dataset.fingerprint(), seen)
    found = record.get("missing")
    return found if is_same and isinstance(found, dict) and "cost" in found else None


def _looked(job: Job, dataset: StoredDataset) -> str:
    """What blocks from all over the rows hold."""
    n_blocks = dataset.grid.n_blocks
    places = np.unique(np.linspace(0, n_blocks - 1, min(n_blocks, _MOST_BLOCKS)).astype(int))
    counts, n_rows = MissingCounts.zero(dataset.n_features), 0
    with retry_budget(job.storage.retry_s):
        for place in places.tolist():
            for block in dataset.read_blocks(BlockRange(place, place + 1)):
                counts = counts.merge(MissingCounts.of_rows(block.values, block.weights))
                n_rows += len(block.values)
    if len(places) == n_blocks:
        return _told(job, dataset, counts, dataset.grid, "counted now")
    how = f"estimated from {len(places):,} of {n_blocks:,} blocks; others may have more patterns"
    return _told(job, dataset, counts, BlockGrid(n_rows, dataset.n_features), how)


def _told(
    job: Job, dataset: StoredDataset, counts: MissingCounts, grid: BlockGrid, how: str
) -> str:
    cost: MissingCost | None = None
    if job.command == "run" and job.model.n_components is not None:
        cost = cost_of(job, counts, grid)
    lines = [f"marginalised over: {counts.describe()} ({how})"]
    lines += [] if cost is None else [_takes(cost.factor, cost.seconds)]
    lines += [f"the run counts the patterns{_may_ask(job)}"] if counts.is_unlisted else []
    return "\n".join([*lines, *_patterns(counts, dataset.feature_names)])


def _patterns(counts: MissingCounts, names: tuple[str, ...]) -> list[str]:
    """The most frequent patterns of rows that lack values, with their rows."""
    found = counts.patterns
    missing = found.missing(len(names))
    places = [i for i in np.argsort(-found.counts, kind="stable").tolist() if missing[i].any()]
    lines = []
    for i in places[:_SHOWN]:
        own = [name for name, is_missing in zip(names, missing[i], strict=True) if is_missing]
        lines.append(f"  {found.counts[i]:,} rows lack {listed(own, _SHOWN_FEATURES)}")
    left = len(places) - len(lines)
    return [*lines, f"  and {left:,} more"] if left > 0 else lines


def _takes(factor: float, seconds: float) -> str:
    return describe_factor(factor) + (" (--accept-cost)" if is_high(factor, seconds) else "")


def _not_counted(dataset: StoredDataset) -> str:
    if isinstance(dataset, SourceDataset):
        return "patterns are counted when the rows are prepared (dgmm ingest does that alone)"
    return (
        "patterns are not counted yet: --count-missing counts those of up to "
        f"{_MOST_BLOCKS} blocks, a run those of all rows"
    )


def _may_ask(job: Job) -> str:
    if job.command == "predict":
        return ""
    return (
        f". If they make passes take more than {MOST_COST:.0f} times as long, the run stops there "
        "and asks for --accept-cost"
    )
