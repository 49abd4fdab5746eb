"""The plane in which components differ most: a discriminant, or principal, projection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.model.mixture_model import MixtureModel
from dgmm.report.axis_units import drawn_range
from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.pixels import scattered
from dgmm.report.charts.svg import Drawing
from dgmm.report.components import Components, Floats
from dgmm.report.drawn_rows import DrawnRows
from dgmm.report.figure import OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number, percent, shortened
from dgmm.report.table import Table

_TITLE = "Projection in which the components differ most"
_MOST_ELLIPSES, _MOST_NUMBERED, _MOST_LOADINGS = 64, 40, 100
#: More features take a decomposition of minutes.
_MOST_FEATURES = 512
#: Fewer components have no two directions between their means.
_FEWEST_FOR_DISCRIMINANT = 3
#: Added to the pooled covariance, as a share of its mean variance: it may be singular.
_RIDGE = 1e-9
_RADIUS = float(np.sqrt(-2.0 * np.log(1.0 - 0.68)))
_SIDE, _LEGEND = 560, 150
_PIXELS = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Two directions.

    Parameters
    ----------
    axes : ndarray (d, 2)
        What standardised features are multiplied by.
    shares : ndarray (2,)
        Of the variance between components (discriminant), or of all (principal), that each has.
    is_discriminant : bool
    """

    axes: Floats
    shares: Floats
    is_discriminant: bool


def plane_of(model: MixtureModel) -> Plane:
    """Fisher's discriminant directions of the components, principal ones where they are too few.

    The discriminant maximises the variance of the components' means over the pooled variance in
    them (Fisher 1936; Rao 1948); along it, the pooled standard deviation is 1.
    """
    fitted = model.parameters
    d, weights = model.n_features, model.weights / fitted.gaussian_share
    within = np.zeros((d, d))
    features = np.arange(d)
    for j, weight in enumerate(weights):
        within += weight * fitted.family.covariance_among(fitted.covariances, j, features, d)
    offsets = np.sqrt(weights)[:, None] * (fitted.means - weights @ fitted.means)
    if model.n_components < _FEWEST_FOR_DISCRIMINANT:
        return Plane(*_largest(within + offsets.T @ offsets), is_discriminant=False)
    within[features, features] += _RIDGE * np.trace(within) / d + np.finfo(float).tiny
    values, vectors = np.linalg.eigh(within)
    root = vectors / np.sqrt(np.maximum(values, values[-1] * _RIDGE))
    whitened = offsets @ root
    directions, shares = _largest(whitened.T @ whitened)
    return Plane(root @ directions, shares, is_discriminant=True)


def _largest(matrix: Floats) -> tuple[Floats, Floats]:
    """The two eigenvectors of largest eigenvalue, each with its largest entry positive."""
    values, vectors = np.linalg.eigh(matrix)
    axes = vectors[:, [-1, -2]]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    total = max(float(values.sum()), np.finfo(float).tiny)
    return axes * np.where(signs == 0, 1.0, signs), values[[-1, -2]] / total


def projection(
    components: Components, model: MixtureModel, drawn: DrawnRows | str
) -> ReportFigure | OmittedFigure:
    """The sample's rows and the components' ellipses in that plane."""
    if isinstance(drawn, str):
        return OmittedFigure(_TITLE, drawn)
    if not 1 < model.n_features <= _MOST_FEATURES:
        return OmittedFigure(_TITLE, f"it takes 2 to {_MOST_FEATURES} features")
    plane = plane_of(model)
    points = model.standardisation.apply(drawn.rows, np.float64).T @ plane.axes
    centres = model.parameters.means @ plane.axes
    spreads = _projected_covariances(model, plane, components.heaviest[:_MOST_ELLIPSES])
    shown = len(spreads)
    what = "discriminant" if plane.is_discriminant else "principal"
    of = "the variance between components" if plane.is_discriminant else "all variance"
    caption = sentence(
        f"{len(drawn.rows):,} rows of the fixed sample in the two {what} directions, which have "
        f"{percent(float(plane.shares[0]))} and {percent(float(plane.shares[1]))} of {of}.",
        "Along them the pooled standard deviation in the components is 1."
        if plane.is_discriminant
        else "Fewer than three components have no plane between their means.",
        "Ellipses hold 68 % of a component.",
        f"Only the {shown} heaviest of {components.n_components:,} have one."
        if shown < components.n_components
        else "",
    )
    alt = f"Scatter plot of {len(drawn.rows):,} rows with the ellipses of {shown} components."
    drawing = _drawing(components, points, drawn.labels, centres, spreads, what)
    table = _table(components, centres, spreads)
    return ReportFigure("projection", _TITLE, caption, alt, drawing, table)


