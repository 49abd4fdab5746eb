"""The convergence figure: what was maximised, per iteration, every restart a line."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any

from dgmm.report.charts.axes import Axes, Box, transposed
from dgmm.report.charts.axis import Axis, integers
from dgmm.report.charts.svg import Drawing, text_width
from dgmm.report.figure import PAGE_WIDTH, OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number, shortened
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table

_LIKELIHOOD, _OBJECTIVE = "mean log-likelihood", "objective"
#: What the left side shows, by what was maximised.
_SHOWN = {
    _LIKELIHOOD: "mean log-likelihood per row",
    _OBJECTIVE: "the objective per row, which is the log-likelihood and what the prior adds",
}
_NAMED_RESTARTS = 8

Line = list[tuple[int, float]]
#: A restart, and the name of a start.
Key = tuple[int, str]


def convergence(record: RunRecord) -> ReportFigure | OmittedFigure:
    """What was maximised and its change against iterations, the selected start highlighted."""
    what = _maximised(record.metrics)
    title = f"{what.capitalize()} per iteration"
    lines = _lines(record.metrics, what, record.section("selection").get("chosen"))
    if not lines:
        return OmittedFigure(title, "the run has no iterations in metrics.csv")
    chosen = _selected(record, lines)
    tol = record.section("job").get("model", {}).get("tol")
    last, name = lines[chosen][-1], _name(chosen, lines).capitalize()
    caption = _caption(lines, what, name, tol if _positive(tol) else None)
    alt = f"{name} ends at {number(last[1], 6)} nats per row in iteration {last[0]}."
    drawing = _drawing(lines, chosen, what, float(tol) if _positive(tol) else None)
    return ReportFigure("convergence", title, caption, alt, drawing, _table(lines, chosen, what))


def _caption(lines: dict[Key, Line], what: str, name: str, tol: float | None) -> str:
    """What is drawn: the right side is there where an iteration changed the value."""
    several = f"{name} was selected; it is drawn in colour, the others in grey."
    several = several if len(lines) > 1 else ""
    if not any(map(_steps, lines.values())):
        alone = f"{_SHOWN[what].capitalize()} (higher is better)."
        return sentence(alone, "No iteration after the first changed it.", several)
    dashed = "" if tol is None else f", with model.tol = {number(tol)} as a dashed line"
    return sentence(
        f"Left: {_SHOWN[what]} (higher is better).",
        "Right: how much it changed from one iteration to the next, on a logarithmic scale"
        f"{dashed}.",
        several,
        "Iterations without a change, or without a finite value, have no point on the right.",
    )


def _maximised(metrics: list[dict[str, str]]) -> str:
    """The objective of a fit with a prior, where the run has noted it."""
    return _OBJECTIVE if any(row.get("objective") for row in metrics) else _LIKELIHOOD


def _lines(metrics: list[dict[str, str]], what: str, model: Any = None) -> dict[Key, Line]:
    """The lines of each start; of several models, those of one."""
    column = what.replace(" ", "_").replace("-", "_")
    wanted = {k: str(v) for k, v in model.items()} if isinstance(model, dict) else {}
    lines: dict[Key, Line] = defaultdict(list)
    for row in metrics:
        if any(row.get(name) != value for name, value in wanted.items()) or row.get("fold"):
            continue
        try:
            point = int(row["iteration"]), float(row[column])
            restart = int(row["restart"])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(point[1]) and row.get("step") != "tried":  # that one is of the sample
            lines[restart, row.get("start") or ""].append(point)
    return dict(lines)


def _selected(record: RunRecord, lines: dict[Key, Line]) -> Key:
    for restart in record.entries("restarts"):
        for key in lines:
            if restart.get("selected") and key == (
                restart.get("restart"),
                restart.get("start", ""),
            ):
                return key
    return max(lines, key=lambda key: lines[key][-1][1])


def _name(key: Key, lines: dict[Key, Line]) -> str:
    """The restart, and the start where it has several."""
    has_several = sum(restart == key[0] for restart, _ in lines) > 1
    return f"restart {key[0]}" + (f", start {shortened(key[1], 40)}" if has_several else "")


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _drawing(lines: dict[Key, Line], chosen: Key, what: str, tol: float | None) -> Drawing:
    drawing = Drawing(PAGE_WIDTH, 330)
    steps = {key: _steps(line) for key, line in lines.items()}
    changes = [value for line in steps.values() for _, value in line]
    half = drawing.width / 2 if changes else drawing.width
    last = max(i for line in lines.values() for i, _ in line)
    first = min(i for line in lines.values() for i, _ in line)
    x = Axis(first - 0.4, max(last, first + 1) + 0.4, "iteration",
             ticks=integers(first, max(last, first + 1)))  # fmt: skip
    y = Axis.around([v for line in lines.values() for _, v in line],
                    f"{what} [nats per row]", least=tol or 0.0)  # fmt: skip
    level = Axes(drawing, Box(0, 0, half, 330), x, y)
    change = None
    if changes:
        known = [*changes, tol] if tol else changes
        low, high = min(known) / 2, max(known) * 2
        scale = Axis(low, high, "|change| [nats per row]", "log")
        change = Axes(drawing, Box(half, 0, half, 330), x, scale)
        if tol:
            change.across(tol, "line dashed soft")
            change.note(f"tol = {number(tol)}", x.high, tol, dx=-2, dy=-4, anchor="end")
    for key in sorted(lines, key=lambda key: key == chosen):
        css = "accent" if key == chosen else "faint"
        level.line(*transposed(lines[key]), f"line {css}", dots=2.5)
        if change is not None and steps[key]:
            change.line(*transposed(steps[key]), f"line {css}", dots=2.5)
    if len(lines) > 1:
        _legend(drawing, level, lines, chosen)
    return drawing


def _legend(drawing: Drawing, level: Axes, lines: dict[Key, Line], chosen: Key) -> None:
    shown = [key for key in lines if key == chosen or len(lines) <= _NAMED_RESTARTS]
    entries = [
        (_name(key, lines) + " (selected)" * (key == chosen),
         f"area {'accent' if key == chosen else 'faint'}", None)
        for key in shown
    ]  # fmt: skip
    inner = level.inner
    width = 16 + max(text_width(label) for label, _, _ in entries)
    drawing.legend(entries, inner.x + max(inner.width - width, 8),
                   inner.y + inner.height - 8 - 17 * len(entries))  # fmt: skip


def _steps(line: Line) -> Line:
    """Changes from each iteration to the next, those of zero left out."""
    steps = [(i, abs(b - a)) for (_, a), (i, b) in pairwise(line)]
    return [(i, step) for i, step in steps if step > 0]


def _table(lines: dict[Key, Line], chosen: Key, what: str) -> Table:
    rows = [
        (_name(key, lines) + " (selected)" * (key == chosen), number(i), number(value, 8))
        for key, line in lines.items()
        for i, value in line
    ]
    header = ("start", "iteration", f"{what}, nats per row")
    return Table(f"{what.capitalize()} of each iteration", header, rows, frozenset({1, 2}))
