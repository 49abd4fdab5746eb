"""The overlap figure: how far rows of one component could as well belong to another."""

from __future__ import annotations

import numpy as np

from dgmm.report.charts.heat_map import heat_map
from dgmm.report.charts.svg import Drawing
from dgmm.report.components import Components, Floats
from dgmm.report.figure import (
    OmittedFigure,
    ReportFigure,
    labelled_every_note,
    sentence,
    tick_positions,
)
from dgmm.report.formatting import number
from dgmm.report.table import Table

_TITLE = "Overlap between components"
_MOST_CELLS_A_SIDE = 256
_MOST_LABELS = 64


def overlap(components: Components, shares: Floats | None) -> ReportFigure | OmittedFigure:
    """Mean responsibility of one component among the sample's rows labelled with another.

    Parameters
    ----------
    components : Components
    shares : ndarray (k, k) or None
        Row: label; column: component whose responsibility is averaged. NaN where the sample has
        no row with this label.
    """
    k = components.n_components
    if k == 1:
        return OmittedFigure(_TITLE, "the mixture has one component")
    if shares is None or shares.shape != (k, k):
        return OmittedFigure(
            _TITLE, "sample.npz holds no overlap of these components (it does for at most 1,024)"
        )
    shown = np.sort(components.heaviest[:_MOST_CELLS_A_SIDE])
    order = components.along_axis[np.isin(components.along_axis, shown)]
    caption = sentence(
        "Mean posterior probability of each component (columns) among the sample's rows "
        "labelled with another (rows); 1 on the diagonal means that nothing is shared. "
        "Components stand in the order of their colours, so neighbours are similar.",
        "Colours follow the square root of the value.",
        f"Only the {order.size} heaviest of {k:,} are drawn." if order.size < k else "",
        labelled_every_note(order.size, _MOST_LABELS, "component"),
        "Grey rows have no row in the sample." if np.isnan(shares).any() else "",
    )
    shown_shares, labels = shares[np.ix_(order, order)], [str(j) for j in order]
    drawing, table = _heatmap(shown_shares, labels), _table(shown_shares, order)
    return ReportFigure("overlap", _TITLE, caption, _strongest(shares), drawing, table)


def _heatmap(shown: Floats, labels: list[str]) -> Drawing:
    texts = [[f"{v:.2f}" if np.isfinite(v) and v >= 0.005 else "" for v in own] for own in shown]
    return heat_map(
        *(shown, labels, labels),
        row_label="rows labelled",
        column_label="posterior of component",
        texts=texts,
        scale="root",
        every=tick_positions(len(labels), _MOST_LABELS).step,
    )


def _table(shown: Floats, order: np.ndarray) -> Table:
    rows = [
        (number(int(j)), *(number(float(value), 3) for value in own))
        for j, own in zip(order, shown, strict=True)
    ]
    header = ("rows labelled", *(f"component {j}" for j in order))
    return Table("Mean posteriors", header, rows, frozenset(range(len(header))))


def _strongest(shares: Floats) -> str:
    off = np.where(np.eye(len(shares), dtype=bool) | ~np.isfinite(shares), -1.0, shares)
    label, other = np.unravel_index(int(np.argmax(off)), off.shape)
    value = number(float(off[label, other]), 3)
    return f"Heat map. Rows labelled {label} share most: {value} of their posterior with {other}."
