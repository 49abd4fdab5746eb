"""The convergence figure: what was maximised, per iteration, every restart a line."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any

from dgmm.report.figure import (
    ACCENT,
    FAINT,
    OmittedFigure,
    ReportFigure,
    new_figure,
    render,
    sentence,
)
from dgmm.report.formatting import number, shortened
from dgmm.report.run_data import RunRecord

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
    figure = new_figure(9.0, 3.6)
    level, change = figure.subplots(1, 2, gridspec_kw={"wspace": 0.08})
    for key, line in lines.items():
        style = _style(key, chosen, lines)
        x, y = zip(*line, strict=True)
        level.plot(x, y, **style)
        steps = [(i, abs(b - a)) for (_, a), (i, b) in pairwise(line)]
        steps = [(i, step) for i, step in steps if step > 0]
        if steps:
            change.plot(*zip(*steps, strict=True), **(style | {"label": None}))
    tol = record.section("job").get("model", {}).get("tol")
    _dress(level, change, what, tol)
    if len(lines) > 1:
        level.legend(loc="lower right")
    last, name = lines[chosen][-1], _name(chosen, lines).capitalize()
    caption = sentence(
        f"Left: {_SHOWN[what]} (higher is better).",
        "Right: how much it changed from one iteration to the next, on a logarithmic scale"
        + (f", with model.tol = {number(tol)} as a dashed line." if _positive(tol) else "."),
        f"{name} was selected; it is drawn in colour, the others in grey."
        if len(lines) > 1
        else "",
        "Iterations without a change, or without a finite value, have no point on the right.",
    )
    alt = f"{name} ends at {number(last[1], 6)} nats per row in iteration {last[0]}."
    return render(figure, "convergence", title=title, caption=caption, alt=alt)


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


def _style(key: Key, chosen: Key, lines: dict[Key, Line]) -> dict[str, Any]:
    name = _name(key, lines)
    if key == chosen:
        label = f"{name} (selected)"
        return {"color": ACCENT, "lw": 1.8, "marker": "o", "ms": 3, "zorder": 3, "label": label}
    shown = name if len(lines) <= _NAMED_RESTARTS else None
    return {"color": FAINT, "lw": 1.0, "marker": ".", "ms": 3, "zorder": 2, "label": shown}


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _dress(level: Any, change: Any, what: str, tol: Any) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - only a report needs it

    level.set(xlabel="iteration", ylabel=f"{what} [nats per row]")
    change.set(xlabel="iteration", ylabel="|change| [nats per row]")
    if change.lines:
        change.set_yscale("log")
        if _positive(tol):
            change.axhline(tol, color="#52606d", ls="--", lw=1)
            change.annotate(
                "tol", (1, tol), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                textcoords="offset points", ha="right", fontsize=8,
            )  # fmt: skip
    else:
        change.text(0.5, 0.5, "no changes to show", ha="center", transform=change.transAxes)
        change.set_yticks([])
    for axes in (level, change):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True)
