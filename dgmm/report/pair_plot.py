"""The pair plot: the features that separate the components best, with covariance ellipses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.model.mixture_model import MixtureModel
from dgmm.report.axis_units import AxisUnit, drawn_range
from dgmm.report.components import Components, Floats
from dgmm.report.feature_choice import chosen_features
from dgmm.report.figure import FAINT, INK, OmittedFigure, ReportFigure, new_figure, render, sentence
from dgmm.report.formatting import literal

_TITLE = "Pair plot with covariance ellipses"
#: More panels are too small for component indices inside them.
_NUMBERED_FEATURES = 3
_MOST_COMPONENTS = 20
_MOST_POINTS = 4000
_FEWEST_POINTS = 500
#: Multiplications spent on labelling the points: fewer of them where k·d² is large.
_WORK = 1e10
_LEGEND_ROWS = 10
_LEGEND_ROWS_OF_WIDE_PANELS = 14
#: Radii that hold 68 % and 95 % of a two-dimensional Gaussian: √(−2 ln(1 − p)).
_RADII = tuple(float(np.sqrt(-2.0 * np.log1p(-p))) for p in (0.68, 0.95))
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 73)) for f in (np.cos, np.sin)])


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
    colours : ndarray (k, 3)
    limits : list of (low, high)
    """

    features: NDArray[np.int64]
    names: list[str]
    points: Floats
    point_colours: Floats
    drawn: NDArray[np.int64]
    weights: Floats
    means: Floats
    covariances: dict[int, Floats]
    colours: Floats
    limits: list[tuple[float, float]]


