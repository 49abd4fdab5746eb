"""The figure of residuals: how far rows lie from what principal components give back of them."""

from __future__ import annotations

import numpy as np

from dgmm.report.axis_units import AxisUnit
from dgmm.report.figure import OmittedFigure, ReportFigure, new_figure, render, sentence
from dgmm.report.formatting import number
from dgmm.report.histograms import ROWS, bars, finite_values
from dgmm.report.subsampling import StoredColumn, read_subsample

#: Shares of the rows whose residuals the caption names, and the share that is drawn.
_NAMED, _DRAWN = (0.5, 0.99, 0.999), 0.9995


def residual_histogram(column: StoredColumn, name: str) -> ReportFigure | OmittedFigure:
    """Residuals of the rows; `name` is that of the output."""
    title = f"Distance from the principal components ({name})"
    subsample = read_subsample(column, ROWS)
    values = finite_values(subsample.values)
    if not values.size:
        return OmittedFigure(title, "no row has a finite residual")
    high = float(np.quantile(values, _DRAWN)) or 1.0
    unit = AxisUnit.of(np.array([0.0, high]))
    low_shown, high_shown = map(float, unit.apply(np.array([0.0, high])))
    figure = new_figure(9.0, 2.9)
    axes = figure.subplots()
    drawn = values[values <= high]
    bars(axes, unit.apply(drawn), (low_shown, high_shown), values.size)
    axes.set(xlabel=f"residual of a row{unit.label}")
    half, most, nearly = (number(float(v), 4) for v in np.quantile(values, _NAMED))
    beyond = values.size - drawn.size
    caption = sentence(
        f"From {subsample.description}; the axis of shares is logarithmic.",
        f"Half of the rows lie below {half}, 99 % below {most}, 99.9 % below {nearly}.",
        f"Not drawn: {beyond:,} beyond, up to {number(float(values.max()), 4)}." if beyond else "",
    )
    alt = f"Histogram of residuals; half of the rows lie below {half}."
    return render(figure, name.replace("_", "-"), title=title, caption=caption, alt=alt)
