"""One pass over the data: blocks to the statistics of every candidate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.blocks import Run
from dgmm.data.dataset import Dataset
from dgmm.data.finite_rows import kept_rows
from dgmm.data.standardisation import Standardisation
from dgmm.kernels import Kernel, Workspace, e_step
from dgmm.statistics import Statistics


@dataclass(frozen=True, slots=True, eq=False)
class PassStatistics:
    """What a pass returns: rows read and dropped, exactly, and one value a candidate."""

    n_read: int
    n_dropped: int
    candidates: tuple[Statistics, ...]

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        merged = (a.merge(b) for a, b in zip(self.candidates, other.candidates, strict=True))
        return type(self)(
            self.n_read + other.n_read, self.n_dropped + other.n_dropped, tuple(merged)
        )


@dataclass(frozen=True, slots=True, eq=False)
class ExpectationPass:
    """The E-step of all candidates over a run of blocks; picklable."""

    dataset: Dataset
    standardisation: Standardisation
    kernels: tuple[Kernel, ...]
    drop: bool

    def __call__(self, run: Run) -> Iterator[tuple[int, PassStatistics]]:
        """Yield (block, its statistics); each block is read once for all candidates."""
        workspace = Workspace()
        for block, rows in self.dataset.read_blocks(run):
            kept = drop_rows(rows) if self.drop else rows
            statistics = self._statistics(kept, workspace)
            yield block, PassStatistics(len(rows), len(rows) - len(kept), statistics)

    def _statistics(self, rows: NDArray[Any], workspace: Workspace) -> tuple[Statistics, ...]:
        standardised: dict[np.dtype[Any], NDArray[Any]] = {}
        groups: dict[tuple[Any, ...], list[int]] = {}
        for i, kernel in enumerate(self.kernels):
            groups.setdefault(kernel.sharing, []).append(i)
        results: dict[int, Statistics] = {}
        for members in groups.values():
            kernels = [self.kernels[i] for i in members]
            dtype = kernels[0].dtype
            if dtype not in standardised:
                standardised[dtype] = self.standardisation.apply(rows, dtype)
            values = e_step(kernels, standardised[dtype], workspace)
            results.update(zip(members, values, strict=True))
        return tuple(results[i] for i in range(len(self.kernels)))


def drop_rows(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows without any value that is missing or infinite."""
    keep = kept_rows(rows)
    return rows if keep is None else rows[keep]
