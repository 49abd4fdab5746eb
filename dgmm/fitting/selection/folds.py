"""Folds of rows by hash: which fold a row is in follows from its number and the seed alone.

Folds by block measure place and not fit: of photographs, those of every tenth block differed by
5 nats per row where models of 8 and 16 components differ by 1, and data of one block have no
such folds at all. A hash of the row's number does not depend on blocks, chunks or workers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from dgmm.data.row_block import Mask, RowBlock
from dgmm.random_streams import Stage

#: Increment and multipliers of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass(frozen=True, slots=True)
class Folds:
    """Parts of the rows: fold = hash(seed, row // fold_rows) mod n_folds.

    Attributes
    ----------
    n_folds
        How many, at least 2.
    fold_rows
        Consecutive rows that stay in one fold: more than 1 where neighbours are alike.
    seed
        The job's.

    Examples
    --------
    >>> Folds(3, seed=1).of_rows(np.arange(10)).tolist()
    [2, 0, 0, 1, 2, 1, 0, 2, 0, 0]
    >>> Folds(3, fold_rows=4, seed=1).of_rows(np.arange(10)).tolist()
    [2, 2, 2, 2, 0, 0, 0, 0, 0, 0]
    """

    n_folds: int
    fold_rows: int = 1
    seed: int = 0

    def of_rows(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """The fold of each row, by its number."""
        groups = (np.asarray(rows) // self.fold_rows).astype(np.uint64)
        return (self._hashes(groups) % np.uint64(self.n_folds)).astype(np.int64)

    def of_block(self, block: RowBlock) -> NDArray[np.int64]:
        """The fold of each row of a block, (b,)."""
        return self.of_rows(np.arange(block.start, block.stop))

    def _hashes(self, groups: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """SplitMix64 of a key and the group's number."""
        sequence = SeedSequence(entropy=self.seed, spawn_key=(int(Stage.FOLDS),))
        with np.errstate(over="ignore"):  # modulo 2^64 is what is meant
            z = sequence.generate_state(1, np.uint64) + (groups + np.uint64(1)) * np.uint64(_GOLDEN)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
            return np.asarray(z ^ (z >> np.uint64(31)))


@dataclass(frozen=True, slots=True)
class OutsideFold:
    """The rows that a model of one fold is fitted to: those of all other folds."""

    folds: Folds
    fold: int

    def __call__(self, block: RowBlock) -> Mask:
        """Which rows of a block these are, (b,)."""
        return np.asarray(self.folds.of_block(block) != self.fold)
