"""k-means and the covariance families on the same rows: what each costs, and says of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.heat_map import heat_map
from dgmm.report.charts.svg import Drawing
from dgmm.report.figure import PAGE_WIDTH, ReportFigure, sentence
from dgmm.report.formatting import Shown, number, percent, shortened
from dgmm.report.run_data import RunRecord
from dgmm.report.section import Section, section_of
from dgmm.report.table import Table

_TITLE = "Comparison of methods"


def comparison_section(record: RunRecord) -> Section:
    """The section; empty where the job has not asked for it."""
    found = record.section("comparison")
    if not found.get("methods"):
        return Section("comparison", _TITLE)
    both = (_held_out_figure(found), _agreement_figure(found))
    figures = [figure for figure in both if figure is not None]
    return section_of("comparison", _TITLE, figures, [_methods_table(found), _moved_table(found)])


def _methods_table(found: Mapping[str, Any]) -> Table:
    rows = [
        (
            shortened(str(one["name"]), 40),
            _nanoseconds(one["seconds_per_row"]),
            number(one["passes"]),
            number(one["n_parameters"]),
            number(one["held_out"], 6),
            number(one["below_best"], 4),
            number(one["standard_error"], 2),
            number(one["bic_per_row"], 6),
            _share(one["agreement_of_halves"]),
        )
        for one in found["methods"]
    ]
    header = (
        *("method", "time per row and pass", "passes", "free parameters"),
        *("held-out log-likelihood", "below the highest", "standard error of that", "BIC / n"),
        "agreement of halves",
    )
    note = sentence(
        f"All have {number(found['n_components'])} clusters and are fitted, mixtures by maximum "
        f"likelihood, to the same {number(found['fitted_rows'])} rows of the sample; one read of "
        f"all {number(found['rows'])} rows scores and labels them. Likelihoods are nats per row; "
        f"the held-out one is that of {number(found['held_out_rows'])} rows that no method has "
        "seen.",
        "k-means has no likelihood: compare it with the spherical mixture by their labels.",
        "Agreement of halves: share of unseen rows of the sample that fits to two halves of it "
        "label alike, once clusters are matched.",
        "Noise has the same density everywhere, and is held out at it: it pays where rows lie far "
        "from all clusters. Its rows are a cluster of their own."
        if any(str(one["name"]).endswith(" with noise") for one in found["methods"])
        else "",
        "Times are those of the fastest pass over the sample, on this machine.",
        *(f"{name} could not be fitted." for name in found.get("failed") or {}),
    )
    return Table("Methods", header, rows, frozenset(range(1, 9)), note)


def _nanoseconds(seconds: Any) -> Shown:
    if not isinstance(seconds, int | float):
        return number(None)
    return Shown(f"{number(1e9 * seconds, 3)} ns", seconds)


def _share(value: Any) -> Shown:
    return percent(float(value)) if isinstance(value, int | float) else number(None)


def _moved_table(found: Mapping[str, Any]) -> Table:
    names = _names(found)
    rows = [(name, *map(_share, own)) for name, own in zip(names, found["moved"], strict=True)]
    note = "Share of the rows that are in another cluster, once the clusters of both are matched."
    header = ("", *names)
    return Table("Rows in another cluster", header, rows, frozenset(range(1, len(header))), note)


def _names(found: Mapping[str, Any]) -> list[str]:
    return [shortened(str(one["name"]), 20) for one in found["methods"]]


def _held_out_figure(found: Mapping[str, Any]) -> ReportFigure | None:
    """Held-out log-likelihood of the mixtures, each with twice the error of its difference."""
    known = [one for one in found["methods"] if isinstance(one["held_out"], int | float)]
    if not known:
        return None
    best = max(known, key=lambda one: float(one["held_out"]))
    caption = sentence(
        "Log-likelihood of the rows that no method was fitted to, nats per row; higher is better.",
        f"The {best['name']} mixture has the highest. Lines are two standard errors of the "
        "difference to it, of the same rows.",
    )
    alt = f"Held-out log-likelihood of {len(known)} mixtures; {best['name']} has the highest."
    rows = [
        (shortened(str(one["name"]), 20), number(one["held_out"], 6),
         number(one["standard_error"], 2))
        for one in known
    ]  # fmt: skip
    header = ("mixture", "held-out log-likelihood", "standard error of the difference")
    table = Table("Held-out log-likelihood of the families", header, rows, frozenset({1, 2}))
    title = "Held-out log-likelihood"
    return ReportFigure("held-out-families", title, caption, alt, _levels(known), table)


def _levels(known: list[Mapping[str, Any]]) -> Drawing:
    count = len(known)
    drawing = Drawing(PAGE_WIDTH, 70 + 34 * count)
    levels = np.array([float(one["held_out"]) for one in known])
    errors = np.array([2.0 * float(one["standard_error"] or 0.0) for one in known])
    ticks = [(float(i), shortened(str(one["name"]), 20)) for i, one in enumerate(known)]
    x = Axis.around(np.stack([levels - errors, levels + errors]), "nats per row", 0.08)
    axes = Axes(drawing, Box(0, 0, PAGE_WIDTH, drawing.height), x,
                Axis(count - 0.4, -0.6, ticks=ticks), grid="x")  # fmt: skip
    for i, (level, error) in enumerate(zip(levels, errors, strict=True)):
        axes.line([level - error, level + error], [i, i], "line one")
        axes.dots([level], [i], "dot one", radius=4.5)
    return drawing


def _agreement_figure(found: Mapping[str, Any]) -> ReportFigure | None:
    """Adjusted Rand index of every pair of methods."""
    names, values = _names(found), np.array(found["adjusted_rand_index"], dtype=np.float64)
    if len(names) < 2:
        return None
    cells = [(name, *(number(float(v), 3) for v in own))
             for name, own in zip(names, values, strict=True)]  # fmt: skip
    table = Table("Adjusted Rand index", ("", *names), cells, frozenset(range(1, len(names) + 1)))
    caption = sentence(
        "Adjusted Rand index of the labels of all rows: 1 where two methods have the same "
        "clusters, 0 where they agree as by chance.",
        _against_spherical(names, values),
    )
    off = np.where(np.eye(len(names), dtype=bool), np.inf, values)
    first, second = np.unravel_index(int(np.argmin(off)), off.shape)
    alt = (
        f"Heat map. {names[first]} and {names[second]} agree least, with "
        f"{number(float(off[first, second]), 3)}."
    )
    texts = [[f"{value:.2f}" for value in own] for own in values]
    drawing = heat_map(values, names, names, texts=texts)
    return ReportFigure("agreement", "Agreement of the labels", caption, alt, drawing, table)


def _against_spherical(names: list[str], values: np.ndarray) -> str:
    if "k-means" not in names or "spherical" not in names:
        return ""
    value = float(values[names.index("k-means"), names.index("spherical")])
    return f"k-means and the spherical mixture, which it is a limit of, agree with {value:.3g}."
