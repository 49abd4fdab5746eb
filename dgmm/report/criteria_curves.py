"""Criteria of several models against the number of components, with their spread over starts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from dgmm.report.charts.axes import Box
from dgmm.report.charts.series import series_legend
from dgmm.report.charts.svg import Drawing
from dgmm.report.figure import PAGE_WIDTH, OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number, shortened
from dgmm.report.model_curves import (
    Curves,
    Level,
    Panel,
    distances,
    draw_distances,
    draw_levels,
    every,
)
from dgmm.report.run_data import RunRecord
from dgmm.report.selection import finite, name_of, selected_models
from dgmm.report.table import Table

_TITLE = "Criteria of all models"
_CRITERIA = ("bic", "icl", "aic")
_HEIGHT, _PANEL = 570, 265.0
#: Restarts whose likelihood says something.
_USABLE = ("CONVERGED", "MAX_ITER_REACHED")

#: By family and size: the lowest and highest mean log-likelihood that restarts of it ended with.
Spread = Mapping[tuple[str, int], tuple[float, float]]


def selection_figure(record: RunRecord) -> ReportFigure | OmittedFigure:
    """BIC, ICL and AIC per row against the number of components, a line for each family."""
    selection = record.section("selection")
    spread = _spread(record)
    curves = {name: _curves(record, name, spread) for name in _CRITERIA}
    if not curves["bic"]:
        return OmittedFigure(_TITLE, "no model has a finite BIC")
    chosen = name_of(selection.get("chosen"))
    has_spread = any(one.high > one.low for one in every(curves["bic"]))
    caption = sentence(
        "BIC, ICL and AIC divided by twice the number of rows: nats per row, lower is better. "
        "Upper right: how far BIC is above its lowest value, on a logarithmic scale, 0 at its "
        "lower end.",
        f"The ring marks the chosen model, {chosen}: {selection.get('rule', 'lowest BIC')}.",
        "Bars of BIC and AIC reach from the best to the worst of the starts that EM went on from "
        "over all rows; models of one such start have none."
        if has_spread
        else "EM went over all rows from one start for each model: model.n_init: 5 shows how far "
        "starts differ.",
    )
    alt = f"Criteria against the number of components; {chosen} was chosen."
    drawing = _drawing(curves, selection)
    return ReportFigure("selection", _TITLE, caption, alt, drawing, _numbers(curves))


def _drawing(curves: Mapping[str, Curves], selection: Mapping[str, Any]) -> Drawing:
    drawing = Drawing(PAGE_WIDTH, _HEIGHT)
    chosen = selection.get("chosen") or {}
    by_bic = "held_out" not in selection
    tolerance = finite(selection.get("tolerance")) or 0.0 if by_bic else 0.0
    half = drawing.width / 2
    places = {"bic": (0.0, 0.0), "icl": (0.0, _PANEL), "aic": (half, _PANEL)}
    for name, (x, y) in places.items():
        if curves[name]:
            title = f"{name.upper()} / (2 n)"
            panel = Panel(drawing, Box(x, y, half, _PANEL), "nats per row", title)
            draw_levels(panel, curves[name], chosen)
    above = distances(curves["bic"], min, 1.0)
    title = "BIC / (2 n) above the lowest"
    panel = Panel(drawing, Box(half, 0, half, _PANEL), "nats per row", title)
    draw_distances(panel, above, chosen, tolerance)
    series_legend(drawing, [shortened(name, 18) for name in curves["bic"]], 40, _HEIGHT - 24)
    return drawing


def _numbers(curves: Mapping[str, Curves]) -> Table:
    found: dict[tuple[str, int], dict[str, Level]] = defaultdict(dict)
    for name, families in curves.items():
        for family, line in families.items():
            for level in line:
                found[family, level.size][name] = level
    rows = [
        (
            shortened(family, 40),
            number(k),
            *(number(own[name].value if name in own else None, 8) for name in _CRITERIA),
            number(own["bic"].high - own["bic"].low if "bic" in own else None, 3),
        )
        for (family, k), own in found.items()
    ]
    header = ("family", "components", *(f"{name.upper()} / (2 n)" for name in _CRITERIA))
    header += ("range over starts",)
    return Table("Criteria per row", header, rows, frozenset({1, 2, 3, 4, 5}))


def _curves(record: RunRecord, criterion: str, spread: Spread) -> Curves:
    """A criterion per row by family; ICL has no range, as entropies of restarts are not known."""
    n_rows = finite(record.section("selection").get("rows"))
    found: dict[str, list[Level]] = defaultdict(list)
    for one in selected_models(record):
        value, k = finite(one.get(criterion)), one.get("n_components")
        if value is None or not isinstance(k, int) or not n_rows or not one.get("is_sound"):
            continue
        family, level = str(one.get("covariance_type")), value / (2.0 * n_rows)
        own, ends = finite(one.get("mean_log_likelihood")), spread.get((family, k))
        low = high = level
        if criterion != "icl" and own is not None and ends is not None:
            low, high = min(level, level + own - ends[1]), max(level, level + own - ends[0])
        found[family].append(Level(k, level, low, high))
    return {family: sorted(line) for family, line in found.items()}


def _spread(record: RunRecord) -> Spread:
    levels: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one in record.entries("restarts"):
        value = finite(one.get("mean_log_likelihood"))
        if value is not None and one.get("outcome") in _USABLE:
            levels[str(one.get("covariance_type")), one.get("n_components") or 0].append(value)
    return {key: (min(found), max(found)) for key, found in levels.items() if len(found) > 1}
