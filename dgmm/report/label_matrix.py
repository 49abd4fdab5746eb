"""The label matrix: how an earlier model and this run's label the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.report.charts.heat_map import heat_map
from dgmm.report.figure import ReportFigure, sentence
from dgmm.report.formatting import MISSING, number, percent
from dgmm.report.table import Table

#: Labels of each side that are shown, the sum of the others counted.
_MOST = 23
_OTHERS = "others"
_TITLE = "Labels of both models"


@dataclass(frozen=True, slots=True)
class Sides:
    """What the two mixtures are called, and what rows were labelled."""

    first: str
    second: str
    rows: str


EARLIER = Sides("earlier model", "this run", "rows of the sample")


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """The part of a matrix that is shown, the sums of all other labels last where there are any."""

    counts: NDArray[np.int64]
    names: tuple[list[str], list[str]]
    n_left: tuple[int, int]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        counts = np.array(found["matrix"], dtype=np.int64)
        sizes = found["n_labels"]
        down, across = (n if n <= _MOST else _MOST - 1 for n in sizes)
        left = sizes[0] - down, sizes[1] - across
        shown = counts[:down, :across]
        rows = np.array(found["first_rows"][:down], dtype=np.int64)
        columns = np.array(found["second_rows"][:across], dtype=np.int64)
        if left[1]:
            shown = np.column_stack([shown, rows - shown.sum(axis=1)])
            columns = np.append(columns, int(found["rows"]) - columns.sum())
        if left[0]:
            shown = np.vstack([shown, columns - shown.sum(axis=0)])
        labels = (found["first"][:down], found["second"][:across])
        names = [
            [_name(label, noise) for label in own] + [_OTHERS] * bool(more)
            for own, noise, more in zip(labels, found["noise"], left, strict=True)
        ]
        return cls(shown, (names[0], names[1]), left)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of the rows with each label of the first; NaN of a label that no row has."""
        totals = self.counts.sum(axis=1, keepdims=True).astype(np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray(self.counts / np.where(totals > 0, totals, np.nan))


def _name(label: int, noise: int | None) -> str:
    return "noise" if label == noise else str(label)


def label_matrix_figure(found: Mapping[str, Any], sides: Sides = EARLIER) -> ReportFigure | None:
    """Share of each cluster of the first mixture that is in each cluster of the second.

    Parameters
    ----------
    found : mapping
        As `comparison_record.LabelMatrixRecord`; empty where labels were not compared.
    sides : Sides
        What both are called.
    """
    if not found.get("rows"):
        return None
    shown = _Shown.of(found)
    down, across = shown.names
    shares = shown.shares
    texts = [["" if math.isnan(v) else f"{100 * v:.0f}" for v in own] for own in shares]
    drawing = heat_map(
        *(shares, down, across),
        row_label=sides.first,
        column_label=sides.second,
        texts=texts,
        bar_label="share of the line",
    )
    moved, index = percent(float(found["moved"])), number(found["adjusted_rand_index"], 3)
    caption = sentence(
        f"{number(found['rows'])} {sides.rows}, labelled by the {sides.first} (lines) and by "
        f"{sides.second} (columns): the share of each line, in %. Clusters are matched so that as "
        "many rows as possible agree, and matched ones stand in the same place, so that rows off "
        "the diagonal have changed their cluster.",
        f"{moved} of the rows are in another cluster; the adjusted Rand index, 1 for the same "
        f"clusters and 0 where they agree as by chance, is {index}.",
        "A grey line has no rows." if np.isnan(shares).any() else "",
        _left_out(shown, sides),
    )
    alt = f"Heat map. {moved} of the rows are in another cluster; adjusted Rand index {index}."
    return ReportFigure("label-matrix", _TITLE, caption, alt, drawing, _counts(shown, sides))


def _left_out(shown: _Shown, sides: Sides) -> str:
    sizes = zip((sides.first, sides.second), shown.n_left, strict=True)
    text = ", ".join(f"{name}: {n:,}" for name, n in sizes if n)
    if not text:
        return ""
    order = f"matched ones by their rows in the {sides.first}, then the unmatched"
    return f"“{_OTHERS}” are the clusters that come later in this order ({order}): {text}."


def _counts(shown: _Shown, sides: Sides) -> Table:
    down, across = shown.names
    rows: list[tuple[str, ...]] = [
        (f"{sides.first}: {name}", *map(number, line))
        for name, line in zip(down, shown.counts.tolist(), strict=True)
    ]
    header = ("rows", *(f"{sides.second}: {name}" for name in across))
    return Table(_TITLE, header, rows, frozenset(range(1, len(header))))


def matched_labels_table(found: Mapping[str, Any], sides: Sides = EARLIER) -> Table | None:
    """Which cluster of one mixture is which of the other, and how many rows both have."""
    if not found.get("rows"):
        return None
    n, (first, second) = int(found["n_pairs"]), (found["first"], found["second"])
    noise, matrix = found["noise"], found["matrix"]
    sums = found["first_rows"], found["second_rows"]
    rows: list[tuple[str, ...]] = [
        (
            _name(first[i], noise[0]),
            _name(second[i], noise[1]),
            number(sums[0][i]),
            number(sums[1][i]),
            number(matrix[i][i]),
            percent(matrix[i][i] / sums[0][i]),
        )
        for i in range(n)
    ]
    rows += [
        (_name(label, noise[0]), MISSING, number(total), *[number(None)] * 3)
        for label, total in zip(first[n:], sums[0][n:], strict=True)
    ]
    rows += [
        (MISSING, _name(label, noise[1]), number(None), number(total), *[number(None)] * 2)
        for label, total in zip(second[n:], sums[1][n:], strict=True)
    ]
    header = (
        *(sides.first, sides.second, f"rows, {sides.first}", f"rows, {sides.second}"),
        *("rows in both", f"share of the {sides.first}’s"),
    )
    note = sentence(
        f"{percent(float(found['moved']))} of {number(found['rows'])} {sides.rows} are in another "
        f"cluster; the adjusted Rand index is {number(found['adjusted_rand_index'], 4)}.",
        "Two fits can differ without any drift: this is no measure of it.",
        _beyond(found),
    )
    return Table("Matched clusters", header, rows, frozenset(range(2, 6)), note, n_open=30)


def _beyond(found: Mapping[str, Any]) -> str:
    pairs = zip(found["n_labels"], (found["first"], found["second"]), strict=True)
    n = sum(total - len(own) for total, own in pairs)
    return f"{n:,} clusters that come last in this order are left out." if n > 0 else ""
