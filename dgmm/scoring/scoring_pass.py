"""The scoring pass: labels, posteriors and log densities of every row, written by the workers.

An output chunk is a fixed whole number of blocks and tasks are aligned to it, so no two tasks ever
write into one chunk. Its statistics belong to the very parameters that are saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.row_block import RowBlock
from dgmm.data.zarr import output_store as zarr_output
from dgmm.data.zarr.format_versions import ZarrFormat
from dgmm.data.zarr.output_store import OutputArray
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.reduction.checksums import Digests, digest_of
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.reduction.task_size import most_blocks
from dgmm.reduction.tree import PassProgress
from dgmm.run_record import Output
from dgmm.scoring.block_scorer import BlockScorer
from dgmm.scoring.fill_values import filled_rows
from dgmm.scoring.most_anomalous import MostAnomalous
from dgmm.scoring.output_registry import RowOutput, ScoredBlock, row_output
from dgmm.scoring.partial_rows import require_marginals
from dgmm.scoring.row_scores import ScoredMixture
from dgmm.scoring.scoring_statistics import ScoringStatistics
from dgmm.storage.folders import Target

_MIN_CHUNK_ROWS, _MAX_CHUNK_ROWS, _FEW_CHUNKS = 131_072, 1_048_576, 4096
_RESPONSIBILITIES_BYTES = 16 * 1024 * 1024


def chunk_blocks(grid: BlockGrid) -> int:
    """Blocks in one output chunk, from the data's size alone.

    At least 131,072 rows; more where an array then has 4096 chunks, but never more than about
    a million: a task holds a chunk.
    """
    rows = min(max(_MIN_CHUNK_ROWS, -(-grid.n_samples // _FEW_CHUNKS)), _MAX_CHUNK_ROWS)
    return -(-rows // grid.rows_per_block)


def responsibilities_chunk_rows(grid: BlockGrid, k: int) -> int:
    """Rows of a chunk of responsibilities: a power-of-two part of a block, at most 16 MiB."""
    rows = grid.rows_per_block
    while rows % 2 == 0 and rows > 1 and rows * k * 4 > _RESPONSIBILITIES_BYTES:
        rows //= 2
    return rows


@dataclass(frozen=True, slots=True)
class Products:
    """Which arrays are written, where, and by which run (see `OutputArray`)."""

    path: str
    names: tuple[str, ...]
    run: str | None = None
    outputs: tuple[RowOutput, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Look the outputs up here: a worker process may know other ones."""
        object.__setattr__(self, "outputs", tuple(map(row_output, self.names)))

    @property
    def posterior_dtype(self) -> str | None:
        """Type of all posteriors where an output needs them."""
        return "float32" if any(output.needs_posteriors for output in self.outputs) else None

    @property
    def merges(self) -> bool:
        """Whether an output needs clusters."""
        return any(output.needs_clusters for output in self.outputs)

    @property
    def imputes(self) -> bool:
        """Whether an output needs expected values."""
        return any(output.is_per_feature for output in self.outputs)

    def create(
        self,
        grid: BlockGrid,
        n_components: int,
        attributes: dict[str, Any],
        zarr_format: ZarrFormat = 3,
        place: Target | None = None,
        *,
        has_noise: bool = False,
    ) -> None:
        """Make the group and its empty arrays; nothing where none is wanted.

        `place` is the path, or its open folder.
        """
        if not self.names:
            return
        place = self.path if place is None else place
        zarr_output.create_outputs(place, attributes, zarr_format, self.run)
        chunk_rows = min(chunk_blocks(grid) * grid.rows_per_block, max(grid.n_samples, 1))
        sizes = n_components + has_noise, grid.n_features
        for output in self.outputs:
            own = output.shape(*sizes)
            rows = chunk_rows
            if output.is_wide:
                # In units of four bytes, as posteriors have.
                rows = responsibilities_chunk_rows(grid, output.row_bytes(*sizes) // 4)
            zarr_output.create_array(
                place,
                output.name,
                shape=(grid.n_samples, *own),
                chunks=(min(rows, max(grid.n_samples, 1)), *own),
                dtype=output.dtype,
                dimension_names=("row", "feature" if output.is_per_feature else "component")[
                    : 1 + len(own)
                ],
                fill_value=output.fill,
                attributes=output.attributes(n_components, has_noise=has_noise),
                zarr_format=zarr_format,
            )


@dataclass(frozen=True, slots=True, eq=False)
class RowWriter:
    """Scores a range of blocks and writes its chunks; picklable."""

    dataset: Dataset
    model: ScoredMixture
    products: Products
    missing: MissingPolicy
    backend: str
    n_most_anomalous: int = 0

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, ScoringStatistics]]:
        """Yield (block, statistics); a chunk is on disk before its last block is yielded."""
        score = BlockScorer(
            *(self.dataset, self.model, self.missing, self.backend, self.products.posterior_dtype),
            impute=self.products.imputes,
            merge=self.products.merges,
        )
        per_chunk, grid = chunk_blocks(self.dataset.grid), self.dataset.grid
        writer = ChunkWriter(self.products, grid)
        for block in self.dataset.read_blocks(blocks):
            scored = score(block)
            found = replace(scored.block, residuals=block.residuals)
            digests, statistics = writer.add(block.index, found), scored.count()
            filled = filled_rows(self.dataset, block, scored.rows)
            lowest = self._lowest(block, found)
            del scored, found  # its posteriors must not stand beside those of the next block
            if (block.index + 1) % per_chunk == 0 or block.index + 1 == blocks.stop:
                digests |= writer.flush()
            counted = replace(statistics, n_filled=filled, digests=digests)
            yield block.index, replace(counted, most_anomalous=lowest)

    def _lowest(self, block: RowBlock, found: ScoredBlock) -> MostAnomalous | None:
        """The block's rows of lowest log density, where they are asked for."""
        if self.n_most_anomalous == 0:
            return None
        return MostAnomalous.of_block(self.n_most_anomalous, block.start, found, block.values)


