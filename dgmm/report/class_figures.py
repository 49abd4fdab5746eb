"""Figures of a run that classifies: which classes are confused, and how sure is right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.heat_map import heat_map
from dgmm.report.charts.svg import Drawing
from dgmm.report.figure import OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number, percent, shortened
from dgmm.report.table import Table

#: Classes of the confusion matrix.
_MOST_CONFUSED = 30
_PANEL, _COUNTS = 380.0, 110.0
#: Standard normal quantile of a 95 % interval.
_Z = 1.959964


def confusion_figure(words: str, evaluation: Mapping[str, Any]) -> ReportFigure | OmittedFigure:
    """Which share of each class was predicted as which."""
    title = f"Confusion matrix of {words}"
    names = [shortened(str(name), 24) for name in evaluation.get("names") or ()]
    shown = names[:_MOST_CONFUSED]
    lines = [line[: len(shown)] for line in (evaluation.get("confusion") or [])[: len(shown)]]
    if not lines:
        return OmittedFigure(title, "run.json has no confusion matrix")
    totals = np.array([sum(line) for line in evaluation["confusion"]], float)[: len(shown)]
    counts = np.array(lines, dtype=np.float64)
    shares = np.divide(counts, totals[:, None], out=np.full_like(counts, np.nan),
                       where=totals[:, None] > 0)  # fmt: skip
    more = len(names) - len(shown)
    caption = sentence(
        "A line for each class, a column for each predicted one: the share of the class's "
        f"{words.partition(',')[0].rpartition(' ')[2]} that were predicted so, in %. Right "
        "predictions lie on the diagonal.",
        "A grey line has nothing to compare." if np.isnan(shares).any() else "",
        f"{more:,} more classes are in run.json." if more > 0 else "",
    )
    rows = [
        (name, *(number(count) for count in line)) for name, line in zip(shown, lines, strict=True)
    ]
    table = Table(title, ("class", *shown), rows, frozenset(range(1, len(shown) + 1)))
    texts = [["" if math.isnan(v) else f"{100 * v:.0f}" for v in own] for own in shares]
    drawing = heat_map(
        *(shares, shown, shown),
        row_label="class",
        column_label="predicted",
        texts=texts,
        bar_label="share of the class",
    )
    return ReportFigure(_name("confusion", words), title, caption, _most_confused(shares, shown),
                        drawing, table)  # fmt: skip


def _most_confused(shares: Any, names: list[str]) -> str:
    off = np.where(np.eye(len(names), dtype=bool) | np.isnan(shares), -1.0, shares)
    own, other = np.unravel_index(int(np.argmax(off)), off.shape)
    if off[own, other] <= 0:
        return "Heat map. No class is taken for another."
    share = percent(float(off[own, other]))
    return f"Heat map. Most confused: {share} of {names[own]} are predicted as {names[other]}."


def calibration_figure(words: str, evaluation: Mapping[str, Any]) -> ReportFigure | OmittedFigure:
    """A reliability diagram: accuracy against the posterior of the predicted class."""
    title = f"Calibration, {words}"
    bins = [each for each in evaluation.get("calibration") or () if each.get("rows")]
    if not bins:
        return OmittedFigure(title, "run.json has nothing of it")
    what = words.partition(",")[0].rpartition(" ")[2]
    caption = sentence(
        f"How often predictions are right (upwards) of {what} whose predicted class has a "
        "posterior in a tenth of its range. Points on the dashed line are calibrated; below it "
        "posteriors are too high, above it too low. Bars are 95 % intervals of the accuracy "
        f"(Wilson 1927), as of independent {what}"
        f"{'; those of one group are not' * (what == 'rows')}.",
        f"Below: how many {what} have such a posterior.",
    )
    rows = [
        (
            f"{number(each.get('low'))} to {number(each.get('high'))}",
            number(each.get("rows")),
            number(each.get("mean_posterior"), 4),
            number(each.get("accuracy"), 4),
        )
        for each in bins
    ]
    header = ("posterior of the predicted class", "compared", "mean posterior", "accuracy")
    table = Table(title, header, rows, frozenset({1, 2, 3}))
    error = number(evaluation.get("calibration_error"), 3)
    alt = f"Reliability diagram. Posterior and accuracy differ by {error} on average."
    return ReportFigure(_name("calibration", words), title, caption, alt, _reliability(bins, what),
                        table)  # fmt: skip


def _reliability(bins: list[Mapping[str, Any]], what: str) -> Drawing:
    drawing = Drawing(_PANEL, _PANEL + _COUNTS)
    x = Axis(0.0, 1.0)
    left = 60.0
    inner = Box(left, 8, _PANEL - left - 10, _PANEL - 38)
    axes = Axes(drawing, Box(0, 0, _PANEL, _PANEL), x, Axis(0.0, 1.0, "accuracy"), grid="xy",
                inner=inner)  # fmt: skip
    axes.line([0, 1], [0, 1], "line dashed soft")
    for one in bins:
        n, right, at = (float(one[name]) for name in ("rows", "accuracy", "mean_posterior"))
        axes.whisker(at, *wilson(right, n), "line one")
        axes.dots([at], [right], "dot one", radius=4.5)
    counts = [float(one["rows"]) for one in bins]
    below = Box(left, _PANEL, inner.width, _COUNTS - 42)
    bars = Axes(
        drawing,
        Box(0, _PANEL - 8, _PANEL, _COUNTS + 8),
        Axis(0.0, 1.0, "posterior of the predicted class"),
        Axis(0.0, 1.05 * max(counts), what, count=2),
        inner=below,
    )
    lows, highs = ([float(one[name]) for one in bins] for name in ("low", "high"))
    bars.rectangles(lows, highs, [0.0] * len(bins), counts, "bar")
    return drawing


def wilson(share: float, n: float) -> tuple[float, float]:
    """A 95 % interval of a share of `n` rows (Wilson, J. Am. Stat. Assoc. 22, 1927).

    Examples
    --------
    >>> [round(end, 3) for end in wilson(0.9, 20)]
    [0.699, 0.972]
    """
    middle, width = share + _Z**2 / (2 * n), share * (1 - share) / n + _Z**2 / (4 * n**2)
    half, scale = _Z * math.sqrt(width), 1 + _Z**2 / n
    return max((middle - half) / scale, 0.0), min((middle + half) / scale, 1.0)


def _name(kind: str, words: str) -> str:
    return f"{kind}-groups" if "groups" in words else kind
