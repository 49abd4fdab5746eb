"""All rows of a data set, standardised and in blocks: for starts that no sample is enough for.

Such a start asks for reductions, as EM does: what it holds never grows with the number of rows, and
its bits follow neither chunks nor workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.row_accounting import require_all_rows
from dgmm.data.standardisation import Standardisation
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS, SavedProgress
from dgmm.fitting.initialisation.sample_rows import LARGEST_VALUE, CentredRows
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.reduction.tree import Monoid

M = TypeVar("M", bound=Monoid)
#: Gives standardised columns (d, b) a value wherever one is missing; picklable.
Fill = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The rows of one block that are fitted.

    Attributes
    ----------
    number : int
        The block's.
    rows : CentredRows
        Standardised; they lie about the origin, which is the sample's median.
    mask : (b,) or None
        Which of the block's rows these are; None for all.
    weights : (b,) or None
        Of the rows; None where each weighs 1.
    known : (d, b) or None
        Values that are not filled in; None where no row lacks any.
    """

    number: int
    rows: CentredRows
    mask: NDArray[np.bool_] | None = None
    weights: NDArray[np.float64] | None = None
    known: NDArray[np.bool_] | None = None

    @property
    def sum_of_weights(self) -> float | None:
        """None where each row weighs 1."""
        return None if self.weights is None else float(self.weights.sum())

    def scaled(self, scale: NDArray[np.float64] | None) -> Block:
        """The same rows, each feature multiplied by its scale (d,); None leaves them."""
        return self if scale is None else replace(self, rows=self.rows.scaled(scale))

    def uniform(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """One number in [0, 1) for each fitted row; rows left out draw theirs as well."""
        if self.mask is None:
            return rng.random(self.rows.n_rows)
        drawn: NDArray[np.float64] = rng.random(len(self.mask))[self.mask]
        return drawn


@dataclass(frozen=True, slots=True, eq=False)
class AllRows:
    """Rows on disk, and where passes over them run.

    Attributes
    ----------
    dataset, executor
        As in a fit.
    standardisation
        Of the data.
    n_dropped : int
        Rows that the summary left out, and that every pass leaves out.
    progress : SavedProgress
        Saves what each read has found, and the finished parts of one.
    n_partial : int
        Rows that lack values and count.
    fill
        Gives columns (d, b) expected values where they are NaN; None where nothing is missing.
    """

    dataset: Dataset
    executor: Executor
    standardisation: Standardisation
    n_dropped: int
    progress: SavedProgress = NO_SAVED_PROGRESS
    n_partial: int = 0
    fill: Fill | None = None

    def reduce(self, measure: Callable[[Block], M], name: str) -> M:
        """Measure every block and merge in the fixed tree: one read of the data.

        Parameters
        ----------
        measure
            Picklable.
        name
            Of this read, unlike that of any other: small letters, digits and hyphens.

        Raises
        ------
        DataError
            If other rows are there than the summary counted.
        """
        policy = MissingPolicy.after_summary(self.n_dropped, self.n_partial)
        leaves = _Leaves(self.dataset, self.standardisation, policy, measure, self.fill)

        def read() -> Accounted[M]:
            n_blocks, parts = self.dataset.grid.n_blocks, self.progress.of_pass(name)
            return map_reduce(self.executor, leaves, n_blocks, progress=parts)

        total = self.progress.once(f"start-{name}", read)
        require_all_rows(total, self.dataset, self.n_dropped)
        return total.value


@dataclass(frozen=True, slots=True, eq=False)
class PerRestart(Generic[M]):
    """Values measured in one read, one a restart; each is merged with its own."""

    values: tuple[M, ...]

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        pairs = zip(self.values, other.values, strict=True)
        return type(self)(tuple(mine.merge(theirs) for mine, theirs in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class Accounted(Generic[M]):
    """A value, and how many rows it is of."""

    n_read: int
    n_dropped: int
    value: M

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        return type(self)(
            self.n_read + other.n_read,
            self.n_dropped + other.n_dropped,
            self.value.merge(other.value),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Leaves(Generic[M]):
    """Blocks to measures; picklable."""

    dataset: Dataset
    standardisation: Standardisation
    missing: MissingPolicy
    measure: Callable[[Block], M]
    fill: Fill | None = None

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, Accounted[M]]]:
        for block in self.dataset.read_blocks(blocks):
            rows = self.missing.select(block, self.dataset)
            columns = self.standardisation.apply(rows.values)
            known = None if self.fill is None else ~np.isnan(columns)
            if self.fill is not None:
                columns = self.fill(columns)
            np.clip(columns, -LARGEST_VALUE, LARGEST_VALUE, out=columns)
            own = CentredRows.about_origin(columns)
            measured = self.measure(Block(block.index, own, rows.mask, rows.weights, known))
            yield block.index, Accounted(rows.n_read, rows.n_dropped, measured)
