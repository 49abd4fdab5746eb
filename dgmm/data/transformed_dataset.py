"""Rows behind the steps of a model's `preprocess`, transformed as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.fill_value import FillValue
from dgmm.data.row_block import RowBlock, cut_again
from dgmm.data.selected_features import in_model_order
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.transforms.preprocessing import Preprocessing, prepared_type
from dgmm.data.valid_range import ValidRange
from dgmm.reduction.blocks import BlockGrid, BlockRange


@dataclass(frozen=True, slots=True)
class TransformedDataset:
    """Rows of a data set with the features that the steps make of its own; picklable."""

    source: Dataset
    steps: Preprocessing

    @property
    def n_samples(self) -> int:
        """Rows."""
        return self.source.n_samples

    @property
    def n_features(self) -> int:
        """Features behind the last step."""
        return len(self.steps.output_names)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 of float32 rows, else float64: as rows are prepared."""
        return prepared_type(self.source.dtype)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Behind the last step."""
        return self.steps.output_names

    @property
    def attributes(self) -> Mapping[str, Any]:
        """As stored."""
        return self.source.attributes

    @property
    def warnings(self) -> tuple[str, ...]:
        """As stored."""
        return self.source.warnings

    @property
    def fill_value(self) -> FillValue | None:
        """None: it is no longer the same number."""
        return None

    @property
    def valid_range(self) -> ValidRange | None:
        """None: values are compared with it before they are transformed."""
        return None

    @property
    def grid(self) -> BlockGrid:
        """Blocks of the transformed rows."""
        return BlockGrid(self.n_samples, self.n_features)

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks, transformed.

        Raises
        ------
        DataError
            If values lie outside the range that the data declare valid.
        """
        start, stop = self.grid.rows_of_range(blocks)
        found = self.source.read_blocks(self.source.grid.range_of_rows(start, stop))
        for block in cut_again(found, self.grid, blocks):
            valid = self.source.valid_range
            if valid is not None and (n := valid.rows_outside(block.values)):
                raise valid.refused(f"{n:,} of rows {block.start:,} to {block.stop - 1:,}")
            with np.errstate(over="ignore"):  # beyond float32 is infinite, which is refused later
                yield replace(block, values=self.steps.apply(block.values).astype(self.dtype))

    def locate(self, row: int) -> str:
        """Where the row is stored."""
        return self.source.locate(row)

    def fingerprint(self) -> dict[str, Any]:
        """Of what is stored, and of the steps."""
        return self.source.fingerprint() | {"preprocess": self.steps.record()}

    def check_unchanged(self) -> None:
        """Ask what is stored."""
        self.source.check_unchanged()


@dataclass(frozen=True, slots=True)
class TransformedStoredDataset(TransformedDataset):
    """Stored rows, transformed."""

    source: StoredDataset

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """As stored."""
        return self.source.zarr_format

    @property
    def read_bytes(self) -> int:
        """As stored."""
        return self.source.read_bytes

    def with_cache(self, n_bytes: int) -> Self:
        """The same rows; as stored they are cached."""
        return replace(self, source=self.source.with_cache(n_bytes))

    def with_retries(self, seconds: float) -> Self:
        """The same rows, read with retries."""
        return replace(self, source=self.source.with_retries(seconds))


def as_model_takes(
    dataset: Dataset, names: tuple[str, ...], steps: Preprocessing | None
) -> tuple[Dataset, str | None]:
    """A user's rows as a model scores them, and a warning if columns were moved.

    Parameters
    ----------
    dataset
        With the features that the user has.
    names
        Of the model's features.
    steps
        The model's, or None where its features are the user's.

    Raises
    ------
    DataError
        As `in_model_order`.
    """
    if steps is None:
        return in_model_order(dataset, names)
    ordered, note = in_model_order(dataset, steps.input_names)
    if isinstance(ordered, StoredDataset):
        return TransformedStoredDataset(ordered, steps), note
    return TransformedDataset(ordered, steps), note
