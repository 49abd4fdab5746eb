"""Drift as a figure: how far each component has changed, beside what would be an alarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.svg import Drawing
from dgmm.report.figure import PAGE_WIDTH, OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number
from dgmm.report.run_data import RunRecord
from dgmm.report.selection import finite
from dgmm.report.table import Table

_TITLE = "Size of the changes"
_MOST = 40
_LINE, _FRAME, _LABELS = 22, 48, 92

Entry = Mapping[str, Any]


def drift_figures(record: RunRecord) -> list[ReportFigure | OmittedFigure]:
    """Distances, weights and means by component; none where drift was not measured."""
    drift = record.section("drift")
    found = drift.get("components")
    components = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    if not components:
        return []
    shown = sorted(sorted(components, key=_change, reverse=True)[:_MOST], key=_index)
    limits = drift.get("thresholds")
    limits = limits if isinstance(limits, dict) else {}
    drawing = _drawing(shown, limits)
    n_alarms = sum(bool(one.get("alarms")) for one in components)
    caption = sentence(
        "How far each component is from where it was: the Hellinger distance, the change of its "
        "weight, and how far its mean has moved. Dashed lines are the sizes that an alarm exceeds; "
        "it also has to exceed what chance explains.",
        "Filled squares are alarms." if n_alarms else "There is no alarm.",
        "A component without a point has too few rows now, or is noise."
        if any(finite(one.get("hellinger")) is None for one in shown)
        else "",
        f"The {_MOST} of {len(components):,} that changed most are drawn."
        if len(components) > _MOST
        else "",
    )
    alt = f"Changes of {len(shown)} components; {n_alarms} of them are alarms."
    return [ReportFigure("drift", _TITLE, caption, alt, drawing, _numbers(shown))]


def _drawing(shown: Sequence[Entry], limits: Mapping[str, Any]) -> Drawing:
    height = _FRAME + _LINE * len(shown)
    drawing = Drawing(PAGE_WIDTH, height)
    width = (drawing.width - _LABELS) / 3
    hellinger, weight = (finite(limits.get(name)) or 0.0 for name in ("hellinger", "weight"))
    panels = (
        ("Hellinger distance", "component", lambda one: one.get("hellinger"), (hellinger,)),
        ("change of weight", "weight", _weight_change, (-weight, weight)),
        ("mean moved [sd]", "component", lambda one: one.get("shift"), ()),
    )
    for i, (label, kind, value, lines) in enumerate(panels):
        box = Box(_LABELS + i * width, 0, width, height)
        _panel(drawing, box, shown, label, kind, value, lines, shows_names=i == 0)
    return drawing


def _panel(
    drawing: Drawing,
    box: Box,
    shown: Sequence[Entry],
    label: str,
    kind: str,
    value: Callable[[Entry], Any],
    lines: Sequence[float],
    *,
    shows_names: bool,
) -> None:
    """One measure: a point for each component, its name at the left of the first panel."""
    values = [finite(value(one)) for one in shown]
    known = [0.0, *lines, *(v for v in values if v is not None)]
    margin = 0.08 * (max(known) - min(known) or 1.0)
    low = min(known) - margin if min(known) < 0 else 0.0
    ticks = [(float(i), f"component {_index(one)}") for i, one in enumerate(shown)]
    inner = Box(box.x + 14, 6, box.width - 28, _LINE * len(shown))
    axes = Axes(drawing, box, Axis(low, max(known) + margin, label, count=3),
                Axis(len(shown) - 0.5, -0.5, ticks=ticks), grid="xy", shows_y=shows_names,
                inner=inner)  # fmt: skip
    for line in lines:
        if line:
            axes.upright(line, "line dashed soft")
    for i, (one, found) in enumerate(zip(shown, values, strict=True)):
        if found is None:
            continue
        x, y = (float(v) for v in axes.at(found, i))
        if kind in (one.get("alarms") or ()):
            drawing.put("rect", "dot accent", x=x - 5, y=y - 5, width=10, height=10)
        else:
            drawing.put("circle", "hollow one", cx=x, cy=y, r=4)


def _numbers(shown: Sequence[Entry]) -> Table:
    rows = [
        (
            number(one.get("component")),
            number(one.get("hellinger"), 4),
            number(_weight_change(one), 4),
            number(one.get("shift"), 4),
            "yes" if one.get("alarms") else "no",
        )
        for one in shown
    ]
    header = ("component", "Hellinger distance", "change of weight", "mean moved, sd", "alarm")
    return Table("Size of the changes of each component", header, rows, frozenset(range(4)))


def _weight_change(one: Entry) -> float | None:
    before, now = finite(one.get("weight")), finite(one.get("new_weight"))
    return None if before is None or now is None else now - before


def _change(one: Entry) -> tuple[bool, float]:
    return bool(one.get("alarms")), max(
        finite(one.get("hellinger")) or 0.0, abs(_weight_change(one) or 0.0)
    )


def _index(one: Entry) -> int:
    index = one.get("component")
    return index if isinstance(index, int) else 0