def loadings_table(components: Components, model: MixtureModel) -> Table | None:
    """What each feature adds along both directions when it grows by its standard deviation."""
    if not 1 < model.n_features <= _MOST_FEATURES:
        return None
    plane = plane_of(model)
    scaled = plane.axes * (components.spread / model.standardisation.scale)[:, None]
    order = np.argsort(-np.abs(scaled).max(axis=1), kind="stable")[:_MOST_LOADINGS]
    rows = [
        (shortened(components.names[f], 60), *(number(float(v), 3) for v in scaled[f]))
        for f in order
    ]
    header = ("feature", "first direction", "second direction")
    note = "What a direction gains where a feature grows by one standard deviation of all rows."
    return Table("Directions of the projection", header, rows, frozenset({1, 2}), note, n_open=10)


def _projected_covariances(
    model: MixtureModel, plane: Plane, shown: NDArray[np.int64]
) -> dict[int, Floats]:
    fitted, d = model.parameters, model.n_features
    features = np.arange(d)
    return {
        int(j): plane.axes.T
        @ fitted.family.covariance_among(fitted.covariances, int(j), features, d)
        @ plane.axes
        for j in shown
    }


def _drawing(
    components: Components,
    points: Floats,
    labels: NDArray[np.int64],
    centres: Floats,
    spreads: dict[int, Floats],
    what: str,
) -> Drawing:
    drawing = Drawing(_SIDE + 80 + _LEGEND, _SIDE)
    x, y = (
        Axis(*drawn_range(points[:, i]), f"{order} {what} direction")
        for i, order in enumerate(("first", "second"))
    )
    axes = Axes(drawing, Box(0, 0, _SIDE + 80, _SIDE), x, y, grid="")
    size = round(_PIXELS * axes.inner.width), round(_PIXELS * axes.inner.height)
    left, down = x.places(points[:, 0]) * size[0], (1 - y.places(points[:, 1])) * size[1]
    axes.image(scattered(left, down, components.colours_of(labels), size), "points")
    axes.begin()
    for j, covariance in spreads.items():
        axes.ellipse(centres[j], covariance, _RADIUS, "line under inner")
        axes.ellipse(centres[j], covariance, _RADIUS, "own line inner", components.hexadecimal[j])
    for j in list(spreads)[:_MOST_NUMBERED]:
        axes.note(str(j), *centres[j], dy=4, anchor="middle", css="halo")
    drawing.end()
    entries = [
        (f"{j} · {100 * components.weights[j]:.3g} %", "own area", components.hexadecimal[j])
        for j in list(spreads)[: (_SIDE - 40) // 17]
    ]
    drawing.legend(entries, _SIDE + 90, 14)
    return drawing


def _table(components: Components, centres: Floats, spreads: dict[int, Floats]) -> Table:
    rows = [
        (
            number(j),
            percent(float(components.weights[j])),
            *(number(float(value)) for value in centres[j]),
            *(number(float(value), 3) for value in np.sqrt(np.maximum(np.diag(covariance), 0.0))),
        )
        for j, covariance in spreads.items()
    ]
    header = (
        *("component", "weight", "first direction", "second direction"),
        *("standard deviation along the first", "along the second"),
    )
    return Table("Components in the projection", header, rows, frozenset(range(6)))
