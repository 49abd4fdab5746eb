"""Histograms of the outputs: how sure the labels are, and how likely the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.svg import Drawing
from dgmm.report.components import Floats
from dgmm.report.figure import PAGE_WIDTH, OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import number, percent
from dgmm.report.subsampling import StoredColumn, read_subsample
from dgmm.report.table import Table

#: Rows counted: of more the bars look the same, and the driver would hold them.
ROWS = 500_000

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
    bins = Bins.of(np.clip(values, 0.0, 1.0), (lowest, 1.0), values.size)
    unsure = float(np.mean(values < 0.5))
    sure = float(np.mean(values >= 0.99))
    caption = sentence(
        f"From {subsample.description}; the axis of shares is logarithmic.",
        f"{percent(sure)} of the rows have a posterior of at least 0.99, "
        f"{percent(unsure)} one below 0.5.",
    )
    alt = f"Histogram of posteriors; {percent(sure)} of the rows are at 0.99 or above."
    drawing = bins.drawing("largest posterior probability of a row")
    table = bins.table("Rows by largest posterior", "posterior")
    return ReportFigure("posterior", _POSTERIOR, caption, alt, drawing, table)


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
    bins = Bins.of(values, (low, high), values.size)
    caption = sentence(
        f"From {subsample.description}; the axis of shares is logarithmic.",
        _left_out(subsample.values, values, low, high),
        f"The line is the anomaly threshold, {number(threshold, 6)}."
        if threshold is not None
        else "",
    )
    median = number(float(np.median(values)), 5)
    alt = f"Histogram of log densities; their median is {median}."
    mark = threshold if threshold is not None and np.isfinite(threshold) else None
    drawing = bins.drawing("log density of a row [nats]", mark)
    table = bins.table("Rows by log density", "log density")
    return ReportFigure("log-density", _DENSITY, caption, alt, drawing, table)


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


@dataclass(frozen=True, slots=True)
class Bins:
    """A histogram.

    Parameters
    ----------
    edges : ndarray (b + 1,)
    counts : ndarray (b,)
    total : int
        Rows of which shares are taken, those outside the bins included.
    """

    edges: Floats
    counts: NDArray[np.int64]
    total: int

    @classmethod
    def of(cls, values: Floats, limits: tuple[float, float], total: int) -> Bins:
        """Counts in bins of one width; values beyond the limits are left out."""
        low, high = limits
        # In shares of the range: NumPy's own refuses ranges longer than float64 can say.
        places = Axis(low, high).places(values)
        counts, shares = np.histogram(places, bins=_BINS, range=(0.0, 1.0))
        return cls(low * (1 - shares) + high * shares, counts, max(total, 1))

    def drawing(self, label: str, mark: float | None = None) -> Drawing:
        """Bars of shares on a logarithmic axis; `mark` is the anomaly threshold."""
        drawing = Drawing(PAGE_WIDTH, 270)
        shares = 100 * self.counts / self.total
        x = Axis(float(self.edges[0]), float(self.edges[-1]), label, count=8)
        y = Axis(max(50.0 / self.total, 1e-6), 200.0, "rows [%]", "log")
        axes = Axes(drawing, Box(0, 0, drawing.width, drawing.height), x, y)
        drawn = self.counts > 0
        axes.rectangles(self.edges[:-1][drawn], self.edges[1:][drawn],
                        np.full(drawn.sum(), y.low), shares[drawn], "bar")  # fmt: skip
        if mark is not None:
            axes.upright(mark, "line accent")
            axes.note(f"anomaly threshold {number(mark, 6)}", mark, y.high, dx=5, dy=11)
        return drawing

    def table(self, title: str, what: str) -> Table:
        """The bins that hold rows."""
        rows = [
            (number(float(low)), number(float(high)), percent(float(count) / self.total))
            for low, high, count in zip(self.edges[:-1], self.edges[1:], self.counts, strict=True)
            if count
        ]
        header = (f"{what} from", "to", "share of rows")
        return Table(title, header, rows, frozenset({0, 1, 2}))
