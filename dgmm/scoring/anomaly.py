"""Anomalies: an exact quantile of the written log densities, and the rows below it.

Rows whose density underflows to 0 are anomalies whatever the quantile.

The quantile is found by counting: log densities map to unsigned integers of the same order, and
four histograms of 16 bits each narrow them down to one value. The data are not read again, nothing
of size N is in memory, and integers add up the same in any order. Rows that have weights count as
whole multiples of a small unit of weight, so that the quantile is a share of all weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.weighted_dataset import WeightedDataset
from dgmm.data.zarr.output_store import OutputArray
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.reduction.checksums import Digests, combined, digest_of
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import TASKS_PER_THREAD, map_reduce, split_ranges
from dgmm.reduction.tree import PassProgress
from dgmm.scoring.row_scores import is_anomalous
from dgmm.scoring.scoring_pass import chunk_blocks

_DIGIT_BITS = 16
_DIGITS = 64 // _DIGIT_BITS
#: Bits of the sum of all weights, in the unit that they are counted in, and of half a weight.
_WEIGHT_BITS, _HALF_BITS = 61, 31

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def sortable(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Unsigned integers in the order of the float64 values, −inf first; not for NaN.

    Positive numbers get the sign bit set, negative ones all bits flipped; −0.0 counts as 0.0.
    """
    bits = (values + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, ~bits, bits | sign)


def from_sortable(integer: int) -> float:
    """The float64 value of a sortable integer."""
    sign = 1 << 63
    bits = integer ^ sign if integer & sign else integer ^ ((1 << 64) - 1)
    return float(np.uint64(bits).view(np.float64))


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """Log densities as they were written, and the weights of their rows; picklable.

    Attributes
    ----------
    log_density : OutputArray
    dataset : WeightedDataset or None
        Has the weights; None where each row weighs the same.
    exponent : int
        Weights count in units of 2^exponent: all of them, added up, fit 62 bits.
    """

    log_density: OutputArray
    dataset: WeightedDataset | None = None
    exponent: int = 0

    @classmethod
    def of(cls, log_density: OutputArray, dataset: Dataset) -> WrittenRows:
        """Rows of a data set."""
        if not isinstance(dataset, WeightedDataset):
            return cls(log_density)
        return cls(log_density, dataset, math.frexp(dataset.total)[1] - _WEIGHT_BITS)

    def read(self, chunk: BlockRange, rows: tuple[int, int]) -> tuple[Floats, Counts | None]:
        """Log densities (b,) of the rows of some blocks, and their weights in units (b,)."""
        values = self.log_density.read(*rows)
        if self.dataset is None:
            return values, None
        blocks = self.dataset.read_weights(chunk)
        weights = np.concatenate([block.values[:, 0] for block in blocks]).astype(np.float64)
        scaled = np.ldexp(weights / self.dataset.unit, -self.exponent)
        return values, np.rint(scaled).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Histogram:
    """Counts of the next 16 bits of values from `least` on that begin with a prefix; picklable."""

    rows: WrittenRows
    grid: BlockGrid
    least: float
    digit: int
    prefix: int

    def __call__(self, blocks: BlockRange) -> NDArray[np.int64]:
        counts = np.zeros(1 << _DIGIT_BITS, np.int64)
        shift = np.uint64(64 - _DIGIT_BITS * (self.digit + 1))
        for chunk in _chunks(self.grid, blocks):
            values, weights = self.rows.read(chunk, self.grid.rows_of_range(chunk))
            taken = values >= self.least  # not NaN
            keys = sortable(values[taken])
            own = None if weights is None else weights[taken]
            if self.digit:
                begin = keys >> (shift + np.uint64(_DIGIT_BITS)) == np.uint64(self.prefix)
                keys, own = keys[begin], None if own is None else own[begin]
            digits = ((keys >> shift) & np.uint64((1 << _DIGIT_BITS) - 1)).astype(np.int64)
            counts += _counted(digits, own, len(counts))
        return counts


def _counted(digits: Counts, weights: Counts | None, n: int) -> Counts:
    """How often each digit below n occurs, or the sum of its weights, exactly."""
    if weights is None:
        return np.bincount(digits, minlength=n)
    # float64 adds up halves of 31 bits exactly.
    high, low = (np.bincount(digits, part, n) for part in divmod(weights, 1 << _HALF_BITS))
    return (high.astype(np.int64) << _HALF_BITS) + low.astype(np.int64)


