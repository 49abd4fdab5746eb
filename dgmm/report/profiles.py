"""The figures of component profiles: what each component looks like, feature by feature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dgmm.report.axis_units import AxisUnit
from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.colour_bar import colour_bar
from dgmm.report.charts.colour_maps import DIVERGING, coloured
from dgmm.report.charts.pixels import of_colours
from dgmm.report.charts.svg import Drawing, text_width
from dgmm.report.components import Components, Floats
from dgmm.report.figure import (
    PAGE_WIDTH,
    ReportFigure,
    labelled_every_note,
    sentence,
    tick_positions,
)
from dgmm.report.formatting import number, ordinal, shortened
from dgmm.report.table import Table

_MOST_ROWS = 96
_MOST_COLUMNS = 600
_MOST_ROW_LABELS = 64
_MOST_COLUMN_LABELS = 45
#: Panels in a row, panels in all and feature names under a panel, by the number of features.
_PANELS = ((40, 3, 12, 14), (120, 2, 8, 22), (_MOST_COLUMNS, 1, 6, 45))
_MOST_BACKGROUND_LINES = 12
_COLOUR_LIMIT = 3.0
#: More features have bands in place of boxes.
_MOST_BOXES = 40
_WIDEST_NAME = 60
#: CSS pixels at the left of an axis, for its label and ticks, and between two names below it.
_AXIS_ROOM, _GAP = 60.0, 8.0
#: Standard deviations on each side of a mean that hold half, and nine tenths, of a Gaussian.
_HALF, _NINETY = 0.6744897501960817, 1.6448536269514722
#: Features whose spreads and centres are this close share an axis in the user's units.
_SAME_SCALE = 10.0


def profile_heatmap(components: Components) -> ReportFigure:
    """Standardised means: a row a component, a column a feature."""
    rows, columns = _rows(components), _columns(components.n_features)
    shown = components.standardised_means[np.ix_(rows, columns)]
    caption = sentence(
        "Component means as deviations from the mixture's mean, in the mixture's standard "
        "deviations. Components stand in the order of their colours, so neighbours are alike.",
        _omitted(components, rows.size, columns),
        labelled_every_note(columns.size, _MOST_COLUMN_LABELS, "drawn feature"),
        labelled_every_note(rows.size, _MOST_ROW_LABELS, "component"),
    )
    alt = f"Heat map of {rows.size} component means over {columns.size} features."
    header = ("feature", *(f"component {j}" for j in rows))
    cells = [
        (shortened(components.names[f], _WIDEST_NAME), *(number(float(v), 3) for v in own))
        for f, own in zip(columns, shown.T, strict=True)
    ]
    numeric = frozenset(range(1, len(header)))
    table = Table("Standardised means", header, cells, numeric, "In standard deviations.")
    title = "Component means, standardised"
    drawing = _heatmap(components, rows, columns, shown)
    return ReportFigure("profile-heatmap", title, caption, alt, drawing, table)


def _heatmap(
    components: Components, rows: NDArray[np.int64], columns: NDArray[np.int64], shown: Floats
) -> Drawing:
    names = _names(components, columns, _MOST_COLUMN_LABELS)
    is_turned = _are_long(names, PAGE_WIDTH - 80 - _AXIS_ROOM)
    margin = max(text_width(text) for _, text in names) if is_turned else 0
    height = float(np.clip(110 + 20 * rows.size, 180, 780)) + margin
    drawing = Drawing(PAGE_WIDTH, height)
    limit = float(np.clip(np.abs(shown).max(), 0.5, _COLOUR_LIMIT))
    labels = [(float(i), str(rows[i])) for i in tick_positions(rows.size, _MOST_ROW_LABELS)]
    axes = Axes(
        drawing,
        Box(0, 0, PAGE_WIDTH - 80, height),
        Axis(-0.5, columns.size - 0.5, ticks=names),
        Axis(rows.size - 0.5, -0.5, "component", ticks=labels),
        grid="",
        is_turned=is_turned,
    )
    colours = coloured(DIVERGING, 0.5 + 0.5 * shown / limit)
    axes.image(of_colours(np.rint(255 * colours).astype(np.uint8)))
    ticks = [-limit, -limit / 2, 0.0, limit / 2, limit]
    colour_bar(drawing, Box(PAGE_WIDTH - 80, 0, 80, height - margin), DIVERGING, ticks, "linear",
               "deviation [sd]")  # fmt: skip
    return drawing


def profile_panels(components: Components) -> ReportFigure:
    """Mean, and the bands of 50 % and 90 %, of each feature; a panel a component."""
    columns = _columns(components.n_features)
    across, most, names = next(p[1:] for p in _PANELS if columns.size <= p[0])
    shown = components.heaviest[:most]
    caption = sentence(
        "Mean of each feature (line); the bands hold the middle 50 % and 90 % of a component's "
        "values, ± 0.674 and ± 1.645 standard deviations.",
        ""
        if _share_units(components)
        else "Values are deviations from the mixture's mean, in the mixture's standard deviations, "
        "as features have units of their own.",
        _background_words(components.n_components),
        _omitted(components, shown.size, columns),
        labelled_every_note(columns.size, names, "drawn feature"),
    )
    alt = f"Profiles of {shown.size} components over {columns.size} features."
    title = "Component profiles: means with bands of 50 % and 90 %"
    drawing = _panels(components, columns, shown, across, names)
    return ReportFigure("profiles", title, caption, alt, drawing, _quantiles(components, columns,
                                                                             shown))  # fmt: skip


def _quantiles(
    components: Components, columns: NDArray[np.int64], shown: NDArray[np.int64]
) -> Table:
    """5 %, 50 % and 95 % of each feature in each component, in the features' own units."""
    with np.errstate(over="ignore", invalid="ignore"):
        bands = [components.means + z * components.deviations for z in (-_NINETY, 0.0, _NINETY)]
    rows = [
        (
            number(int(j)),
            shortened(components.names[f], _WIDEST_NAME),
            *(number(float(band[j, f])) for band in bands),
            number(float(components.deviations[j, f])),
        )
        for j in shown
        for f in columns
    ]
    header = ("component", "feature", "5 %", "mean", "95 %", "standard deviation")
    return Table("Quantiles of the components", header, rows, frozenset({0, 2, 3, 4, 5}))


