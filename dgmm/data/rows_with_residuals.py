"""Rows with the residuals of `pca`, which lie beside them in arrays of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.forwarding_dataset import ForwardingDataset, read_in_grid
from dgmm.data.row_block import RowBlock
from dgmm.reduction.blocks import BlockRange


@dataclass(frozen=True, slots=True)
class RowsWithResiduals(ForwardingDataset):
    """A data set whose blocks have residuals; picklable.

    Attributes
    ----------
    rows : Dataset
    residuals : tuple of Dataset
        Of one feature each, and of as many rows.
    """

    residuals: tuple[Dataset, ...]

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks with their residuals."""
        columns = [read_in_grid(column, self.grid, blocks) for column in self.residuals]
        for block, *own in zip(self.rows.read_blocks(blocks), *columns, strict=True):
            residuals = np.concatenate([each.values for each in own], axis=1)
            yield replace(block, residuals=residuals)

    def check_unchanged(self) -> None:
        """Ask all.

        Raises
        ------
        DataError
            If rows or residuals changed.
        """
        for each in (self.rows, *self.residuals):
            each.check_unchanged()