def scoring_pass(
    dataset: Dataset,
    executor: Executor,
    model: ScoredMixture,
    products: Products,
    *,
    missing: MissingPolicy,
    backend: str,
    progress: PassProgress[ScoringStatistics] | None = None,
    n_most_anomalous: int = 0,
) -> ScoringStatistics:
    """Read all rows once, write all products, return the exact statistics of the saved parameters.

    Parameters
    ----------
    dataset, executor
        What is read, and where.
    model
        The saved model; rows are flagged where it has a threshold.
    products
        The arrays to write, made before.
    missing
        What is done with missing values; rows that are left out get label −1 and NaN scores.
    backend
        The name of what computes, the same for all workers (`select_scoring_backend`).
    progress
        Saves the finished parts: their chunks are on disk, and are not written again.
    n_most_anomalous
        Rows of lowest log density that are returned with their values; 0 for none.
    """
    require_marginals(model.parameters, missing)
    leaves = RowWriter(dataset, model, products, missing, backend, n_most_anomalous)
    grid = dataset.grid
    flops = 4.0 * model.n_components * model.parameters.family.width(grid.n_features)
    return map_reduce(
        executor,
        leaves,
        grid.n_blocks,
        align=chunk_blocks(grid),
        most_blocks=most_blocks(flops, 8 * model.n_components, grid, executor.n_threads),
        progress=progress,
    )


class ChunkWriter:
    """Collects blocks until a chunk is whole, then writes it and syncs it to disk."""

    def __init__(self, products: Products, grid: BlockGrid) -> None:
        self._grid = grid
        self._outputs = products.outputs
        self._arrays = {n: OutputArray(products.path, n, products.run) for n in products.names}
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in self._arrays}
        self._start: int | None = None

    def add(self, block: int, scored: ScoredBlock) -> dict[str, str]:
        """Take a block's values; those of arrays with a value per component are written at once."""
        row = self._grid.rows(block)[0]
        if self._start is None:
            self._start = row
        digests = {}
        for output in self._outputs:
            if output.is_wide:
                digests[output.name] = self._write(output.name, row, output.of(scored))
            else:
                self._parts[output.name].append(output.of(scored))
        return digests

    def flush(self) -> dict[str, str]:
        """Write the collected chunk; return its checksums."""
        digests = {}
        for name, parts in self._parts.items():
            if parts and self._start is not None:
                digests[name] = self._write(name, self._start, np.concatenate(parts))
                parts.clear()
        self._start = None
        return digests

    def _write(self, name: str, row: int, values: NDArray[Any]) -> str:
        array = self._arrays[name]
        array.write(row, values)
        array.sync(row, row + len(values))
        return digest_of(values)


def describe(
    path: str | Path, names: tuple[str, ...], digests: Digests, backend: str
) -> dict[str, Output]:
    """The entry of each array in run.json."""
    described: dict[str, Output] = {}
    for name in names:
        array = OutputArray(str(path), name)
        described[name] = {
            "dtype": row_output(name).dtype,
            "shape": list(array.shape),
            "chunk_rows": array.chunk_rows,
            "sha256": digests[name],
            "backend": backend,
            "bytes": sum(f.stat().st_size for f in Path(path, name).rglob("*") if f.is_file()),
        }
    return described
