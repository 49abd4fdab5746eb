"""The figure of residuals: how far rows lie from what principal components give back of them."""

from __future__ import annotations

import numpy as np

from dgmm.report.figure import OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number
from dgmm.report.histograms import ROWS, Bins, finite_values
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
    drawn = values[values <= high]
    bins = Bins.of(drawn, (0.0, high), values.size)
    half, most, nearly = (number(float(v), 4) for v in np.quantile(values, _NAMED))
    beyond = values.size - drawn.size
    caption = sentence(
        f"From {subsample.description}; the axis of shares is logarithmic.",
        f"Half of the rows lie below {half}, 99 % below {most}, 99.9 % below {nearly}.",
        f"Not drawn: {beyond:,} beyond, up to {number(float(values.max()), 4)}." if beyond else "",
    )
    alt = f"Histogram of residuals; half of the rows lie below {half}."
    drawing = bins.drawing("residual of a row")
    table = bins.table(f"Rows by residual ({name})", "residual")
    return ReportFigure(name.replace("_", "-"), title, caption, alt, drawing, table)
