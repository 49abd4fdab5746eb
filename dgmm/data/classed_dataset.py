"""Rows with the codes of their classes and groups, which lie beside them in any chunking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.forwarding_dataset import ForwardingDataset, read_in_grid
from dgmm.data.row_block import RowBlock
from dgmm.data.row_labels import RowLabels, hashed_folds
from dgmm.reduction.blocks import BlockRange


@dataclass(frozen=True, slots=True)
class ClassedDataset(ForwardingDataset):
    """A data set whose blocks tell the class of each row.

    Attributes
    ----------
    rows : Dataset
    classes : Dataset
        Of one feature: codes, −1 where the class is not known.
    groups : Dataset or None
        Of one feature: codes of groups, −1 where none is known.
    n_folds : int
        Folds that rows are held out in; 0 for none. Rows of one group are in one fold.
    seed : int
        Of the folds.
    """

    classes: Dataset
    groups: Dataset | None = None
    n_folds: int = 0
    seed: int = 0

    def read_labels(self, blocks: BlockRange) -> Iterator[RowLabels]:
        """Yield the codes of the rows of a range of blocks; no row is read."""
        numbers = range(blocks.start, blocks.stop)
        groups = None if self.groups is None else read_in_grid(self.groups, self.grid, blocks)
        for index, own in zip(numbers, read_in_grid(self.classes, self.grid, blocks), strict=True):
            codes = own.values[:, 0].astype(np.int32)
            group = None if groups is None else next(groups).values[:, 0].astype(np.int64)
            yield RowLabels(codes, group, self._folds(self.grid.rows(index)[0], len(codes), group))

    def _folds(
        self, start: int, n: int, groups: NDArray[np.int64] | None
    ) -> NDArray[np.int32] | None:
        """Of the rows from `start` on; a row without a group is one of its own."""
        if not self.n_folds:
            return None
        numbers: NDArray[Any] = np.arange(start, start + n, dtype=np.int64)
        found = hashed_folds(numbers, self.n_folds, self.seed)
        if groups is None:
            return found
        return np.where(groups >= 0, hashed_folds(groups, self.n_folds, self.seed), found)

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks with their labels."""
        pairs = zip(self.rows.read_blocks(blocks), self.read_labels(blocks), strict=True)
        for block, labels in pairs:
            yield replace(block, labels=labels)

    def fingerprint(self) -> dict[str, Any]:
        """Of the rows and of the codes."""
        own = {"classes": self.classes.fingerprint()}
        if self.groups is not None:
            own["groups"] = self.groups.fingerprint()
        return self.rows.fingerprint() | own

    def check_unchanged(self) -> None:
        """Ask the rows and the codes."""
        self.rows.check_unchanged()
        self.classes.check_unchanged()
        if self.groups is not None:
            self.groups.check_unchanged()


def cell_counts(dataset: ClassedDataset, n_classes: int) -> NDArray[np.int64]:
    """Rows of each class in each fold (C + 1, max(folds, 1)); the last row: of no known class."""
    counts = np.zeros((n_classes + 1, max(dataset.n_folds, 1)), np.int64)
    for labels in dataset.read_labels(BlockRange(0, dataset.grid.n_blocks)):
        codes = np.where(labels.classes < 0, n_classes, labels.classes)
        folds = np.zeros(len(codes), np.int32) if labels.folds is None else labels.folds
        np.add.at(counts.reshape(-1), codes.astype(np.int64) * counts.shape[1] + folds, 1)
    return counts
