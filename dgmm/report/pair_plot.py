"""The pair plot: the features that separate the components best, with covariance ellipses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.model.mixture_model import MixtureModel
from dgmm.report.axis_units import AxisUnit, drawn_range
from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.pixels import scattered
from dgmm.report.charts.svg import Drawing
from dgmm.report.components import Components, Floats
from dgmm.report.drawn_rows import DrawnRows
from dgmm.report.feature_choice import chosen_features
from dgmm.report.figure import OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number, percent, shortened
from dgmm.report.table import Table

_TITLE = "Pair plot with covariance ellipses"
#: More panels are too small for component indices inside them.
_NUMBERED_FEATURES = 3
_MOST_COMPONENTS = 20
_LEGEND_ROWS = 14
#: CSS pixels: a panel's side by the number of features, and what labels and the legend take.
_SIDES = (420.0, 320.0, 215.0, 200.0, 164.0, 138.0)
_LEFT, _BELOW, _LEGEND = 66.0, 40.0, 150.0
#: From this many features on the upper corner is empty and takes the legend.
_WIDE_PANELS = 4
#: Image pixels of a CSS pixel.
_PIXELS = 1.5
_GREY = 0.72
#: Radii that hold 68 % and 95 % of a two-dimensional Gaussian: √(−2 ln(1 − p)).
_RADII = tuple(float(np.sqrt(-2.0 * np.log1p(-p))) for p in (0.68, 0.95))


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the panels draw, everything in axis units.

    Parameters
    ----------
    features : ndarray (p,)
        Which features, in drawing order.
    names : list of str
        Their axis labels.
    points : ndarray (m, p)
    point_colours : ndarray (m, 3)
    drawn : ndarray
        Components that get ellipses, heaviest first.
    weights : ndarray (k,)
    means : ndarray (k, p)
    covariances : dict of int to ndarray (p, p)
    colours : tuple of str
    limits : list of (low, high)
    others : str
        What grey rows are called.
    """

    features: NDArray[np.int64]
    names: list[str]
    points: Floats
    point_colours: Floats
    drawn: NDArray[np.int64]
    weights: Floats
    means: Floats
    covariances: dict[int, Floats]
    colours: tuple[str, ...]
    limits: list[tuple[float, float]]
    others: str = "others"


def pair_plot(
    components: Components, model: MixtureModel, drawn: DrawnRows | str
) -> ReportFigure | OmittedFigure:
    """The sample's rows in every pair of at most six features, coloured by component."""
    if isinstance(drawn, str):
        return OmittedFigure(_TITLE, drawn)
    scene = _scene(components, model, drawn.rows, drawn.labels)
    n_drawn = len(drawn.rows)
    caption = _caption(components, scene, n_drawn, drawn.n_sample)
    alt = (
        f"Scatter plots of {n_drawn:,} rows in {scene.features.size} features "
        f"with the ellipses of {scene.drawn.size} components."
    )
    table = _table(components, scene)
    return ReportFigure("pair-plot", _TITLE, caption, alt, _draw(scene), table)


def _scene(
    components: Components, model: MixtureModel, rows: Floats, labels: NDArray[np.int64]
) -> _Scene:
    features = chosen_features(components)
    units = [AxisUnit.of(rows[:, f]) for f in features]
    points = np.stack([u.apply(rows[:, f]) for u, f in zip(units, features, strict=True)], axis=1)
    means = np.stack(
        [u.apply(components.means[:, f]) for u, f in zip(units, features, strict=True)], axis=1
    )
    drawn = components.heaviest[:_MOST_COMPONENTS]
    grey = np.full(3, _GREY)
    own = components.colours[np.minimum(labels, components.n_components - 1)]  # k is noise
    colours = np.where(np.isin(labels, drawn)[:, None], own, grey)
    names = [
        shortened(components.names[f], 22) + u.label for u, f in zip(units, features, strict=True)
    ]
    return _Scene(
        features=features,
        names=names,
        points=points,
        point_colours=colours,
        drawn=drawn,
        weights=components.weights,
        means=means,
        covariances=_covariances(model, drawn, features, units),
        colours=components.hexadecimal,
        limits=[drawn_range(points[:, i]) for i in range(features.size)],
        others="noise, others" if components.has_noise else "others",
    )


def _covariances(
    model: MixtureModel,
    drawn: NDArray[np.int64],
    features: NDArray[np.int64],
    units: list[AxisUnit],
) -> dict[int, Floats]:
    """Covariances (p, p) in axis units, from the standardised ones: no square of 1e300 is taken."""
    fitted, scale = model.parameters, model.standardisation.scale
    factors = np.array([u.apply(scale[f]) for u, f in zip(units, features, strict=True)])
    found = {}
    for j in drawn:
        own = fitted.family.covariance_among(fitted.covariances, int(j), features, scale.size)
        found[int(j)] = own * factors[:, None] * factors
    return found


def _draw(scene: _Scene) -> Drawing:
    p = scene.features.size
    side = _SIDES[p - 1]
    drawing = Drawing(_LEFT + p * side + (_LEGEND if p < _WIDE_PANELS else 0), p * side + _BELOW)
    for row in range(p):
        for column in range(row + 1):
            _cell(drawing, scene, row, column, side)
    _legend(drawing, scene, side)
    return drawing


