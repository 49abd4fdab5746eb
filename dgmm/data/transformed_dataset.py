"""Rows behind the steps of a model's `preprocess`, transformed as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.fill_value import FillValue
from dgmm.data.forwarding_dataset import ForwardingDataset, StoredRows, read_in_grid
from dgmm.data.row_block import RowBlock, Rows
from dgmm.data.selected_features import in_model_order, position_note
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.transforms.preprocessing import Floats, Preprocessing, prepared_type
from dgmm.data.valid_range import ValidRange
from dgmm.reduction.blocks import BlockGrid, BlockRange


@dataclass(frozen=True, slots=True)
class TransformedDataset(ForwardingDataset):
    """Rows of a data set with the features that the steps make of its own; picklable.

    Attributes
    ----------
    rows : Dataset
    steps : Preprocessing
    has_residuals : bool
        Whether blocks have the steps' residuals.
    """

    steps: Preprocessing
    has_residuals: bool = False

    @property
    def n_features(self) -> int:
        """Features behind the last step."""
        return len(self.steps.output_names)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 of float32 rows, else float64: as rows are prepared."""
        return prepared_type(self.rows.dtype)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Behind the last step."""
        return self.steps.output_names

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
        valid = self.rows.valid_range
        for block in read_in_grid(self.rows, self.grid, blocks):
            if valid is not None and (n := valid.rows_outside(block.values)):
                raise valid.refused(f"{n:,} of rows {block.start:,} to {block.stop - 1:,}")
            values, residuals = self._transformed(block.values)
            with np.errstate(over="ignore"):  # beyond float32 is infinite, which is refused later
                stored = values.astype(self.dtype)
            yield replace(block, values=stored, residuals=residuals)

    def _transformed(self, rows: Rows) -> tuple[Floats, Floats | None]:
        if self.has_residuals:
            return self.steps.apply_with_residuals(rows)
        return self.steps.apply(rows), None

    def fingerprint(self) -> dict[str, Any]:
        """Of what is stored, and of the steps."""
        return self.rows.fingerprint() | {"preprocess": self.steps.record()}


@dataclass(frozen=True, slots=True)
class TransformedStoredDataset(StoredRows, TransformedDataset):
    """Stored rows, transformed."""

    rows: StoredDataset


class ModelFeatures(Protocol):
    """What a model knows of the features that its rows have."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per feature."""

    @property
    def preprocess(self) -> Preprocessing | None:
        """Steps that rows go through first."""

    @property
    def feature_units(self) -> Mapping[str, str]:
        """Unit of each of the user's features that has one, by name."""


def as_model_takes(
    dataset: Dataset,
    model: ModelFeatures,
    *,
    is_transformed: bool = False,
    may_have_more: bool = False,
    notes_positions: bool = True,
) -> tuple[Dataset, str | None]:
    """A user's rows as a model scores them, and a warning if columns were moved, or had no names.

    Parameters
    ----------
    dataset
        With the features that the user has.
    model
        Whose features, units and steps are taken.
    is_transformed
        Whether the rows have the model's steps behind them already.
    may_have_more
        Whether features that the model has not are left out; else they are an error.
    notes_positions
        Whether there is a warning of features without names, where none had to be moved.

    Raises
    ------
    DataError
        As `in_model_order`.
    """
    steps, units = model.preprocess, model.feature_units
    if is_transformed and steps is not None:
        return in_model_order(dataset, model.feature_names)
    names = model.feature_names if steps is None else steps.input_names
    ordered, note = in_model_order(dataset, names, units, may_have_more=may_have_more)
    if notes_positions:
        note = note or position_note(dataset.feature_names, names)
    if steps is None:
        return ordered, note
    if isinstance(ordered, StoredDataset):
        return TransformedStoredDataset(ordered, steps), note
    return TransformedDataset(ordered, steps), note
