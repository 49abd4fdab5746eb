"""What every data set keeps to, whatever it reads: the protocols `Dataset` and `StoredDataset`."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import zarr

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.cache_budget import with_cached_rows
from dgmm.data.dataset import Dataset
from dgmm.data.row_block import RowBlock
from dgmm.data.selected_features import SelectedFeatures, selected
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.plain_rows import PlainRows
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.summary.summarise import summarise
from dgmm.data.zarr.dataset import open_zarr
from dgmm.execution.threads import ThreadExecutor
from dgmm.ingest.prepare import PreparedTarget, prepare, with_prepared_rows
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.storage.folders import Folder

N, D = 9000, 3
ROWS = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2.0, N)


@dataclass(frozen=True)
class FileDataset:
    """Rows of a `.npy` file: a data set that dgmm does not know, with a storage of its own."""

    path: Path
    cache_bytes: int = 0
    retry_s: float = 0.0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    fill_value: None = None
    valid_range: None = None
    zarr_format: int = 3
    read_bytes: int = 1

    @property
    def _rows(self) -> Any:
        return np.load(self.path, mmap_mode="r")

    @property
    def n_samples(self) -> int:
        return int(self._rows.shape[0])

    @property
    def n_features(self) -> int:
        return int(self._rows.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self._rows.dtype)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"x{i}" for i in range(self.n_features))

    @property
    def grid(self) -> BlockGrid:
        return BlockGrid(self.n_samples, self.n_features)

    def read_blocks(self, run: BlockRange) -> Iterator[RowBlock]:
        for index in range(run.start, run.stop):
            start, stop = self.grid.rows(index)
            yield RowBlock(index, start, np.array(self._rows[start:stop]))

    def locate(self, row: int) -> str:
        return f"row {row}"

    def fingerprint(self) -> dict[str, Any]:
        return {"bytes": self.path.stat().st_size}

    def check_unchanged(self) -> None:
        pass

    def with_cache(self, n_bytes: int) -> Self:
        return replace(self, cache_bytes=n_bytes)

    def with_retries(self, seconds: float) -> Self:
        return replace(self, retry_s=seconds)


def zarr_of(folder: Path, zarr_format: int) -> Dataset:
    options: dict[str, Any] = {"chunks": (1000, 2), "zarr_format": zarr_format}
    array = zarr.create_array(str(folder), shape=ROWS.shape, dtype=ROWS.dtype, **options)
    array[...] = ROWS
    return open_zarr(str(folder))


def prepared_of(folder: Path) -> Dataset:
    """Rows of a source, once they are prepared."""
    dataset = SourceDataset.of(PlainRows(zarr_of(folder, 2)))
    with Folder(folder.parent) as parent, ThreadExecutor(2) as executor:
        target = PreparedTarget(parent, "prepared.zarr", "a" * 64)
        prepare(dataset, executor, target)
        return with_prepared_rows(dataset, target)


def file_of(folder: Path) -> Dataset:
    path = folder.with_suffix(".npy")
    np.save(path, ROWS)
    return FileDataset(path)


SOURCES = {
    "zarr 2": lambda path: zarr_of(path, 2),
    "zarr 3": lambda path: zarr_of(path, 3),
    "prepared": prepared_of,
    "array": lambda _: ArrayDataset(ROWS),
    "array with weights": lambda _: ArrayDataset(ROWS, weights=WEIGHTS),
    "defined here": file_of,
}
COLUMNS = {"": None, ", other order": (2, 0, 1), ", fewer columns": (1,)}
CASES = [(source, columns) for source in SOURCES for columns in COLUMNS]


@pytest.fixture(params=CASES, ids="".join)
def case(request, tmp_path, monkeypatch):
    """A data set and the rows it has."""
    # Blocks of one column are longer than those of three, and no multiple of them.
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 8 * 8192)
    monkeypatch.setattr("dgmm.reduction.blocks.ROW_QUANTUM", 1024)
    source, columns = request.param
    dataset, taken = SOURCES[source](tmp_path / "rows"), COLUMNS[columns]
    if taken is None:
        return dataset, ROWS
    return selected(dataset, taken), ROWS[:, taken]


def unselected(dataset: Dataset) -> Any:
    """The data set with all its columns."""
    return dataset.rows if isinstance(dataset, SelectedFeatures) else dataset


def read(dataset: Dataset, run: BlockRange | None = None) -> np.ndarray:
    run = run or BlockRange(0, dataset.grid.n_blocks)
    blocks = list(dataset.read_blocks(run))
    assert [block.index for block in blocks] == list(range(run.start, run.stop))
    for block in blocks:
        assert (block.start, block.stop) == dataset.grid.rows(block.index)
        assert block.values.flags.c_contiguous
        assert block.values.dtype == dataset.dtype
        assert block.weights is None or block.weights.shape == (len(block.values),)
    return np.concatenate([block.values for block in blocks])


def test_its_sizes_are_those_of_its_rows(case):
    dataset, rows = case
    assert (dataset.n_samples, dataset.n_features) == rows.shape
    assert dataset.grid == BlockGrid(*rows.shape)
    assert len(dataset.feature_names) == rows.shape[1]
    assert dataset.dtype == np.float32


def test_any_range_of_blocks_has_its_rows(case):
    dataset, rows = case
    np.testing.assert_array_equal(read(dataset), rows)
    for start in range(dataset.grid.n_blocks):
        first = dataset.grid.rows(start)[0]
        run = BlockRange(start, dataset.grid.n_blocks)
        np.testing.assert_array_equal(read(dataset, run), rows[first:])
        _, stop = dataset.grid.rows(start)
        np.testing.assert_array_equal(read(dataset, BlockRange(0, start + 1)), rows[:stop])


def test_its_weights_go_with_its_rows(case):
    dataset, _ = case
    blocks = list(dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks)))
    source = unselected(dataset)
    if getattr(source, "weights", None) is None:
        assert all(block.weights is None for block in blocks)
    else:
        found = np.concatenate([block.weights for block in blocks])
        np.testing.assert_array_equal(found, WEIGHTS)


def test_it_is_read_in_another_process_as_here(case):
    dataset, rows = case
    np.testing.assert_array_equal(read(pickle.loads(pickle.dumps(dataset))), rows)  # noqa: S301 - ours


def test_its_fingerprint_is_json_and_stays(case):
    dataset, _ = case
    dataset.check_unchanged()
    assert json.dumps(dataset.fingerprint()) == json.dumps(dataset.fingerprint())
    others = selected(dataset, tuple(range(dataset.n_features))[::-1])
    assert others.fingerprint() != dataset.fingerprint()


def test_it_says_where_a_row_lies(case):
    assert "8999" in case[0].locate(8999)


def test_its_summary_is_bit_identical_to_that_of_its_rows_in_memory(case):
    dataset, rows = case
    source = unselected(dataset)
    held = ArrayDataset(rows, weights=getattr(source, "weights", None))
    with ThreadExecutor(1) as executor:
        found, expected = (
            summarise(some, executor, missing="error", sample_rows=100, seed=0)
            for some in (dataset, held)
        )
    for name in ("mean", "variance", "minimum_row", "sample"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_what_is_stored_answers_what_a_job_asks(case):
    dataset, rows = case
    source = unselected(dataset)
    assert isinstance(dataset, StoredDataset) is not isinstance(source, ArrayDataset)
    if not isinstance(dataset, StoredDataset):
        assert with_cached_rows(dataset, 2) is dataset
        return
    assert dataset.zarr_format == source.zarr_format
    assert dataset.read_bytes == source.read_bytes > 0
    changed = dataset.with_cache(12345).with_retries(7.0)
    assert type(changed) is type(dataset)
    changed_source = unselected(changed)
    assert changed_source == source.with_cache(12345).with_retries(7.0) != source
    np.testing.assert_array_equal(read(changed), rows)
    assert unselected(with_cached_rows(dataset, 2)) != source
