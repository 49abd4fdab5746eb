"""Rows of a source: described from its metadata, read from where they were prepared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from dgmm.data.feature_names import feature_names_from
from dgmm.data.fill_value import FillValue
from dgmm.data.row_block import RowBlock
from dgmm.data.sources.row_source import RowPart, RowSource, SourceDescription
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.valid_range import ValidRange
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockGrid, BlockRange

#: Bytes of a chunk of prepared rows at least: zarr takes some 140 µs to open one.
_CHUNK_BYTES = 4 * 1024 * 1024


def prepared_chunk_rows(grid: BlockGrid, dtype: np.dtype[Any]) -> int:
    """Rows of a chunk of prepared rows: whole blocks, at least 4 MiB where rows are that many."""
    block_bytes = grid.rows_per_block * max(grid.n_features, 1) * dtype.itemsize
    return grid.rows_per_block * -(-_CHUNK_BYTES // block_bytes)


_REMEDY = ". These rows were prepared, and can be anew"


class DamagedRowsError(DataError):
    """Rows that were prepared cannot be read: a chunk is damaged, or is gone."""

    @property
    def found(self) -> str:
        """What is damaged, without the remedy."""
        return str(self).partition(_REMEDY)[0]


@contextmanager
def damage_named() -> Iterator[None]:
    """What is damaged here was prepared, and can be anew."""
    try:
        yield
    except DataError as error:
        raise DamagedRowsError(
            f"{error}{_REMEDY}: remove that Zarr group (prepared.zarr in the run directory) and "
            "run the same command again"
        ) from None


@dataclass(frozen=True, slots=True)
class SourceDataset:
    """A data set whose rows a source yields once, part by part; picklable.

    Parameters
    ----------
    source : RowSource
    description : SourceDescription
        Of the source.
    parts : tuple of RowPart
        Of the source, in order.
    prepared : StoredDataset, optional
        The same rows, written plainly; without them `read_blocks` is an error.
    """

    source: RowSource
    description: SourceDescription
    parts: tuple[RowPart, ...]
    prepared: StoredDataset | None = None

    @classmethod
    def of(cls, source: RowSource) -> Self:
        """A source's data set; no values are read.

        Raises
        ------
        DataError
            If it has no rows, no features, or names that are not unique.
        """
        described, parts = source.description, source.parts()
        names = described.feature_names
        feature_names_from(names, len(names), described.kind)
        if not names or not any(part.n_rows for part in parts):
            raise DataError(
                f"{described.kind}: {sum(part.n_rows for part in parts):,} rows and {len(names)} "
                "features were found; expected at least one of each"
            )
        return cls(source, described, parts)

    @property
    def kind(self) -> str:
        """What the source is, in words."""
        return self.description.kind

    @property
    def n_samples(self) -> int:
        """Rows of all parts."""
        return sum(part.n_rows for part in self.parts)

    @property
    def n_features(self) -> int:
        """Columns."""
        return len(self.description.feature_names)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value that the source yields."""
        return self.description.dtype

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The source's."""
        return self.description.feature_names

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the prepared array bears: the source's attributes, names and units."""
        described = self.description
        own = {"feature_names": list(described.feature_names)}
        units = {"units": dict(described.units)} if described.units else {}
        return {**described.attributes, **own, **units}

    @property
    def warnings(self) -> tuple[str, ...]:
        """The source's."""
        return self.description.warnings

    @property
    def fill_value(self) -> FillValue | None:
        """The source's; None where missing values are NaN."""
        return self.description.fill_value

    @property
    def valid_range(self) -> ValidRange | None:
        """The source's; None where values outside of it are NaN."""
        return self.description.valid_range

    @property
    def grid(self) -> BlockGrid:
        """How the rows are cut into blocks."""
        return BlockGrid(self.n_samples, self.n_features)

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """That of the prepared rows."""
        return 3

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk of prepared rows."""
        return prepared_chunk_rows(self.grid, self.dtype)

    @property
    def read_bytes(self) -> int:
        """Bytes of one read of prepared rows: a chunk."""
        rows = min(self.chunk_rows, self.n_samples)
        return rows * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of a prepared row: its values, its weight and its residuals."""
        beside = self.description.has_weights + len(self.description.residuals)
        return self.n_features * self.dtype.itemsize + 8 * beside

    def with_prepared(self, rows: StoredDataset) -> Self:
        """The same data set, whose rows can be read."""
        return replace(self, prepared=rows)

    def with_cache(self, n_bytes: int) -> Self:
        """The same rows; each process that reads them may cache so many bytes of them."""
        rows = self.prepared
        return self if rows is None else replace(self, prepared=rows.with_cache(n_bytes))

    def with_retries(self, seconds: float) -> Self:
        """The same rows; reads that fail transiently are tried again for so long."""
        rows = self.prepared
        return self if rows is None else replace(self, prepared=rows.with_retries(seconds))

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks of prepared rows.

        Raises
        ------
        RuntimeError
            If they were not prepared.
        DamagedRowsError
            If a chunk of them is damaged.
        """
        if self.prepared is None:
            raise RuntimeError(f"the rows of this {self.description.kind} were not prepared")
        return self._blocks(self.prepared, blocks)

    def _blocks(self, prepared: StoredDataset, blocks: BlockRange) -> Iterator[RowBlock]:
        with damage_named():
            yield from prepared.read_blocks(blocks)

    def locate(self, row: int) -> str:
        """Where a row lies in the source."""
        return self.source.locate(row)

    def fingerprint(self) -> dict[str, Any]:
        """Shape and type of the rows, and what identifies the source."""
        return {
            "kind": self.description.kind,
            "shape": [self.n_samples, self.n_features],
            "dtype": self.dtype.name,
            "source": self.source.fingerprint(),
        }

    def check_unchanged(self) -> None:
        """Ask the source, and what was prepared.

        Raises
        ------
        DataError
            If one of them has changed.
        """
        self.source.check_unchanged()
        if self.prepared is not None:
            self.prepared.check_unchanged()
