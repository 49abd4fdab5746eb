"""Cross tables of described columns: of each value's rows, how many are in each component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dgmm.report.formatting import number, percent, shortened
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table

#: Components that have a column of their own.
_MOST_COMPONENTS = 16
_WIDEST_VALUE = 60


def described_tables(record: RunRecord) -> list[Table]:
    """A table for each column of `data.describe`, from the counts in run.json."""
    table = record.section("delivered").get("table")
    described = table.get("described") if isinstance(table, dict) else None
    if not isinstance(described, dict):
        return []
    has_noise = record.model is not None and record.model.noise is not None
    return [
        _table(name, found, has_noise=has_noise)
        for name, found in described.items()
        if isinstance(found, dict)
    ]


def _table(name: str, found: dict[str, Any], *, has_noise: bool) -> Table:
    title = f"{shortened(name, _WIDEST_VALUE)} by component"
    if "too_many_values" in found:
        many = f"more than {number(found['too_many_values'])} different values: not counted"
        return Table(title, (shortened(name, _WIDEST_VALUE),), [(many,)])
    values, counts = list(found["values"]), [list(map(int, row)) for row in found["counts"]]
    if found.get("other_values"):
        values.append(f"{found['other_values']:,} other values")
        counts.append(list(map(int, found["other_counts"])))
    totals = [sum(column) for column in zip(*counts, strict=True)]
    shown = _shown(totals[:-1])
    rows = [_row(v, c, shown) for v, c in zip(values, counts, strict=True)]
    noise = len(totals) - 2 if has_noise else None
    names = ["noise" if k == noise else f"component {k}" for k in shown]
    others = ["other components"] if len(shown) < len(totals) - 1 else []
    header = (shortened(name, _WIDEST_VALUE), "rows", *names, *others, "no label")
    note = "Rows of each value, and which share of them is in each component."
    return Table(title, header, rows, frozenset(range(1, len(header))), note)


def _shown(totals: Sequence[int]) -> list[int]:
    """The components with most rows, in the order of their numbers."""
    return sorted(sorted(range(len(totals)), key=lambda k: -totals[k])[:_MOST_COMPONENTS])


def _row(value: str, counts: Sequence[int], shown: Sequence[int]) -> tuple[str, ...]:
    n_rows, n_components = sum(counts), len(counts) - 1
    cells = [counts[k] for k in shown]
    if len(shown) < n_components:
        cells.append(sum(counts[:-1]) - sum(cells))
    cells.append(counts[-1])
    text = [f"{number(n)} ({percent(n / n_rows)})" if n else "0" for n in cells]
    return (shortened(str(value), _WIDEST_VALUE) or "(empty)", number(n_rows), *text)