def _cell(drawing: Drawing, scene: _Scene, row: int, column: int, side: float) -> None:
    is_last, is_first = row == scene.features.size - 1, column == 0 and row > 0
    inner = Box(_LEFT + column * side + 4, row * side + 4, side - 10, side - 10)
    box = Box(inner.x - _LEFT, inner.y, inner.width + _LEFT, inner.height + _BELOW)
    count = 4 if scene.features.size < _WIDE_PANELS else 3
    x = Axis(*scene.limits[column], scene.names[column] * is_last, count=count)
    y = Axis(*scene.limits[row], scene.names[row] * is_first, count=count)
    if row == column:
        heights = _Marginal.of(scene, row)
        y = Axis(0.0, 1.15 * max(float(heights.density.max()), 1e-300), scale="root", ticks=())
    axes = Axes(drawing, box, x, y, grid="", shows_x=is_last, shows_y=is_first, inner=inner)
    if row == column:
        heights.draw(axes, scene)
    else:
        _panel(axes, scene, row, column)


def _panel(axes: Axes, scene: _Scene, row: int, column: int) -> None:
    inner, pair = axes.inner, np.array([column, row])
    size = round(_PIXELS * inner.width), round(_PIXELS * inner.height)
    x = axes.x.places(scene.points[:, column]) * size[0]
    y = (1 - axes.y.places(scene.points[:, row])) * size[1]
    axes.image(scattered(x, y, scene.point_colours, size), "points")
    axes.begin()
    for j, covariance in scene.covariances.items():
        own = scene.means[j, pair], covariance[np.ix_(pair, pair)]
        for radius, css in zip(_RADII, ("inner", "outer"), strict=True):
            # A dark line below keeps light ellipses apart from points of their own colour.
            axes.ellipse(*own, radius, f"line under {css}")
            axes.ellipse(*own, radius, f"own line {css}", scene.colours[j])
    axes.drawing.end()
    if scene.features.size <= _NUMBERED_FEATURES:
        for j in scene.covariances:
            at_x, at_y = scene.means[j, column], scene.means[j, row]
            inside = (axes.x.low <= at_x <= axes.x.high) and (axes.y.low <= at_y <= axes.y.high)
            if inside:
                axes.note(str(j), at_x, at_y, dy=4, anchor="middle", css="halo")


@dataclass(frozen=True, slots=True)
class _Marginal:
    """The sample's density along a feature, with each component's curve."""

    edges: Floats
    density: Floats
    place: int

    @classmethod
    def of(cls, scene: _Scene, place: int) -> _Marginal:
        low, high = scene.limits[place]
        x = scene.points[:, place]
        inside = x[(x >= low) & (x <= high)]
        counts, edges = np.histogram(inside, bins=50, range=(low, high))
        return cls(edges, counts / max(x.size, 1) / np.diff(edges), place)

    def draw(self, axes: Axes, scene: _Scene) -> None:
        """Steps in grey, curves in the components' colours."""
        edges, heights = np.repeat(self.edges, 2)[1:-1], np.repeat(self.density, 2)
        axes.band(edges, np.zeros(edges.size), heights, "backdrop")
        at = np.linspace(*scene.limits[self.place], 160)
        for j, covariance in scene.covariances.items():
            variance = covariance[self.place, self.place]
            if variance > 0:
                z = (at - scene.means[j, self.place]) ** 2 / variance
                curve = scene.weights[j] * np.exp(-0.5 * z) / np.sqrt(2 * np.pi * variance)
                axes.line(at, curve, "own line", scene.colours[j])


def _legend(drawing: Drawing, scene: _Scene, side: float) -> None:
    """Components with their weights, in the corner that the panels leave free."""
    entries: list[tuple[str, str, str | None]] = [
        (f"{j} · {100 * scene.weights[j]:.3g} %", "own area", scene.colours[j]) for j in scene.drawn
    ]
    if (scene.point_colours == _GREY).all(axis=1).any():
        entries.append((scene.others, "area faint", None))
    p = scene.features.size
    columns = 1 if p < _WIDE_PANELS else -(-len(entries) // _LEGEND_ROWS)
    left = _LEFT + p * side + 20 if p < _WIDE_PANELS else drawing.width - 115 * columns
    drawing.text("component · weight", left, 14)
    rows = -(-len(entries) // columns)
    for column in range(columns):
        part = entries[column * rows : (column + 1) * rows]
        drawing.legend(part, left + 115 * column, 22)


def _table(components: Components, scene: _Scene) -> Table:
    """Centre and standard deviation of every ellipse, in the features' own units."""
    rows = [
        (
            number(int(j)),
            shortened(components.names[f], 60),
            percent(float(components.weights[j])),
            number(float(components.means[j, f])),
            number(float(components.deviations[j, f])),
        )
        for j in scene.drawn
        for f in scene.features
    ]
    header = ("component", "feature", "weight", "mean", "standard deviation")
    return Table("Components in the features drawn", header, rows, frozenset({0, 2, 3, 4}))


def _caption(components: Components, scene: _Scene, drawn: int, in_sample: int) -> str:
    p, d, k = scene.features.size, components.n_features, components.n_components
    return sentence(
        f"{drawn:,} of the {in_sample:,} rows of the fixed sample, coloured by their most "
        "likely component; ellipses hold 68 % and 95 % of a component; the diagonal shows the "
        "sample's density in grey with each component's weighted density (square-root scale).",
        "Rows of the noise are grey." if components.has_noise else "",
        f"{p} of {d:,} features are drawn: those with the largest variance between components "
        "over variance within them, without such as run parallel to a better one."
        if p < d
        else "",
        f"Only the {scene.drawn.size} heaviest of {k:,} components are drawn; rows of the "
        "others are grey."
        if scene.drawn.size < k
        else "",
        "Axes leave out the outermost 0.1 % of the rows at each end.",
    )
