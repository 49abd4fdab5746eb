"""Rows of the sample in panels, as compiled code reads them, and the threads that read them.

Every number is computed by one thread, and sums are taken tile by tile: their bits do not follow
the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.initialisation.distance_rows import Labels
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.mixture.backends import numba_distances as compiled
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import split_ranges

Numbers = NDArray[Any]

#: Squares of float32 rows stay below this, so that nothing overflows.
_LARGEST_SQUARE = 1e30
#: Distances are precise where their sum is this many times what rounding may change it by.
_PRECISE = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class RowPanels:
    """Centred rows, and a copy of them in panels.

    Attributes
    ----------
    rows
        As they were, float64: means and deviations are taken of these.
    panels : (n_panels, d, b)
        float32 or float64; rows beyond the last are 0.
    squares : (n_panels · b,)
        ‖x‖² of what is in the panels.
    executor
        Runs tasks on threads of this process; None where other starts have them.
    """

    rows: CentredRows
    panels: Numbers
    squares: Numbers
    executor: Executor | None

    @classmethod
    def of(cls, rows: CentredRows, executor: Executor | None, *, is_single: bool) -> Self:
        """Copy rows into panels."""
        fits = float(rows.squares.max(initial=0.0)) <= _LARGEST_SQUARE
        dtype = np.dtype(np.float32 if is_single and fits else np.float64)
        d, m = rows.values.shape
        b = compiled.panel_rows(dtype.itemsize)
        n_panels, whole = -(-m // b), m // b
        panels = np.empty((n_panels, d, b), dtype)
        squares = np.empty((n_panels, b), dtype)
        stretch = rows.values[:, : whole * b].reshape(d, whole, b)

        def some(first: int, stop: int) -> None:
            own = panels[first:stop]
            own[: whole - first] = stretch[:, first:stop].transpose(1, 0, 2)
            if stop > whole:
                own[-1, :, : m - whole * b] = rows.values[:, whole * b :]
                own[-1, :, m - whole * b :] = 0.0
            np.einsum("pdb,pdb->pb", own, own, out=squares[first:stop])

        each(executor, some, n_panels)
        return cls(rows, panels, squares.ravel(), executor)

    @property
    def n_rows(self) -> int:
        """m."""
        return self.rows.n_rows

    @property
    def is_single(self) -> bool:
        """Whether panels are float32."""
        return bool(self.panels.dtype == np.float32)

    @property
    def rounding(self) -> float:
        """The largest error of a distance, over ‖x‖² + ‖c‖²."""
        return float(2.0 * (self.rows.n_features + 2) * np.finfo(self.panels.dtype).eps)

    def is_precise(self, worth: float, weights: Numbers | None) -> bool:
        """Whether float64, or a sum of weighted distances is large beside its rounding."""
        if not self.is_single:
            return True
        squares = self.squares[: self.n_rows]
        own = np.ones_like(squares) if weights is None else weights
        size = 2.0 * float(np.einsum("i,i", own, squares, dtype=np.float64))
        return worth >= _PRECISE * self.rounding * size

    def packed(self, rows: Labels) -> Numbers:
        """Some rows as they are in the panels, (len(rows), d)."""
        b = self.panels.shape[2]
        found: Numbers = self.panels[rows // b, :, rows % b]
        return found

    def each(self, task: Callable[[int, int], None], n: int) -> None:
        """Do a task on all of [0, n), in as many parts as there are threads."""
        each(self.executor, task, n)


def each(executor: Executor | None, task: Callable[[int, int], None], n: int) -> None:
    """Do a task on all of [0, n), in as many parts as the executor has threads."""
    if executor is None or executor.n_threads == 1:
        task(0, n)
        return

    def part(own: BlockRange) -> None:
        task(own.start, own.stop)

    for _ in executor.run(part, split_ranges(n, executor.n_threads)):
        pass