def pair_plot(
    components: Components, model: MixtureModel, sample: Floats | None
) -> ReportFigure | OmittedFigure:
    """The sample's rows in every pair of at most six features, coloured by component.

    Parameters
    ----------
    components : Components
    model : MixtureModel
    sample : ndarray (m, d) or None
        Rows in the user's units.
    """
    if sample is None or sample.ndim != 2 or sample.shape[1] != components.n_features:
        return OmittedFigure(_TITLE, "sample.npz holds no rows of these features")
    rows = sample[np.isfinite(sample).all(axis=1)]
    if not rows.size:
        return OmittedFigure(_TITLE, "the sample has no complete row")
    work = components.n_components * components.n_features**2
    at_most = int(np.clip(_WORK / work, _FEWEST_POINTS, _MOST_POINTS))
    rows = rows[:: max(1, -(-len(rows) // at_most))]
    scene = _scene(components, model, rows)
    figure = _draw(scene)
    caption = _caption(components, scene, len(rows), len(sample))
    alt = (
        f"Scatter plots of {len(rows):,} rows in {scene.features.size} features "
        f"with the ellipses of {scene.drawn.size} components."
    )
    return render(figure, "pair-plot", title=_TITLE, caption=caption, alt=alt)


def _scene(components: Components, model: MixtureModel, rows: Floats) -> _Scene:
    # The sample's rows are as they were fitted: behind the steps of the model.
    labels = replace(model, preprocess=None).predict(rows)
    features = chosen_features(components)
    units = [AxisUnit.of(rows[:, f]) for f in features]
    points = np.stack([u.apply(rows[:, f]) for u, f in zip(units, features, strict=True)], axis=1)
    means = np.stack(
        [u.apply(components.means[:, f]) for u, f in zip(units, features, strict=True)], axis=1
    )
    drawn = components.heaviest[:_MOST_COMPONENTS]
    grey = np.full(3, 0.72)
    colours = np.where(np.isin(labels, drawn)[:, None], components.colours[labels], grey)
    names = [
        literal(components.names[f], 22) + u.label for u, f in zip(units, features, strict=True)
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
        colours=components.colours,
        limits=[drawn_range(points[:, i]) for i in range(features.size)],
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


def _draw(scene: _Scene) -> Any:
    p = scene.features.size
    inches = {1: 4.6, 2: 2.9, 3: 2.3}.get(p, 1.55 if p > 4 else 1.8)
    legend_inches = 1.9 if p == 1 else 0.0
    width, height = 0.85 + p * inches + legend_inches, 0.75 + p * min(inches, 3.0)
    figure = new_figure(width, height, constrained=False)
    grid = figure.subplots(p, p, squeeze=False)
    right = 1 - (legend_inches + 0.1) / width
    figure.subplots_adjust(
        left=0.75 / width, right=right, bottom=0.6 / height, top=1 - 0.12 / height,
        wspace=0.08, hspace=0.08,
    )  # fmt: skip
    for row in range(p):
        for column in range(p):
            axes = grid[row, column]
            if column > row:
                axes.set_visible(False)
                continue
            if row == column:
                _marginal(axes, scene, row)
            else:
                _panel(axes, scene, row, column)
            _dress(axes, scene, row, column)
    _legend(figure, scene, 1 - 0.1 / width)
    return figure


def _panel(axes: Any, scene: _Scene, row: int, column: int) -> None:
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - only a report needs it

    x, y = scene.points[:, column], scene.points[:, row]
    axes.scatter(x, y, s=3, c=scene.point_colours, lw=0, alpha=0.55, rasterized=True)
    outlines, colours, widths = [], [], []
    for j, covariance in scene.covariances.items():
        pair = np.array([column, row])
        root = _root(covariance[np.ix_(pair, pair)])
        for radius, line_width in zip(_RADII, (1.4, 0.8), strict=True):
            outlines.append((scene.means[j, pair][:, None] + radius * root @ _CIRCLE).T)
            colours.append(scene.colours[j])
            widths.append(line_width)
    # A dark line below keeps light ellipses apart from points of their own colour.
    axes.add_collection(LineCollection(outlines, colors=INK, linewidths=np.array(widths) + 0.9,
                                       alpha=0.55, zorder=3))  # fmt: skip
    axes.add_collection(LineCollection(outlines, colors=colours, linewidths=widths, zorder=4))
    axes.set_ylim(*scene.limits[row])
    if scene.features.size <= _NUMBERED_FEATURES:
        _number_components(axes, scene, row, column)


def _number_components(axes: Any, scene: _Scene, row: int, column: int) -> None:
    from matplotlib.patheffects import withStroke  # noqa: PLC0415 - only a report needs it

    halo = [withStroke(linewidth=2.2, foreground="white")]
    (left, right), (low, high) = scene.limits[column], scene.limits[row]
    for j in scene.covariances:
        x, y = scene.means[j, column], scene.means[j, row]
        if left <= x <= right and low <= y <= high:
            axes.text(x, y, str(j), ha="center", va="center", fontsize=7.5, weight="bold",
                      path_effects=halo, zorder=5)  # fmt: skip


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _marginal(axes: Any, scene: _Scene, place: int) -> None:
    low, high = scene.limits[place]
    x = scene.points[:, place]
    inside = x[(x >= low) & (x <= high)]
    counts, edges = np.histogram(inside, bins=50, range=(low, high))
    density = counts / max(x.size, 1) / np.diff(edges)
    axes.stairs(density, edges, fill=True, color="#dfe3e8")
    at = np.linspace(low, high, 400)
    for j, covariance in scene.covariances.items():
        variance = covariance[place, place]
        if variance > 0:
            z = (at - scene.means[j, place]) ** 2 / variance
            curve = scene.weights[j] * np.exp(-0.5 * z) / np.sqrt(2 * np.pi * variance)
            axes.plot(at, curve, color=scene.colours[j], lw=1.2)
    # Square roots: one tight component would flatten all others.
    axes.set_yscale("function", functions=(_signed_root, np.square))
    axes.set_ylim(0, 1.15 * max(float(density.max()), 1e-300))


def _signed_root(values: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(values, 0.0)))


def _dress(axes: Any, scene: _Scene, row: int, column: int) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - only a report needs it

    last = scene.features.size - 1
    axes.set_xlim(*scene.limits[column])
    axes.xaxis.set_major_locator(MaxNLocator(4 if last < 3 else 3))
    axes.yaxis.set_major_locator(MaxNLocator(4 if last < 3 else 3))
    axes.tick_params(labelsize=7, labelbottom=row == last, labelleft=column == 0 and row > 0)
    if row == column:
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    if row == last:
        axes.set_xlabel(scene.names[column], fontsize=8)
    else:
        axes.xaxis.offsetText.set_visible(False)
    if column == 0 and row > 0:
        axes.set_ylabel(scene.names[row], fontsize=8)
    else:
        axes.yaxis.offsetText.set_visible(False)


def _legend(figure: Any, scene: _Scene, right: float) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - only a report needs it

    marks, labels = [], []
    for j in scene.drawn:
        marks.append(Line2D([], [], marker="o", ls="", ms=6, color=scene.colours[j]))
        labels.append(f"{j} · {100 * scene.weights[j]:.3g} %")
    if (scene.point_colours == 0.72).all(axis=1).any():
        marks.append(Line2D([], [], marker="o", ls="", ms=6, color=FAINT))
        labels.append("others")
    rows = _LEGEND_ROWS if scene.features.size > 2 else _LEGEND_ROWS_OF_WIDE_PANELS
    figure.legend(
        marks, labels, title="component · weight", title_fontsize=8, loc="upper right",
        bbox_to_anchor=(right, 0.99), ncols=-(-len(labels) // rows), handletextpad=0.1,
    )  # fmt: skip


def _caption(components: Components, scene: _Scene, drawn: int, in_sample: int) -> str:
    p, d, k = scene.features.size, components.n_features, components.n_components
    return sentence(
        f"{drawn:,} of the {in_sample:,} rows of the fixed sample, coloured by their most "
        "likely component; ellipses hold 68 % and 95 % of a component; the diagonal shows the "
        "sample's density in grey with each component's weighted density (square-root scale).",
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
