"""Rows of a .npy file: an input format of a package that dgmm does not know."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from dgmm.data.formats import DataSource
from dgmm.data.row_block import RowBlock
from dgmm.errors import DataNotFoundError
from dgmm.reduction.blocks import BlockGrid, BlockRange


@dataclass(frozen=True)
class NpyDataset:
    """Rows (n, d) of a .npy file."""

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    digest: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    fill_value: None = None
    valid_range: None = None
    zarr_format: Literal[2, 3] = 3
    read_bytes: int = 2**20

    @property
    def n_samples(self) -> int:
        return self.shape[0]

    @property
    def n_features(self) -> int:
        return self.shape[1]

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"x{i}" for i in range(self.n_features))

    @property
    def grid(self) -> BlockGrid:
        return BlockGrid(*self.shape)

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        rows = np.load(self.path, mmap_mode="r")
        for block in range(blocks.start, blocks.stop):
            start, stop = self.grid.rows(block)
            yield RowBlock(block, start, np.array(rows[start:stop]))

    def locate(self, row: int) -> str:
        return f"{self.path}, row {row}"

    def fingerprint(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "dtype": self.dtype.name, "sha256": self.digest}

    def check_unchanged(self) -> None:
        """A file that a test has written stays as it is."""

    def with_cache(self, n_bytes: int) -> Self:
        return self

    def with_retries(self, seconds: float) -> Self:
        return replace(self)


def open_npy(source: DataSource) -> NpyDataset:
    path = Path(source.path)
    if not path.exists():
        raise DataNotFoundError(f"{path} is absent")
    rows = np.load(path, mmap_mode="r")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return NpyDataset(path, rows.shape, rows.dtype, digest)
