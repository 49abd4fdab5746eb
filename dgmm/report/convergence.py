"""The convergence figure: mean log-likelihood per iteration, every restart a line."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any

from dgmm.report.lettering import number
from dgmm.report.picture import ACCENT, FAINT, Absent, Picture, new_figure, picture, sentence
from dgmm.report.run_record import RunRecord

_TITLE = "Mean log-likelihood per iteration"
_NAMED_RESTARTS = 8

Line = list[tuple[int, float]]


def convergence(record: RunRecord) -> Picture | Absent:
    """Mean log-likelihood and its change against iterations, the selected restart highlighted."""
    lines = _lines(record.metrics)
    if not lines:
        return Absent(_TITLE, "the run has no iterations in metrics.csv")
    chosen = _selected(record, lines)
    figure = new_figure(9.0, 3.6)
    level, change = figure.subplots(1, 2, gridspec_kw={"wspace": 0.08})
    for restart, line in lines.items():
        style = _style(restart, chosen, len(lines))
        x, y = zip(*line, strict=True)
        level.plot(x, y, **style)
        steps = [(i, abs(b - a)) for (_, a), (i, b) in pairwise(line)]
        steps = [(i, step) for i, step in steps if step > 0]
        if steps:
            change.plot(*zip(*steps, strict=True), **(style | {"label": None}))
    tol = record.section("job").get("model", {}).get("tol")
    _dress(level, change, tol)
    if len(lines) > 1:
        level.legend(loc="lower right")
    last = lines[chosen][-1]
    caption = sentence(
        "Left: mean log-likelihood per row (higher is better).",
        "Right: how much it changed from one iteration to the next, on a logarithmic scale"
        + (f", with model.tol = {number(tol)} as a dashed line." if _positive(tol) else "."),
        f"Restart {chosen} was selected; it is drawn in colour, the others in grey."
        if len(lines) > 1
        else "",
        "Iterations without a change, or without a finite value, have no point on the right.",
    )
    alt = f"Restart {chosen} ends at {number(last[1], 6)} nats per row in iteration {last[0]}."
    return picture(figure, "convergence", title=_TITLE, caption=caption, alt=alt)


def _lines(metrics: list[dict[str, str]]) -> dict[int, Line]:
    lines: dict[int, Line] = defaultdict(list)
    for row in metrics:
        try:
            point = int(row["iteration"]), float(row["mean_log_likelihood"])
            restart = int(row["restart"])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(point[1]):
            lines[restart].append(point)
    return dict(lines)


def _selected(record: RunRecord, lines: dict[int, Line]) -> int:
    for restart in record.entries("restarts"):
        if restart.get("selected") and restart.get("restart") in lines:
            return int(restart["restart"])
    return max(lines, key=lambda restart: lines[restart][-1][1])


def _style(restart: int, chosen: int, count: int) -> dict[str, Any]:
    if restart == chosen:
        label = f"restart {restart} (selected)"
        return {"color": ACCENT, "lw": 1.8, "marker": "o", "ms": 3, "zorder": 3, "label": label}
    name = f"restart {restart}" if count <= _NAMED_RESTARTS else None
    return {"color": FAINT, "lw": 1.0, "marker": ".", "ms": 3, "zorder": 2, "label": name}


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _dress(level: Any, change: Any, tol: Any) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - only a report needs it

    level.set(xlabel="iteration", ylabel="mean log-likelihood [nats per row]")
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
