"""Stability: whether the components are found again in halves of the sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dgmm.report.figure import sentence
from dgmm.report.formatting import number
from dgmm.report.run_data import RunRecord
from dgmm.report.selection import name_of
from dgmm.report.table import Table


def stability_tables(record: RunRecord) -> list[Table | None]:
    """Of the model, or of the chosen one of several and of the runner-up."""
    found = record.section("stability")
    second = found.get("runner_up")
    tables = [_table("Stability of components", found, found)]
    if isinstance(second, dict):
        title = f"Stability of components of the runner-up, {name_of(second)}"
        tables.append(_table(title, second, found))
    return tables


def _table(title: str, own: Mapping[str, Any], found: Mapping[str, Any]) -> Table | None:
    """The Jaccard coefficient of each component over the splits, the least stable first."""
    means, splits = _numbers(own.get("jaccard")), own.get("by_split")
    if not means or not isinstance(splits, list):
        return None
    by_split = [_numbers(split) for split in splits]
    threshold = found.get("threshold")
    limit = float(threshold) if isinstance(threshold, int | float) else math.inf
    rows = [
        (
            number(j),
            number(means[j], 3),
            *(number(split[j] if j < len(split) else None, 3) for split in by_split),
            "yes" if means[j] >= limit else "no",
        )
        for j in sorted(range(len(means)), key=lambda j: (means[j], j))
    ]
    names = [f"split {i + 1}" for i in range(len(by_split))]
    header = ("component", "mean Jaccard coefficient", *names, "stable")
    columns = frozenset(range(len(by_split) + 2))
    return Table(title, header, rows, columns, _note(own, found, len(by_split)))


def _note(own: Mapping[str, Any], found: Mapping[str, Any], n_splits: int) -> str:
    verdict = "Every component is stable" if own.get("is_stable") else "Not all are stable"
    failed = own.get("failed")
    return sentence(
        f"{verdict}. A mixture was fitted to each of two random halves of "
        f"{number(found.get('sample_rows'))} sampled rows, {n_splits} times. The coefficient "
        "is the share of rows that two matched components both hold, of those that either holds: "
        f"below {number(found.get('threshold'))} on average a component is not found again in "
        "other rows (Hennig 2007)."
        if own is found
        else f"{verdict}.",
        f"A half could not be fitted: {'; '.join(map(str, failed))}" if failed else "",
    )


def _numbers(values: Any) -> list[float]:
    given = values if isinstance(values, list) else []
    return [float(v) for v in given if isinstance(v, int | float)]
