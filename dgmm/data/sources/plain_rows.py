"""Plain rows as a source: what `data.prepare: always` copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dgmm.data.feature_units import units_of
from dgmm.data.sources.row_source import Delivery, RowPart, SourceDescription, SourceRows
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.weighted_dataset import WeightedDataset
from dgmm.reduction.blocks import BlockRange

#: Blocks of 2 MiB of a part.
_BLOCKS_PER_PART = 16
#: Attributes of rows; others are of how the array is stored.
_OF_ROWS = ("sample_dims", "sample_shape")


@dataclass(frozen=True, slots=True)
class PlainRows:
    """The rows of a data set that could be read in place, part by part.

    Parameters
    ----------
    dataset : StoredDataset
    reason : str
        Why they are copied, for `plan`.
    """

    dataset: StoredDataset
    reason: str = "data.prepare is always"

    @property
    def description(self) -> SourceDescription:
        """As the data set describes itself."""
        stored = self.dataset
        return SourceDescription(
            "plain array",
            stored.feature_names,
            stored.dtype,
            units=units_of(stored),
            attributes={k: v for k, v in stored.attributes.items() if k in _OF_ROWS},
            notes=(f"{self.reason}: rows that could be read in place are copied",),
            warnings=stored.warnings,
            fill_value=stored.fill_value,
            valid_range=stored.valid_range,
            has_weights=isinstance(stored, WeightedDataset),
        )

    @property
    def delivery(self) -> Delivery:
        """None: results are arrays, as the rows are."""
        return "none"

    @property
    def read_bytes(self) -> int:
        """As a task that reads a data set holds it: four reads."""
        return 4 * self.dataset.read_bytes

    def parts(self) -> tuple[RowPart, ...]:
        """Runs of blocks."""
        grid = self.dataset.grid
        runs = [self._run(i) for i in range(-(-grid.n_blocks // _BLOCKS_PER_PART))]
        rows = [grid.rows_of_range(run) for run in runs]
        return tuple(
            RowPart(i, stop - start, f"rows {start:,} to {stop - 1:,}")
            for i, (start, stop) in enumerate(rows)
        )

    def read(self, part: RowPart) -> Iterator[SourceRows]:
        """Yield the part's blocks."""
        for block in self.dataset.read_blocks(self._run(part.index)):
            yield SourceRows(block.values, block.weights)

    def read_carried(self, part: RowPart) -> Iterator[Mapping[str, Any]]:  # noqa: ARG002 - the protocol's
        """Nothing is carried along."""
        yield from ()

    def locate(self, row: int) -> str:
        """Where a row is stored."""
        return self.dataset.locate(row)

    def fingerprint(self) -> dict[str, Any]:
        """The data set's."""
        return self.dataset.fingerprint()

    def check_unchanged(self) -> None:
        """Ask the data set."""
        self.dataset.check_unchanged()

    def _run(self, part: int) -> BlockRange:
        start = part * _BLOCKS_PER_PART
        return BlockRange(start, min(start + _BLOCKS_PER_PART, self.dataset.grid.n_blocks))
