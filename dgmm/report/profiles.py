"""The figures of component profiles: what each component looks like, feature by feature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.report.axis_units import AxisUnit
from dgmm.report.components import Components, Floats
from dgmm.report.figure import (
    ReportFigure,
    labelled_every_note,
    new_figure,
    render,
    sentence,
    tick_positions,
)
from dgmm.report.formatting import literal, ordinal

_MOST_ROWS = 96
_MOST_COLUMNS = 600
_MOST_ROW_LABELS = 64
_MOST_COLUMN_LABELS = 45
#: Panels in a row, panels in all and feature names under a panel, by the number of features.
_PANELS = ((40, 3, 12, 14), (120, 2, 8, 22), (_MOST_COLUMNS, 1, 6, 45))
_MOST_BACKGROUND_LINES = 12
_COLOUR_LIMIT = 3.0
#: Features whose spreads and centres are this close share an axis in the user's units.
_SAME_SCALE = 10.0


def profile_heatmap(components: Components) -> ReportFigure:
    """Standardised means: a row a component, a column a feature."""
    rows, columns = _rows(components), _columns(components.n_features)
    shown = components.standardised_means[np.ix_(rows, columns)]
    height = float(np.clip(1.9 + 0.24 * rows.size, 2.7, 9.0))
    figure = new_figure(9.0, height)
    axes = figure.subplots()
    limit = float(np.clip(np.abs(shown).max(), 0.5, _COLOUR_LIMIT))
    image = axes.imshow(
        shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    ticks = list(tick_positions(rows.size, _MOST_ROW_LABELS))
    axes.set_yticks(ticks, [str(rows[i]) for i in ticks], fontsize=8 if rows.size <= 32 else 6.5)
    _name_features(axes, components, columns, _MOST_COLUMN_LABELS)
    axes.set(ylabel="component")
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(
        image, ax=axes, extend=_beyond(shown, limit), pad=0.015, aspect=5 * height
    )
    bar.set_label("deviation [sd]", fontsize=8)
    bar.outline.set_visible(False)
    caption = sentence(
        "Component means as deviations from the mixture's mean, in the mixture's standard "
        "deviations. Components stand in the order of their colours, so neighbours are alike.",
        _omitted(components, rows.size, columns),
        labelled_every_note(columns.size, _MOST_COLUMN_LABELS, "drawn feature"),
        labelled_every_note(rows.size, _MOST_ROW_LABELS, "component"),
    )
    alt = f"Heat map of {rows.size} component means over {columns.size} features."
    title = "Component means, standardised"
    return render(figure, "profile-heatmap", title=title, caption=caption, alt=alt)


def profile_panels(components: Components) -> ReportFigure:
    """Mean ± standard deviation per feature, a panel a component."""
    columns = _columns(components.n_features)
    across, most, names = next(p[1:] for p in _PANELS if columns.size <= p[0])
    shown = components.heaviest[:most]
    means, spreads, label = _values(components, columns)
    down = -(-shown.size // across)
    figure = new_figure(9.0, 0.9 + 1.65 * down)
    grid = figure.subplots(down, min(across, shown.size), sharex=True, sharey=True, squeeze=False)
    for axes, j in zip(grid.flat, shown, strict=False):
        _background(axes, means)
        _profile(axes, means[j], spreads[j], components.colours[j])
        axes.set_title(f"component {j} · {100 * components.weights[j]:.3g} %", loc="left")
        axes.set_xlim(-0.7, columns.size - 0.3)
    _set_range(grid.flat[0], means[shown], spreads[shown])
    _finish_panels(grid, components, columns, shown.size, names)
    figure.supylabel(label, fontsize=9)
    caption = sentence(
        "Mean of each feature (line) ± one standard deviation (bars or band).",
        _background_words(components.n_components),
        _omitted(components, shown.size, columns),
        labelled_every_note(columns.size, names, "drawn feature"),
    )
    alt = f"Profiles of {shown.size} components over {columns.size} features."
    title = "Component profiles: mean ± standard deviation"
    return render(figure, "profiles", title=title, caption=caption, alt=alt)


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


def _beyond(shown: Floats, limit: float) -> str:
    above, below = bool((shown > limit).any()), bool((shown < -limit).any())
    return {(True, True): "both", (True, False): "max", (False, True): "min"}.get(
        (above, below), "neither"
    )


def _name_features(
    axes: Any, components: Components, columns: NDArray[np.int64], at_most: int
) -> None:
    ticks = list(tick_positions(columns.size, at_most))
    names = [literal(components.names[columns[i]], 18) for i in ticks]
    turned = len(names) > 8 or max(len(name) for name in names) > 8
    axes.set_xticks(ticks, names, rotation=90 if turned else 0, fontsize=7)


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
        label = "deviation from the mixture's mean [sd]"
        return standardised, spreads / scale, label


def _share_units(components: Components) -> bool:
    varying = components.separation + components.within > 0
    spread = components.spread[varying]
    if not spread.size:
        return True
    centres = components.centre
    alike = spread.max() <= _SAME_SCALE * spread.min()
    return bool(alike and np.ptp(centres) <= _SAME_SCALE * spread.max())


def _profile(axes: Any, mean: Floats, spread: Floats, colour: Any) -> None:
    places = np.arange(mean.size)
    if mean.size <= 40:
        axes.errorbar(places, mean, spread, color=colour, lw=1.3, marker="o", ms=2.5,
                      elinewidth=0.9, zorder=3)  # fmt: skip
        return
    axes.fill_between(places, mean - spread, mean + spread, color=colour, alpha=0.3, lw=0, zorder=2)
    axes.plot(places, mean, color=colour, lw=0.9, zorder=3)


def _set_range(axes: Any, means: Floats, spreads: Floats) -> None:
    low, high = float((means - spreads).min()), float((means + spreads).max())
    if np.isfinite(low) and np.isfinite(high) and high > low:
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)


def _background(axes: Any, means: Floats) -> None:
    places = np.arange(means.shape[1])
    if len(means) <= _MOST_BACKGROUND_LINES:
        axes.plot(means.T, color="#d9dee4", lw=0.7, zorder=1)
    else:
        low, high = means.min(axis=0), means.max(axis=0)
        axes.fill_between(places, low, high, color="#eef1f4", lw=0, zorder=1)


def _background_words(k: int) -> str:
    if k == 1:
        return ""
    if k <= _MOST_BACKGROUND_LINES:
        return "Grey lines are the other components' means."
    return "The grey area holds all components' means."


def _finish_panels(
    grid: Any, components: Components, columns: NDArray[np.int64], count: int, names: int
) -> None:
    across = grid.shape[1]
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < count)
        axes.grid(visible=True, axis="y")
        if place < count <= place + across:
            # The lowest panel of its column carries the names, be it in the last row or not.
            _name_features(axes, components, columns, names)
            axes.tick_params(labelbottom=True)