def _panels(
    components: Components,
    columns: NDArray[np.int64],
    shown: NDArray[np.int64],
    across: int,
    names: int,
) -> Drawing:
    means, spreads, label = _values(components, columns)
    across, down = min(across, shown.size), -(-shown.size // across)
    ticks = _names(components, columns, names)
    is_turned = _are_long(ticks, PAGE_WIDTH / across - _AXIS_ROOM)
    margin = 10 + (max(text_width(text) for _, text in ticks) if is_turned else 14)
    drawing = Drawing(PAGE_WIDTH, down * 150 + margin)
    y = _range(means[shown], spreads[shown], label)
    width = PAGE_WIDTH / across
    for place, j in enumerate(shown):
        row, column = divmod(place, across)
        # The lowest panel of its column carries the names, be it in the last row or not.
        is_lowest = place + across >= shown.size
        box = Box(column * width, row * 150, width, 150 + (margin if is_lowest else 0))
        labelled = y if column == 0 else replace(y, label="")
        axes = Axes(drawing, box, Axis(-0.7, columns.size - 0.3, ticks=ticks), labelled,
                    title=f"component {j} · {100 * components.weights[j]:.3g} %",
                    is_turned=is_turned, shows_x=is_lowest)  # fmt: skip
        _background(axes, means)
        _profile(axes, means[j], spreads[j], components.hexadecimal[j])
    return drawing


def _rows(components: Components) -> NDArray[np.int64]:
    shown = components.heaviest[:_MOST_ROWS]
    return components.along_axis[np.isin(components.along_axis, shown)]


def _columns(n_features: int) -> NDArray[np.int64]:
    return np.arange(0, n_features, max(1, -(-n_features // _MOST_COLUMNS)))


def _omitted(components: Components, n_rows: int, columns: NDArray[np.int64]) -> str:
    parts = []
    if n_rows < components.n_components:
        parts.append(f"Only the {n_rows} heaviest of {components.n_components:,} are drawn.")
    if columns.size < components.n_features:
        stride = ordinal(int(columns[1] - columns[0]))
        parts.append(f"Every {stride} feature of {components.n_features:,} is drawn.")
    return " ".join(parts)


def _names(
    components: Components, columns: NDArray[np.int64], at_most: int
) -> list[tuple[float, str]]:
    return [
        (float(i), shortened(components.names[columns[i]], 18))
        for i in tick_positions(columns.size, at_most)
    ]


def _are_long(names: list[tuple[float, str]], width: float) -> bool:
    """Whether names side by side in so many CSS pixels would overlap."""
    return max(text_width(name) for _, name in names) > width / len(names) - _GAP


def _values(components: Components, columns: NDArray[np.int64]) -> tuple[Floats, Floats, str]:
    """Means and standard deviations (k, columns) in the units that the panels can share."""
    with np.errstate(over="ignore", invalid="ignore"):
        spreads = components.deviations[:, columns]
        means = components.means[:, columns]
        if _share_units(components):
            unit = AxisUnit.of(means)
            return unit.apply(means), unit.apply(spreads), f"value{unit.label}"
        scale = components.spread[columns]
        standardised = components.standardised_means[:, columns]
        return standardised, spreads / scale, "deviation [sd]"


def _share_units(components: Components) -> bool:
    varying = components.separation + components.within > 0
    spread = components.spread[varying]
    if not spread.size:
        return True
    centres = components.centre
    alike = spread.max() <= _SAME_SCALE * spread.min()
    return bool(alike and np.ptp(centres) <= _SAME_SCALE * spread.max())


def _profile(axes: Axes, mean: Floats, spread: Floats, colour: str) -> None:
    places = np.arange(mean.size)
    for z in (_NINETY, _HALF):
        low, high = mean - z * spread, mean + z * spread
        if mean.size <= _MOST_BOXES:
            axes.rectangles(places - 0.32, places + 0.32, low, high, "own band",
                            [colour] * mean.size)  # fmt: skip
        else:
            axes.band(places, low, high, "own band", colour)
    axes.line(places, mean, "own line", colour, dots=2 if mean.size <= _MOST_BOXES else 0)


def _range(means: Floats, spreads: Floats, label: str) -> Axis:
    low, high = means - _NINETY * spreads, means + _NINETY * spreads
    return Axis.around(np.stack([low, high]), label, count=4)


def _background(axes: Axes, means: Floats) -> None:
    places = np.arange(means.shape[1])
    if len(means) > _MOST_BACKGROUND_LINES:
        axes.band(places, means.min(axis=0), means.max(axis=0), "backdrop")
        return
    for mean in means:
        axes.line(places, mean, "line backline")


def _background_words(k: int) -> str:
    if k == 1:
        return ""
    if k <= _MOST_BACKGROUND_LINES:
        return "Grey lines are the other components' means."
    return "The grey area holds all components' means."
