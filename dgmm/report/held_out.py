"""Log-likelihood of rows that models have not seen, against the number of components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgmm.report.charts.axes import Axes, Box, transposed
from dgmm.report.charts.axis import Axis, integers
from dgmm.report.charts.svg import Drawing
from dgmm.report.figure import PAGE_WIDTH, OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number, shortened
from dgmm.report.run_data import RunRecord
from dgmm.report.selection import LINES, finite, key_of, name_of
from dgmm.report.table import Table

_TITLE = "Held-out log-likelihood"


def held_out_figures(record: RunRecord) -> list[ReportFigure | OmittedFigure]:
    """Held-out log-likelihood per row, a line for each family; none where no rows were held out."""
    selection, models = record.section("selection"), _models(record)
    if not models:
        return []
    lines = _lines(models)
    if not lines:
        return [OmittedFigure(_TITLE, "no model has a finite one")]
    chosen, best = name_of(selection.get("chosen")), name_of(_section(selection).get("best"))
    caption = sentence(
        "Mean log-likelihood of the rows that a model was not fitted to, nats per row, higher is "
        f"better. The ring marks the chosen model, {chosen}; {best} has the highest.",
        "Bars are one standard error of the difference to that one, of the same rows.",
    )
    alt = f"Held-out log-likelihood against the number of components; {chosen} was chosen."
    drawing = _drawing(lines, selection)
    return [ReportFigure("held-out", _TITLE, caption, alt, drawing, _numbers(lines))]


def held_out_table(record: RunRecord) -> Table | None:
    """Every model: held-out log-likelihood, what it is below the best, and over the folds."""
    selection, models = record.section("selection"), _models(record)
    if not models:
        return None
    chosen = selection.get("chosen")
    rows = [
        (
            name_of(one) + (" (chosen)" if _is(one, chosen) else ""),
            number(one.get("mean_log_likelihood"), 7),
            number(one.get("below_best"), 4),
            number(one.get("standard_error"), 2),
            *_extremes(one.get("by_fold")),
        )
        for one in models
    ]
    counts = _section(selection).get("rows")
    n_folds = len(counts) if isinstance(counts, list) else 0
    note = sentence(
        f"The rule: {selection.get('rule')}.",
        f"Rows are in {n_folds} parts by a hash of their number; every model was fitted without "
        "each part, whose rows were then scored. Differences are those of the same rows, with "
        "their standard error: between parts all models differ alike.",
    )
    header = (
        *("model", "mean held-out log-likelihood", "below the highest"),
        *("standard error of that", "lowest fold", "highest fold"),
    )
    return Table(_TITLE, header, rows, frozenset(range(1, 6)), note)


def _drawing(
    lines: Mapping[str, list[tuple[int, float, float]]], selection: Mapping[str, Any]
) -> Drawing:
    drawing = Drawing(PAGE_WIDTH, 330)
    points = [point for line in lines.values() for point in line]
    first, last = min(k for k, _, _ in points) - 0.5, max(k for k, _, _ in points) + 0.5
    y = Axis.around(
        [level + sign * error for _, level, error in points for sign in (-1, 1)],
        "held-out log-likelihood [nats per row]",
    )
    x = Axis(first, last, "components", ticks=integers(first, last, 10))
    axes = Axes(drawing, Box(0, 0, drawing.width, 300), x, y, grid="xy")
    chosen = selection.get("chosen") or {}
    for i, (family, line) in enumerate(lines.items()):
        css = LINES[i % len(LINES)]
        for k, level, error in line:
            axes.line([k, k], [level - error, level + error], f"line {css}")
            if (k, family) == (chosen.get("n_components"), chosen.get("covariance_type")):
                axes.dots([k], [level], "ring accent", radius=7)
        axes.line(*transposed((k, level) for k, level, _ in line), f"line {css}", dots=2.5)
        drawing.legend([(shortened(family, 18), f"area {css}", None)], 70 + 150 * i, 310)
    return drawing


def _numbers(lines: Mapping[str, list[tuple[int, float, float]]]) -> Table:
    rows = [
        (shortened(family, 40), number(k), number(level, 8), number(error, 3))
        for family, line in lines.items()
        for k, level, error in line
    ]
    header = ("family", "components", "held-out log-likelihood", "standard error of the difference")
    return Table("Held-out log-likelihood per row", header, rows, frozenset({1, 2, 3}))


def _lines(models: list[dict[str, Any]]) -> dict[str, list[tuple[int, float, float]]]:
    """Components, level and standard error by family."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for one in models:
        k, level = one.get("n_components"), finite(one.get("mean_log_likelihood"))
        error = finite(one.get("standard_error")) or 0.0
        if isinstance(k, int) and level is not None:
            found.setdefault(str(one.get("covariance_type")), []).append((k, level, error))
    return {family: sorted(line) for family, line in found.items()}


def _section(selection: Mapping[str, Any]) -> Mapping[str, Any]:
    found = selection.get("held_out")
    return found if isinstance(found, dict) else {}


def _models(record: RunRecord) -> list[dict[str, Any]]:
    found = _section(record.section("selection")).get("models")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _is(one: Mapping[str, Any], chosen: Any) -> bool:
    return isinstance(chosen, dict) and key_of(one) == key_of(chosen)


def _extremes(by_fold: Any) -> tuple[str, str]:
    values = [v for v in map(finite, by_fold) if v is not None] if isinstance(by_fold, list) else []
    if not values:
        return number(None), number(None)
    return number(min(values), 5), number(max(values), 5)
