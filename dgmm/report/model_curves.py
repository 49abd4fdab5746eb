"""Levels of several models against the number of components, a line for each family."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis, integers, power_ticks
from dgmm.report.charts.series import series
from dgmm.report.charts.svg import Drawing
from dgmm.report.formatting import number

#: Pixels between the markers of two families of the same size, so that no range hides another.
_APART = 6.0
#: Sizes that have a tick each, and how much the gaps between them differ where their axis is
#: logarithmic.
_MOST_TICKS, _UNEVEN = 12, 3.0
_MOST_POWERS = 6
#: Of a level below all others that still has a place on a logarithmic axis.
_LEAST = 1e-9


class Level(NamedTuple):
    """A model's value, and the range about it that it is known within; equal where none is known.

    Attributes
    ----------
    size
        Components that were asked for.
    value, low, high
        In the units of the figure.
    """

    size: int
    value: float
    low: float
    high: float


Curves = Mapping[str, Sequence[Level]]


class Panel(NamedTuple):
    """A part of a drawing that curves are drawn into; the label is that of the vertical axis."""

    drawing: Drawing
    box: Box
    label: str
    title: str

    def axes(self, x: Axis, y: Axis) -> Axes:
        """Its axes, with lines of a grid."""
        return Axes(self.drawing, self.box, x, y, title=self.title, grid="xy")


def every(curves: Curves) -> list[Level]:
    """The levels of all families."""
    return [level for line in curves.values() for level in line]


def size_axis(sizes: Iterable[int]) -> Axis:
    """An axis of numbers of components, logarithmic where they grow by a factor."""
    found = sorted(set(sizes))
    gaps = [b - a for a, b in pairwise(found)]
    ticks = [(float(k), number(k)) for k in found] if len(found) <= _MOST_TICKS else None
    if gaps and max(gaps) > _UNEVEN * min(gaps):
        margin = (found[-1] / found[0]) ** 0.08
        low, high = found[0] / margin, found[-1] * margin
        return Axis(low, high, "components", "log", ticks=ticks or integers(low, high, 10))
    margin = 0.5 if len(found) == 1 else max(0.08 * (found[-1] - found[0]), 0.3)
    low, high = found[0] - margin, found[-1] + margin
    return Axis(low, high, "components", ticks=ticks or integers(low, high, 10))


def draw_levels(
    panel: Panel,
    curves: Curves,
    chosen: Mapping[str, Any],
    tolerance: tuple[float, float] | None = None,
) -> None:
    """Values on a linear axis; the chosen model has a ring, what the tolerance allows a band."""
    levels = every(curves)
    ends = [end for _, value, low, high in levels for end in (value, low, high)]
    axes = panel.axes(size_axis(one.size for one in levels), Axis.around(ends, panel.label))
    if tolerance is not None:
        axes.rectangles([axes.x.low], [axes.x.high], [tolerance[0]], [tolerance[1]], "band accent")
    _draw(axes, curves, chosen)


def draw_distances(
    panel: Panel, curves: Curves, chosen: Mapping[str, Any], tolerance: float = 0.0
) -> None:
    """Distances to the best model on a logarithmic axis, whose own, 0, lies at the lower end."""
    y, zero = _distance_axis(curves, panel.label, tolerance)
    shown = {
        family: [Level(k, *(max(each, zero) for each in rest)) for k, *rest in line]
        for family, line in curves.items()
    }
    axes = panel.axes(size_axis(one.size for one in every(curves)), y)
    if tolerance > 0:
        axes.across(tolerance, "line dashed soft")
        text = f"tolerance {number(tolerance)}"
        axes.note(text, axes.x.high, tolerance, dx=-2, dy=-4, anchor="end", css="halo")
    _draw(axes, shown, chosen)


def _distance_axis(curves: Curves, label: str, tolerance: float) -> tuple[Axis, float]:
    """A logarithmic axis of all that is not 0, and the place on it where 0 is drawn."""
    ends = [end for one in every(curves) for end in (one.value, one.high) if end > _LEAST]
    known = [*ends, tolerance] if tolerance > 0 else ends
    first = math.floor(math.log10(min(known, default=0.1)) + 1e-9)
    last = max(math.ceil(math.log10(max(known, default=1.0))), first + 1)
    zero, step = 10.0 ** (first - 1), -(-(last - first + 1) // _MOST_POWERS)
    ticks = power_ticks(range(first, last + 1, step))
    return Axis(zero / 1.8, 10.0**last, label, "log", ticks=[(zero, "0"), *ticks]), zero


def _draw(axes: Axes, curves: Curves, chosen: Mapping[str, Any]) -> None:
    for i, (family, line) in enumerate(curves.items()):
        moved = _APART * (i - (len(curves) - 1) / 2)
        one = series(i)
        for k, _, low, high in line:
            if high > low:
                axes.whisker(k, low, high, f"line {one.css}", moved=moved)
        one.line(axes, [level.size for level in line], [level.value for level in line], moved)
        for k, value, _, _ in line:
            if (k, family) == (chosen.get("n_components"), chosen.get("covariance_type")):
                x, y = axes.at(k, value)
                axes.drawing.put("circle", "ring accent", cx=float(x) + moved, cy=float(y), r=8)


def distances(curves: Curves, best: Callable[[Sequence[float]], float], sign: float) -> Curves:
    """How far each value is from the best one: above the lowest (+1), below the highest (−1)."""
    at = best([level.value for level in every(curves)])
    return {
        family: [
            Level(k, sign * (value - at), *sorted((sign * (low - at), sign * (high - at))))
            for k, value, low, high in line
        ]
        for family, line in curves.items()
    }
