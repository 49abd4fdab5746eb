"""Log-likelihood of rows that models have not seen, against the number of components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgmm.report.charts.axes import Box
from dgmm.report.charts.series import series_legend
from dgmm.report.charts.svg import Drawing
from dgmm.report.figure import PAGE_WIDTH, OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number, shortened
from dgmm.report.model_curves import Curves, Level, Panel, distances, draw_distances, draw_levels
from dgmm.report.run_data import RunRecord
from dgmm.report.selection import finite, key_of, name_of
from dgmm.report.table import Table

_TITLE = "Held-out log-likelihood"


def held_out_figures(record: RunRecord) -> list[ReportFigure | OmittedFigure]:
    """Held-out log-likelihood per row, a line for each family; none where no rows were held out."""
    selection, models = record.section("selection"), _models(record)
    if not models:
        return []
    curves = _curves(models)
    if not curves:
        return [OmittedFigure(_TITLE, "no model has a finite one")]
    chosen, best = name_of(selection.get("chosen")), name_of(_section(selection).get("best"))
    caption = sentence(
        "Mean log-likelihood of the rows that a model was not fitted to, nats per row, higher is "
        f"better. The ring marks the chosen model, {chosen}; {best} has the highest.",
        "Bars are one standard error of the difference to that one, of the same rows. Right: how "
        "far models are below it, on a logarithmic scale, 0 at its lower end.",
    )
    alt = f"Held-out log-likelihood against the number of components; {chosen} was chosen."
    drawing = _drawing(curves, selection)
    return [ReportFigure("held-out", _TITLE, caption, alt, drawing, _numbers(curves))]


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


def _drawing(curves: Curves, selection: Mapping[str, Any]) -> Drawing:
    drawing = Drawing(PAGE_WIDTH, 330)
    half, chosen = drawing.width / 2, selection.get("chosen") or {}
    titles = ("Held-out log-likelihood", "Below the highest")
    left, right = (
        Panel(drawing, Box(x, 0, half, 295), "nats per row", title)
        for x, title in zip((0, half), titles, strict=True)
    )
    draw_levels(left, curves, chosen)
    below, tolerance = distances(curves, max, -1.0), finite(selection.get("tolerance")) or 0.0
    draw_distances(right, below, chosen, tolerance)
    series_legend(drawing, [shortened(name, 18) for name in curves], 40, 318)
    return drawing


def _numbers(curves: Curves) -> Table:
    rows = [
        (shortened(family, 40), number(k), number(level, 8), number(high - level, 3))
        for family, line in curves.items()
        for k, level, _, high in line
    ]
    header = ("family", "components", "held-out log-likelihood", "standard error of the difference")
    return Table("Held-out log-likelihood per row", header, rows, frozenset({1, 2, 3}))


def _curves(models: list[dict[str, Any]]) -> Curves:
    """Levels by family, each with one standard error of the difference to the highest."""
    found: dict[str, list[Level]] = {}
    for one in models:
        k, level = one.get("n_components"), finite(one.get("mean_log_likelihood"))
        if isinstance(k, int) and level is not None:
            error = finite(one.get("standard_error")) or 0.0
            family = str(one.get("covariance_type"))
            found.setdefault(family, []).append(Level(k, level, level - error, level + error))
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