def threshold(rows: WrittenRows, grid: BlockGrid, executor: Executor, quantile: float) -> float:
    """The value that floor(quantile·n) of the n written log densities come before, in sorted order.

    At most that many rows lie strictly below it; fewer only where values tie with it. Where this is
    −inf, so that nothing lies below it, the lowest finite log density takes its place. Of rows that
    have weights, n is all weight: the rows strictly below have at most that share of it.

    Parameters
    ----------
    rows
        The written array, where NaN (dropped rows) does not count, and weights.
    grid
        The blocks of its rows.
    executor
        Where the histograms are counted.
    quantile
        Between 0 and 1; the decimal number that its shortest representation shows.
    """
    found = _value_after(quantile, rows, grid, executor, -np.inf)
    lowest = float(np.finfo(np.float64).min)
    if found == -np.inf:
        found = _value_after(0.0, rows, grid, executor, lowest)
    return lowest if found is None else found


def rows_below(quantile: float, n: int) -> int:
    """floor(quantile·n), exactly: 0.29 of 100 rows are 29, the product of floats is below that.

    Examples
    --------
    >>> rows_below(0.29, 100), int(0.29 * 100)
    (29, 28)
    """
    return int(Fraction(repr(float(quantile))) * n)


def _value_after(
    quantile: float, rows: WrittenRows, grid: BlockGrid, executor: Executor, least: float
) -> float | None:
    """The value that a share of those from `least` on come before; None where there are none."""
    prefix, rank = 0, -1
    for digit in range(_DIGITS):
        counts = _total(executor, grid, _Histogram(rows, grid, least, digit, prefix))
        if digit == 0:
            n = int(counts.sum())
            if n == 0:
                return None
            rank = min(rows_below(quantile, n), n - 1)
        before = np.cumsum(counts)
        bucket = int(np.searchsorted(before, rank, side="right"))
        rank -= int(before[bucket] - counts[bucket])
        prefix = (prefix << _DIGIT_BITS) | bucket
    return from_sortable(prefix)


@dataclass(frozen=True, slots=True)
class Flagged:
    """Rows flagged, and the checksums of what was written; a monoid."""

    n_anomalies: int = 0
    digests: Digests = field(default_factory=dict)

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        return type(self)(
            self.n_anomalies + other.n_anomalies, combined(self.digests, other.digests)
        )


@dataclass(frozen=True, slots=True)
class _Flag:
    """Writes the flags of the chunks of a range; picklable."""

    log_density: OutputArray
    anomaly: OutputArray
    grid: BlockGrid
    threshold: float

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, Flagged]]:
        """Yield (block, what was flagged); a chunk is written at its last block."""
        step = chunk_blocks(self.grid)
        for block in range(blocks.start, blocks.stop):
            last = (block + 1) % step == 0 or block + 1 == blocks.stop
            yield (
                block,
                self._chunk(BlockRange(block - block % step, block + 1)) if last else Flagged(),
            )

    def _chunk(self, chunk: BlockRange) -> Flagged:
        start, stop = self.grid.rows_of_range(chunk)
        values = self.log_density.read(start, stop)
        flags = is_anomalous(values, self.threshold).astype(np.int8)
        n_anomalies = int(flags.sum())
        flags[np.isnan(values)] = -1
        self.anomaly.write(start, flags)
        self.anomaly.sync(start, stop)
        return Flagged(n_anomalies, {"anomaly": digest_of(flags)})


def flag(
    log_density: OutputArray,
    anomaly: OutputArray,
    grid: BlockGrid,
    executor: Executor,
    threshold: float,
    progress: PassProgress[Flagged] | None = None,
) -> Flagged:
    """Write 1 where the log density lies below the threshold or is −inf, 0 elsewhere, −1 for
    dropped rows.
    """
    leaves, align = _Flag(log_density, anomaly, grid, threshold), chunk_blocks(grid)
    return map_reduce(executor, leaves, grid.n_blocks, align=align, progress=progress)


def _chunks(grid: BlockGrid, blocks: BlockRange) -> list[BlockRange]:
    """Blocks of each output chunk of an aligned range."""
    step = chunk_blocks(grid)
    starts = range(blocks.start, blocks.stop, step)
    return [BlockRange(b, min(b + step, blocks.stop)) for b in starts]


def _total(
    executor: Executor, grid: BlockGrid, task: Callable[[BlockRange], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Sum of the tasks' counts: integers, so the order does not matter."""
    align = chunk_blocks(grid)
    runs = split_ranges(grid.n_blocks, executor.n_threads * TASKS_PER_THREAD, align)
    total = np.zeros(1 << _DIGIT_BITS, np.int64)
    for _, counts in executor.run(task, runs, align=align):
        total += counts
    return total
