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
from dgmm.data.row_labels import RowLabels
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
    folds : Dataset or None
        Of one feature: the fold that each row is held out in (`dgmm.data.stratified_folds`).
    n_folds : int
        How many; 0 for none.
    """

    classes: Dataset
    groups: Dataset | None = None
    folds: Dataset | None = None
    n_folds: int = 0

    def read_labels(self, blocks: BlockRange) -> Iterator[RowLabels]:
        """Yield the codes of the rows of a range of blocks; no row is read."""
        groups, folds = self._read(self.groups, blocks), self._read(self.folds, blocks)
        for classes in read_in_grid(self.classes, self.grid, blocks):
            codes = classes.values[:, 0].astype(np.int32)
            group = None if groups is None else next(groups).values[:, 0].astype(np.int64)
            fold = None if folds is None else next(folds).values[:, 0].astype(np.int32)
            yield RowLabels(codes, group, fold)

    def _read(self, codes: Dataset | None, blocks: BlockRange) -> Iterator[RowBlock] | None:
        return None if codes is None else read_in_grid(codes, self.grid, blocks)

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks with their labels."""
        pairs = zip(self.rows.read_blocks(blocks), self.read_labels(blocks), strict=True)
        for block, labels in pairs:
            yield replace(block, labels=labels)

    def fingerprint(self) -> dict[str, Any]:
        """Of the rows and of the codes."""
        own = {name: codes.fingerprint() for name, codes in self._codes().items()}
        return self.rows.fingerprint() | own

    def check_unchanged(self) -> None:
        """Ask the rows and the codes."""
        self.rows.check_unchanged()
        for codes in self._codes().values():
            codes.check_unchanged()

    def _codes(self) -> dict[str, Dataset]:
        found = {"classes": self.classes, "groups": self.groups, "folds": self.folds}
        return {name: codes for name, codes in found.items() if codes is not None}


def cell_counts(dataset: ClassedDataset, n_classes: int) -> NDArray[np.int64]:
    """Rows of each class in each fold (C + 1, max(folds, 1)); the last row: of no known class."""
    counts = np.zeros((n_classes + 1, max(dataset.n_folds, 1)), np.int64)
    for labels in dataset.read_labels(BlockRange(0, dataset.grid.n_blocks)):
        codes = np.where(labels.classes < 0, n_classes, labels.classes)
        folds = np.zeros(len(codes), np.int32) if labels.folds is None else labels.folds
        np.add.at(counts.reshape(-1), codes.astype(np.int64) * counts.shape[1] + folds, 1)
    return counts
