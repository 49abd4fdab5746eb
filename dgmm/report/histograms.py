"""Histograms of the outputs: how sure the labels are, and how likely the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.report.axis_units import AxisUnit
from dgmm.report.components import Floats
from dgmm.report.figure import ACCENT, OmittedFigure, ReportFigure, new_figure, render, sentence
from dgmm.report.formatting import number, percent
from dgmm.report.subsampling import StoredColumn, read_subsample

#: Rows counted: of more the bars look the same, and the driver would hold them.
ROWS = 500_000

_BAR = "#3e7cb1"
_BINS = 60
_POSTERIOR = "Largest posterior probability"
_DENSITY = "Log density of the rows"
_TAIL = 0.0005


def posterior_histogram(
    column: StoredColumn | None, n_components: int | None
) -> ReportFigure | OmittedFigure:
    """How sure the rows are of their labels."""
    if column is None:
        return OmittedFigure(_POSTERIOR, "the job did not write output.max_posterior")
    subsample = read_subsample(column, ROWS)
    values = finite_values(subsample.values)
    if not values.size:
        return OmittedFigure(_POSTERIOR, "no row has a posterior probability")
    lowest = min(1.0 / n_components if n_components else 0.0, float(values.min()), 0.98)
    figure = new_figure(9.0, 2.9)
    axes = figure.subplots()
    bars(axes, np.clip(values, 0.0, 1.0), (lowest, 1.0))
    axes.set(xlabel="largest posterior probability of a row")
    unsure = float(np.mean(values < 0.5))
    sure = float(np.mean(values >= 0.99))
    caption = sentence(
        f"From {subsample.description}; the axis of shares is logarithmic.",
        f"{percent(sure)} of the rows have a posterior of at least 0.99, "
        f"{percent(unsure)} one below 0.5.",
    )
    alt = f"Histogram of posteriors; {percent(sure)} of the rows are at 0.99 or above."
    return render(figure, "posterior", title=_POSTERIOR, caption=caption, alt=alt)


def density_histogram(
    column: StoredColumn | None, threshold: float | None
) -> ReportFigure | OmittedFigure:
    """Log densities of the rows, with the anomaly threshold as a line."""
    if column is None:
        return OmittedFigure(_DENSITY, "the job did not write output.log_density")
    subsample = read_subsample(column, ROWS)
    values = finite_values(subsample.values)
    if not values.size:
        return OmittedFigure(_DENSITY, "no row has a finite log density")
    low, high = _density_range(values, threshold)
    unit = AxisUnit.of(np.array([low, high]))
    low_shown, high_shown = unit.apply(np.array([low, high]))
    figure = new_figure(9.0, 2.9)
    axes = figure.subplots()
    inside = values[(values >= low) & (values <= high)]
    bars(axes, unit.apply(inside), (float(low_shown), float(high_shown)), values.size)
    axes.set(xlabel=f"log density of a row [nats]{unit.label}")
    if threshold is not None and np.isfinite(threshold):
        _mark(axes, float(unit.apply(np.array([threshold]))[0]), number(threshold, 6))
    caption = sentence(
        f"From {subsample.description}; the axis of shares is logarithmic.",
        _left_out(subsample.values, values, low, high),
        f"The line is the anomaly threshold, {number(threshold, 6)}."
        if threshold is not None
        else "",
    )
    median = number(float(np.median(values)), 5)
    alt = f"Histogram of log densities; their median is {median}."
    return render(figure, "log-density", title=_DENSITY, caption=caption, alt=alt)


def finite_values(values: Any) -> Floats:
    """The finite ones of some values (m,), float64."""
    as_float = np.asarray(values, dtype=np.float64)
    return as_float[np.isfinite(as_float)]


def _density_range(values: Floats, threshold: float | None) -> tuple[float, float]:
    low = float(np.quantile(values, _TAIL))
    high = float(values.max())
    if threshold is not None and np.isfinite(threshold):
        low, high = min(low, threshold), max(high, threshold)
    # Halves first: the whole range of float64 may be longer than float64 can say.
    margin = 0.08 * (high / 2 - low / 2) or 0.01 * max(abs(high), 1.0)
    return low - margin, high + margin / 4


def _left_out(read: Any, finite: Floats, low: float, high: float) -> str:
    everything = np.asarray(read, dtype=np.float64)
    below = int(np.count_nonzero(finite < low))
    no_density = int(np.count_nonzero(np.isneginf(everything)))
    parts = [
        f"{below:,} below {number(low, 5)}" if below else "",
        f"{no_density:,} with log density −∞" if no_density else "",
    ]
    said = " and ".join(part for part in parts if part)
    return f"Not drawn: {said}." if said and np.isfinite(high) else ""


def bars(axes: Any, values: Floats, limits: tuple[float, float], total: int | None = None) -> None:
    """Shares of the values, or of `total`, on a logarithmic axis."""
    counts, edges = np.histogram(values, bins=_BINS, range=limits)
    shares = 100 * counts / max(total or values.size, 1)
    axes.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=_BAR, lw=0)
    axes.set_yscale("log")
    ticks = 10.0 ** np.arange(-6, 3)
    axes.set_yticks(ticks, [f"{tick:.6f}".rstrip("0").rstrip(".") for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=max(50.0 / max(values.size, 1), 1e-6), top=200.0)
    axes.set(ylabel="rows [%]", xlim=limits)
    axes.grid(visible=True, axis="y")


def _mark(axes: Any, place: float, text: str) -> None:
    axes.axvline(place, color=ACCENT, lw=1.4)
    axes.annotate(
        f"anomaly threshold {text}", (place, 1), xycoords=("data", "axes fraction"), xytext=(5, -3),
        textcoords="offset points", va="top", color=ACCENT, fontsize=8,
    )  # fmt: skip
