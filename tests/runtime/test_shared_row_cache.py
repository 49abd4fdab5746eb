"""Fits that are open at the same time in one process share its cache."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, write_zarr

from dgmm.data.zarr.chunk_reading import ChunkReader
from dgmm.data.zarr.dataset import ZarrDataset, open_zarr
from dgmm.estimator.gaussian_mixture import GaussianMixture
from dgmm.execution import worker_lease
from dgmm.execution.threads import ThreadExecutor
from dgmm.reduction.blocks import BlockRange
from dgmm.runtime.row_cache import RowCache, process_cache

N_CHUNKS, D, CHUNK = 6, 5, 4096
CHUNK_BYTES = CHUNK * D * 8

Reads = collections.Counter[tuple[str, int]]


@pytest.fixture(autouse=True)
def _blocks_of_a_chunk_and_an_empty_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)
    process_cache.drop()
    yield
    process_cache.drop()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """How often each chunk was decoded, by folder and first row."""
    seen: Reads = collections.Counter()
    rows = ChunkReader.rows

    def counted(self: ChunkReader, start: int, stop: int) -> np.ndarray:
        seen[self.folder, start] += 1
        return rows(self, start, stop)

    monkeypatch.setattr(ChunkReader, "rows", counted)
    return seen


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    X = gaussian_clusters(N_CHUNKS * CHUNK, D)[0]
    return [write_zarr(tmp_path / f"{name}.zarr", X, chunks=(CHUNK, D)) for name in "ab"]


def one_pass(executor: ThreadExecutor, dataset: ZarrDataset) -> None:
    def read(blocks: BlockRange) -> int:
        return sum(len(block.values) for block in dataset.read_blocks(blocks))

    ranges = [BlockRange(0, 2), BlockRange(2, N_CHUNKS)]
    assert sum(n for _, n in executor.run(read, ranges)) == N_CHUNKS * CHUNK


def test_two_fits_that_take_turns_decode_each_chunk_once(
    stores: list[Path], reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, run = threading.Barrier(2, timeout=60), ThreadExecutor.run

    def in_turn(self, task, ranges, *, align=1):
        turns.wait()  # both fits begin each of their passes together
        return run(self, task, ranges, align=align)

    monkeypatch.setattr(ThreadExecutor, "run", in_turn)
    fitted: list[GaussianMixture] = []

    def fit(path: Path) -> None:
        fitted.append(GaussianMixture(2, random_state=0, n_threads=1).fit(path))

    threads = [threading.Thread(target=fit, args=(path,)) for path in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = (model.n_iter_ for model in fitted)
    assert first == second > 1
    assert dict(reads) == {(str(p), i * CHUNK): 1 for p in stores for i in range(N_CHUNKS)}
    assert process_cache.n_bytes == 0


def test_each_data_set_keeps_its_share_and_gets_the_rest_when_the_other_fit_ends(
    stores: list[Path], reads: Reads
) -> None:
    first, second = (open_zarr(str(p)).with_cache(4 * CHUNK_BYTES) for p in stores)
    with ThreadExecutor(1) as executor:
        one_pass(executor, first)
        with ThreadExecutor(1) as other:
            one_pass(other, second)
            for _ in range(2):
                reads.clear()
                one_pass(executor, first)
                one_pass(other, second)
                read = collections.Counter(folder for folder, _ in reads)
                assert read == {str(path): N_CHUNKS - 2 for path in stores}
            assert process_cache.n_bytes == 4 * CHUNK_BYTES
        assert process_cache.n_bytes == 2 * CHUNK_BYTES
        one_pass(executor, first)
        reads.clear()
        one_pass(executor, first)
        assert len(reads) == N_CHUNKS - 4


def test_the_bands_that_were_cached_last_make_space(stores: list[Path], reads: Reads) -> None:
    first, second = (open_zarr(str(p)).with_cache(4 * CHUNK_BYTES) for p in stores)
    with ThreadExecutor(1) as executor, ThreadExecutor(1) as other:
        one_pass(executor, first)
        one_pass(other, second)
        reads.clear()
        one_pass(executor, first)
        assert [start for _, start in reads] == [i * CHUNK for i in range(2, N_CHUNKS)]


def test_two_fits_of_one_data_set_share_its_rows(stores: list[Path], reads: Reads) -> None:
    dataset = open_zarr(str(stores[0])).with_cache(10**9)
    with ThreadExecutor(1) as executor:
        with ThreadExecutor(1) as other:
            one_pass(executor, dataset)
            one_pass(other, dataset)
        one_pass(executor, dataset)
        assert set(reads.values()) == {1}
        assert process_cache.n_bytes == N_CHUNKS * CHUNK_BYTES
    assert process_cache.n_bytes == 0


def test_a_small_data_set_leaves_the_rest_of_its_share_to_others() -> None:
    cache = RowCache()
    with cache.reading("small"):
        read(cache, "few", [0], budget=160)
    with cache.reading("large"):
        read(cache, "many", range(9), budget=1600)
    assert cache.n_bytes == 1600


def test_a_budget_that_leaves_takes_bands_above_the_next_one_with_it() -> None:
    cache = RowCache()
    with ExitStack() as readers:
        for name, budget in (("a", 1600), ("b", 480), ("c", 480)):
            readers.enter_context(cache.reading(name))
            read(cache, f"rows of {name}", range(3), budget=budget)
    assert cache.n_bytes == 9 * 160
    cache.release("a")
    assert cache.n_bytes == 3 * 160


def read(cache: RowCache, source: str, bands: range | list[int], *, budget: int) -> None:
    for band in bands:
        if cache.find(source, band, 10 * band, 10 * band + 10) is None:
            cache.add(source, band, 10 * band, np.zeros((10, 2)), budget=budget)


def test_a_worker_that_serves_two_drivers_drops_the_rows_of_the_one_that_ends(
    stores: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Limit:
        def restore(self) -> None: ...

    datasets = [open_zarr(str(p)).with_cache(10**9) for p in stores]
    for token, dataset in zip("ab", datasets, strict=True):
        monkeypatch.setitem(worker_lease._leases, token, Limit())  # type: ignore[arg-type]

        def task(blocks: BlockRange, dataset: ZarrDataset = dataset) -> int:
            return sum(len(block.values) for block in dataset.read_blocks(blocks))

        packed = worker_lease.task_transfer.pack_task(task)
        worker_lease.run_leased(token, f"pass of {token}", packed, 0, N_CHUNKS)
    monkeypatch.setattr(worker_lease, "_ended", collections.deque(maxlen=256))
    assert process_cache.n_bytes == 2 * N_CHUNKS * CHUNK_BYTES
    worker_lease.end_lease("a")
    assert process_cache.n_bytes == N_CHUNKS * CHUNK_BYTES
    worker_lease.end_lease("b")
    assert process_cache.n_bytes == 0
