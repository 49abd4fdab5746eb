"""Cross tables of described columns: of each value's rows, how many have each label."""

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
    """A table for each column of `data.describe`, from the counts in run.json.

    Labels are components, or classes where the job classifies; the column that classes, or groups,
    come from has tables of its own (`dgmm.report.classes`).
    """
    table = record.section("delivered").get("table")
    described = table.get("described") if isinstance(table, dict) else None
    if not isinstance(described, dict):
        return []
    data = record.section("job").get("data") or {}
    has_own = {data.get("classes"), data.get("groups")}
    return [
        _table(name, found, record)
        for name, found in described.items()
        if isinstance(found, dict) and name not in has_own
    ]


def _names(record: RunRecord, n: int) -> tuple[str, list[str]]:
    """What n labels stand for: the word for one of them, and the name of each."""
    classes = record.section("classification").get("classes")
    if isinstance(classes, list):
        return "class", [shortened(str(one.get("name")), _WIDEST_VALUE) for one in classes][:n]
    names = [f"component {k}" for k in range(n)]
    if record.model is not None and record.model.noise is not None:
        names[-1] = "noise"
    return "component", names


def _table(name: str, found: dict[str, Any], record: RunRecord) -> Table:
    n_labels = len(found["counts"][0]) - 1 if found.get("counts") else 1
    word, names = _names(record, n_labels)
    title = f"{shortened(name, _WIDEST_VALUE)} by {word}"
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
    plural = {"class": "classes", "component": "components"}[word]
    others = [f"other {plural}"] if len(shown) < n_labels else []
    header = (
        shortened(name, _WIDEST_VALUE),
        "rows",
        *(names[k] for k in shown),
        *others,
        "no label",
    )
    note = f"Rows of each value, and which share of them is in each {word}."
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
