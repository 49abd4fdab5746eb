"""Stability: whether the components are found again in halves of the sample."""

from __future__ import annotations

import math
from typing import Any

from dgmm.report.figure import sentence
from dgmm.report.formatting import number
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table


def stability_table(record: RunRecord) -> Table | None:
    """The Jaccard coefficient of each component over the splits, the least stable first."""
    found = record.section("stability")
    means, splits = _numbers(found.get("jaccard")), found.get("by_split")
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
    verdict = "Every component is stable" if found.get("is_stable") else "Not all are stable"
    note = sentence(
        f"{verdict}. A mixture was fitted to each of two random halves of "
        f"{number(found.get('sample_rows'))} sampled rows, {len(by_split)} times. The coefficient "
        "is the share of rows that two matched components both hold, of those that either holds: "
        f"below {number(threshold)} on average a component is not found again in other rows "
        "(Hennig 2007).",
    )
    if failed := found.get("failed"):
        note += f" A half could not be fitted: {'; '.join(map(str, failed))}"
    header = ("component", "mean Jaccard coefficient", *names, "stable")
    return Table("Stability of components", header, rows, frozenset(range(len(by_split) + 2)), note)


def _numbers(values: Any) -> list[float]:
    given = values if isinstance(values, list) else []
    return [float(v) for v in given if isinstance(v, int | float)]
