"""The tree of merged components: which were joined, and how much entropy each merge took away."""

from __future__ import annotations

from typing import Any

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.svg import Drawing
from dgmm.report.figure import PAGE_WIDTH, OmittedFigure, ReportFigure, sentence, tick_positions
from dgmm.report.formatting import number
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table

_TITLE = "Tree of merged components"
_MOST_COMPONENTS, _MOST_LABELS = 256, 64
_MOST_NAMED = 12

#: The components of a cluster, smallest first.
Members = tuple[int, ...]


def merge_tree(record: RunRecord) -> ReportFigure | OmittedFigure:
    """A dendrogram: each merge at the height of the entropy that is gone with it."""
    merging = record.section("merging")
    merges, entropies = merging.get("merges"), merging.get("entropies")
    if not isinstance(merges, list) or not isinstance(entropies, list) or not merges:
        return OmittedFigure(_TITLE, "run.json holds no merges of components")
    k, chosen = len(entropies), int(merging["n_clusters"])
    if k > _MOST_COMPONENTS:
        return OmittedFigure(_TITLE, f"a tree of more than {_MOST_COMPONENTS} is not legible")
    joined = [(_members(one["left"]), _members(one["right"])) for one in merges]
    gone = [float(entropies[0]) - float(entropy) for entropy in entropies]
    caption = sentence(
        "Each bracket merges two clusters; its height is the entropy, in nats per row of the "
        "sample, that is gone once it is made: all that was uncertain at the top.",
        f"Merges in colour were made, which leave {chosen} cluster{'s' * (chosen != 1)} of "
        f"{k} components."
        if chosen < k
        else "No merge was made: every component is a cluster.",
    )
    alt = f"Dendrogram of {k} components; {chosen} clusters were chosen."
    rows = [
        (number(k - step), _named(left), _named(right), number(gone[step], 4))
        for step, (left, right) in enumerate(joined, 1)
    ]
    header = ("clusters left", "merged", "with", "entropy gone, nats per row")
    table = Table("Merges in their order", header, rows, frozenset({0, 3}))
    drawing = _drawing(joined, gone, chosen)
    return ReportFigure("merge-tree", _TITLE, caption, alt, drawing, table)


def _drawing(joined: list[tuple[Members, Members]], gone: list[float], chosen: int) -> Drawing:
    k = len(gone)
    leaves = _leaves(joined, k)
    drawing = Drawing(PAGE_WIDTH, 340)
    ticks = [(float(i), str(leaves[i])) for i in tick_positions(k, _MOST_LABELS)]
    axes = Axes(
        drawing,
        Box(0, 0, drawing.width, drawing.height),
        Axis(-0.7, k - 0.3, "component", ticks=ticks),
        Axis(0.0, 1.06 * max(*gone, 1e-9), "entropy gone [nats per row]"),
        is_turned=k > 40,
    )
    places: dict[Members, tuple[float, float]] = {
        (j,): (float(i), 0.0) for i, j in enumerate(leaves)
    }
    for step, (left, right) in enumerate(joined, 1):
        (x0, y0), (x1, y1), height = places[left], places[right], gone[step]
        css = "line accent" if k - step >= chosen else "line faint"
        axes.line([x0, x0, x1, x1], [y0, height, height, y1], css)
        places[_members((*left, *right))] = (x0 + x1) / 2, height
    return drawing


def _leaves(joined: list[tuple[Members, Members]], k: int) -> list[int]:
    """The components in an order in which no two lines of the tree cross."""
    orders: dict[Members, list[int]] = {(j,): [j] for j in range(k)}
    for left, right in joined:
        orders[_members((*left, *right))] = orders.pop(left) + orders.pop(right)
    return [j for order in orders.values() for j in order]


def _members(components: Any) -> Members:
    return tuple(sorted(int(j) for j in components))


def _named(members: Members) -> str:
    shown = ", ".join(map(str, members[:_MOST_NAMED]))
    rest = len(members) - _MOST_NAMED
    return f"{shown} and {rest} more" if rest > 0 else shown
