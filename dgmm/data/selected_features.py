"""Columns in the order of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.forwarding_dataset import ForwardingDataset, StoredRows, read_in_grid
from dgmm.data.row_block import RowBlock
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.terminal_text import listed


@dataclass(frozen=True, slots=True)
class SelectedFeatures(ForwardingDataset):
    """A data set whose columns are taken in another order."""

    columns: tuple[int, ...]

    @property
    def n_features(self) -> int:
        """Columns taken."""
        return len(self.columns)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """In the order taken."""
        return tuple(self.rows.feature_names[i] for i in self.columns)

    @property
    def grid(self) -> BlockGrid:
        """Blocks of the columns taken."""
        return BlockGrid(self.n_samples, self.n_features)

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks with their columns in order."""
        for block in read_in_grid(self.rows, self.grid, blocks):
            yield replace(block, values=np.ascontiguousarray(block.values[:, self.columns]))

    def fingerprint(self) -> dict[str, Any]:
        """Of what is stored, and of the order."""
        return self.rows.fingerprint() | {"columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class SelectedStoredFeatures(StoredRows, SelectedFeatures):
    """A stored data set whose columns are taken in another order."""

    rows: StoredDataset


def selected(dataset: Dataset, columns: tuple[int, ...]) -> SelectedFeatures:
    """Columns of a data set, stored or not."""
    if isinstance(dataset, StoredDataset):
        return SelectedStoredFeatures(dataset, columns)
    return SelectedFeatures(dataset, columns)


def in_model_order(dataset: Dataset, names: tuple[str, ...]) -> tuple[Dataset, str | None]:
    """The data set with its columns as the model has them, and a warning if they were moved.

    The columns of data or models whose features have no names of their own (x0, x1, …) are taken
    by position.

    Raises
    ------
    DataError
        If the number of features differs, or names are missing or unknown.
    """
    own = dataset.feature_names
    if len(own) != len(names):
        raise DataError(
            f"the data have {len(own)} features, the model has {len(names)}{_differing(own, names)}"
        )
    if own == names:
        return dataset, None
    unnamed = tuple(f"x{i}" for i in range(len(names)))
    if unnamed in {own, names}:
        return dataset, None
    missing, unknown = sorted(set(names) - set(own)), sorted(set(own) - set(names))
    if missing:
        raise DataError(
            f"the data lack the model's features {', '.join(missing[:10])}; "
            f"they have {', '.join(unknown[:10])} instead"
        )
    columns = tuple(own.index(name) for name in names)
    return selected(dataset, columns), "the data's features were put in the model's order"


def _differing(own: tuple[str, ...], names: tuple[str, ...]) -> str:
    """Which features the data have too many, and which they lack, where both sides have names."""
    for side in (own, names):
        if side == tuple(f"x{i}" for i in range(len(side))):
            return ""
    parts = [
        f"{what} {listed(sorted(found), 10)}"
        for what, found in (
            ("the model has no", set(own) - set(names)),
            ("the data lack", set(names) - set(own)),
        )
        if found
    ]
    return f": {'; '.join(parts)}. Give the model's features alone"
