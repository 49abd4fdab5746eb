"""The overlap figure: how far rows of one component could as well belong to another."""

from __future__ import annotations

import numpy as np

from dgmm.report.components import Components, Floats
from dgmm.report.figure import (
    OmittedFigure,
    ReportFigure,
    labelled_every_note,
    new_figure,
    render,
    sentence,
    tick_positions,
)
from dgmm.report.formatting import number

_TITLE = "Overlap between components"
_MOST_CELLS_A_SIDE = 256
_MOST_LABELS = 64
_MOST_NUMBERS = 14


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
    figure = _heatmap(shares[np.ix_(order, order)], [str(j) for j in order])
    caption = sentence(
        "Mean posterior probability of each component (columns) among the sample's rows "
        "labelled with another (rows); 1 on the diagonal means that nothing is shared. "
        "Components stand in the order of their colours, so neighbours are similar.",
        "Colours follow the square root of the value.",
        f"Only the {order.size} heaviest of {k:,} are drawn." if order.size < k else "",
        labelled_every_note(order.size, _MOST_LABELS, "component"),
        "Grey rows have no row in the sample." if np.isnan(shares).any() else "",
    )
    return render(figure, "overlap", title=_TITLE, caption=caption, alt=_strongest(shares))


def _heatmap(shown: Floats, labels: list[str]) -> object:
    from matplotlib import colormaps  # noqa: PLC0415 - only a report needs it
    from matplotlib.colors import PowerNorm  # noqa: PLC0415 - as above

    count = len(labels)
    side = float(np.clip(2.4 + 0.36 * count, 3.4, 7.2))
    figure = new_figure(side + 1.0, side)
    axes = figure.subplots()
    colours = colormaps["Blues"].with_extremes(bad="#d2d6dc")
    image = axes.imshow(shown, cmap=colours, norm=PowerNorm(0.5, 0.0, 1.0), interpolation="nearest")
    ticks = list(tick_positions(count, _MOST_LABELS))
    names = [labels[i] for i in ticks]
    small = 8.0 if count <= 24 else 5.8
    axes.set_xticks(ticks, names, fontsize=small, rotation=90 if count > 24 else 0)
    axes.set_yticks(ticks, names, fontsize=small)
    axes.set(xlabel="posterior of component", ylabel="rows labelled")
    axes.spines[:].set_visible(False)
    if count <= _MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(shown):
            if np.isfinite(value) and value >= 0.005:
                ink = "white" if value > 0.35 else "#1f2933"
                axes.text(
                    column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=ink
                )
    bar = figure.colorbar(
        image, ax=axes, shrink=0.8, aspect=4 * side, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1]
    )
    bar.ax.set_yticklabels(["0", "0.01", "0.1", "0.25", "0.5", "1"])
    bar.outline.set_visible(False)
    return figure


def _strongest(shares: Floats) -> str:
    off = np.where(np.eye(len(shares), dtype=bool) | ~np.isfinite(shares), -1.0, shares)
    label, other = np.unravel_index(int(np.argmax(off)), off.shape)
    value = number(float(off[label, other]), 3)
    return f"Heat map. Rows labelled {label} share most: {value} of their posterior with {other}."
