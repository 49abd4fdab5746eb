"""Decoded rows stay, within their bounds, until another data set comes or the job ends."""

from __future__ import annotations

import errno
import mmap
import threading
from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, write_zarr

from dgmm.data.summary.summarise import summarise
from dgmm.data.zarr.chunk_reading import ChunkReader
from dgmm.data.zarr.dataset import ZarrDataset, open_zarr
from dgmm.errors import DataError
from dgmm.estimator.gaussian_mixture import GaussianMixture
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.reduction.blocks import BlockRange
from dgmm.runtime.row_cache import RowCache, process_cache

N, D, CHUNK = 30_000, 5, 4096
CHUNK_BYTES = CHUNK * D * 8


@pytest.fixture(autouse=True)
def _small_blocks_and_an_empty_cache(monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)  # 4096 rows: a chunk a block
    process_cache.drop()
    yield
    process_cache.drop()


@pytest.fixture
def decoded(monkeypatch):
    """The bands that were decoded, in order."""
    seen: list[tuple[int, int]] = []
    whole = ChunkReader.rows

    def counted(self, start, stop):
        seen.append((start, stop))
        return whole(self, start, stop)

    monkeypatch.setattr(ChunkReader, "rows", counted)
    return seen


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return write_zarr(tmp_path / "rows.zarr", gaussian_clusters(N, D)[0], chunks=(CHUNK, D))


def read(dataset: ZarrDataset, blocks: BlockRange | None = None) -> np.ndarray:
    blocks = blocks or BlockRange(0, dataset.grid.n_blocks)
    return np.concatenate([block.values for block in dataset.read_blocks(blocks)])


def cached(
    cache: RowCache, source: str, band: int, start: int, rows: np.ndarray, budget: int
) -> None:
    """Do as a read does: look, decode, add."""
    assert cache.find(source, band, start, start + len(rows)) is None
    cache.add(source, band, start, rows, budget)


def test_rows_are_decoded_once_where_all_fit(stored, decoded):
    dataset = open_zarr(str(stored)).with_cache(N * D * 8)
    first = read(dataset)
    assert len(decoded) == dataset.grid.n_blocks
    np.testing.assert_array_equal(read(dataset), first)
    assert len(decoded) == dataset.grid.n_blocks
    assert process_cache.n_bytes == N * D * 8


def test_the_first_that_fit_stay_and_the_others_are_read_in_every_pass(stored, decoded):
    dataset = open_zarr(str(stored)).with_cache(3 * CHUNK_BYTES + 1)
    first = read(dataset)
    for _ in range(3):
        decoded.clear()
        np.testing.assert_array_equal(read(dataset), first)
        assert decoded == [dataset.grid.rows(block) for block in range(3, dataset.grid.n_blocks)]
        assert process_cache.n_bytes == 3 * CHUNK_BYTES


def test_nothing_stays_unless_it_is_asked_for(stored, decoded):
    dataset = open_zarr(str(stored))
    read(dataset)
    read(dataset)
    assert len(decoded) == 2 * dataset.grid.n_blocks
    assert process_cache.n_bytes == 0


def test_ranges_cut_elsewhere_find_what_lies_within_what_is_cached(tmp_path, decoded):
    X = gaussian_clusters(N, D)[0]
    path = write_zarr(tmp_path / "rows.zarr", X, chunks=(3 * CHUNK, D))
    dataset = open_zarr(str(path)).with_cache(2 * X.nbytes)
    read(dataset, BlockRange(0, 2))
    read(dataset, BlockRange(2, 8))
    decoded.clear()
    np.testing.assert_array_equal(read(dataset, BlockRange(1, 2)), X[CHUNK : 2 * CHUNK])
    assert decoded == []
    # One chunk lies in two parts: it is decoded again, and then cached in place of both.
    np.testing.assert_array_equal(read(dataset), X)
    assert decoded == [(0, 3 * CHUNK)]
    assert process_cache.n_bytes == X.nbytes
    decoded.clear()
    read(dataset)
    assert decoded == []


def test_another_data_set_takes_the_place_of_the_first(stored, tmp_path):
    other = write_zarr(tmp_path / "other.zarr", gaussian_clusters(CHUNK, D)[0], chunks=(CHUNK, D))
    read(open_zarr(str(stored)).with_cache(10**9))
    read(open_zarr(str(other)).with_cache(10**9))
    assert process_cache.n_bytes == CHUNK_BYTES


def test_a_chunk_written_again_is_another_data_sets(tmp_path):
    X = gaussian_clusters(N, D)[0]
    path = write_zarr(tmp_path / "rows.zarr", X, chunks=(CHUNK, D))
    first = open_zarr(str(path)).with_cache(10**9)
    np.testing.assert_array_equal(read(first), X)
    write_zarr(path, X + 1, chunks=(CHUNK, D), overwrite=True)
    again = open_zarr(str(path)).with_cache(10**9)
    np.testing.assert_array_equal(read(again), X + 1)


def test_a_chunk_that_vanished_while_its_rows_were_cached_is_noticed_at_the_end(stored):
    dataset = open_zarr(str(stored)).with_cache(10**9)
    first = read(dataset)
    (stored / "c" / "2" / "0").unlink()
    np.testing.assert_array_equal(read(dataset), first)
    with pytest.raises(DataError, match="changed during the run"):
        dataset.check_unchanged()


def test_a_fit_whose_chunk_vanished_meanwhile_fails_though_its_rows_were_cached(
    stored, monkeypatch
):
    whole = em.run

    def robbed(*arguments, **options):
        (stored / "c" / "2" / "0").unlink(missing_ok=True)
        return whole(*arguments, **options)

    monkeypatch.setattr(em, "run", robbed)
    with pytest.raises(DataError, match="changed during the run"):
        GaussianMixture(3).fit(stored)


def test_rows_that_others_will_read_cannot_be_written_to(stored):
    dataset = open_zarr(str(stored)).with_cache(10**9)
    for _ in range(2):
        rows = next(iter(dataset.read_blocks(BlockRange(0, 1)))).values
        with pytest.raises(ValueError, match="read-only"):
            rows[0, 0] = 1.0


def test_nothing_stays_in_this_process_when_its_threads_end(stored):
    dataset = open_zarr(str(stored)).with_cache(10**9)
    with ThreadExecutor(2) as executor:
        list(
            executor.run(
                lambda blocks: len(read(dataset, blocks)), [BlockRange(0, 4), BlockRange(4, 8)]
            )
        )
        assert process_cache.n_bytes == N * D * 8
    assert process_cache.n_bytes == 0


@pytest.mark.parametrize("budget", [0, 3 * CHUNK_BYTES, N * D * 8])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_no_bit_of_a_result_follows_what_is_cached(stored, budget, n_threads):
    dataset, options = open_zarr(str(stored)), {"missing": "error", "sample_rows": 100, "seed": 0}
    with ThreadExecutor(1) as executor:
        plain = summarise(dataset, executor, **options)
    with ThreadExecutor(n_threads) as executor:
        for _ in range(2):
            summary = summarise(dataset.with_cache(budget), executor, **options)
            assert summary.mean.tobytes() == plain.mean.tobytes()
            assert summary.variance.tobytes() == plain.variance.tobytes()


def test_rows_of_a_job_that_died_are_dropped_after_a_while(monkeypatch):
    monkeypatch.setattr("dgmm.runtime.row_cache.IDLE_S", 0.2)
    cache, rows = RowCache(), np.zeros((10, 2))
    cached(cache, "photos", 0, 0, rows, budget=1000)
    deadline = threading.Event()
    for _ in range(5):  # in use for longer than that
        deadline.wait(0.1)
        assert cache.find("photos", 0, 0, 10) is not None
    for _ in range(300):
        deadline.wait(0.1)
        if cache.n_bytes == 0:
            break
    assert cache.n_bytes == 0


def test_rows_decoded_for_a_data_set_that_was_replaced_are_not_cached():
    cache = RowCache()
    cache.find("old", 0, 0, 10)
    cache.find("new", 0, 0, 10)
    cache.add("old", 0, 0, np.zeros((10, 2)), budget=1000)
    assert cache.n_bytes == 0
    assert cache.find("new", 0, 0, 10) is None


def test_the_bytes_of_what_a_view_shows_part_of_are_not_kept_in_memory():
    cache, whole = RowCache(), np.zeros((1000, 2))
    cached(cache, "photos", 0, 0, whole[:10], budget=1000)
    found = cache.find("photos", 0, 0, 10)
    assert found is not None
    assert not np.shares_memory(found, whole)


def test_what_is_cached_lies_outside_the_memory_that_chunks_come_from():
    cache = RowCache()
    cached(cache, "photos", 0, 0, np.ones((10, 2)), budget=1000)
    found = cache.find("photos", 0, 0, 10)
    while isinstance(found, np.ndarray):
        found = found.base
    assert isinstance(found.obj if isinstance(found, memoryview) else found, mmap.mmap)


def test_where_the_system_has_no_memory_nothing_is_cached(monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.ENOMEM, "no memory")

    cache = RowCache()
    monkeypatch.setattr("dgmm.runtime.cached_bands.mmap.mmap", refused)
    cached(cache, "photos", 0, 0, np.ones((10, 2)), budget=1000)
    cached(cache, "photos", 1, 10, np.ones((0, 2)), budget=1000)
    assert cache.n_bytes == 0
    assert cache.find("photos", 0, 0, 10) is None


def test_many_threads_never_cache_more_than_the_limit():
    cache = RowCache()

    def fill(seed: int) -> None:
        for band in np.random.default_rng(seed).permutation(200):
            cache.find("photos", int(band), int(band) * 10, int(band) * 10 + 10)
            cache.add("photos", int(band), int(band) * 10, np.zeros((10, 2)), budget=5000)

    threads = [threading.Thread(target=fill, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    n_cached = sum(cache.find("photos", b, 10 * b, 10 * b + 10) is not None for b in range(200))
    assert cache.n_bytes == 160 * n_cached
    assert n_cached == 5000 // 160


def test_a_band_that_grows_stays_within_the_limit():
    cache = RowCache()
    cached(cache, "photos", 0, 0, np.zeros((10, 2)), budget=200)
    cached(cache, "photos", 0, 0, np.zeros((20, 2)), budget=200)
    assert cache.n_bytes == 160
    assert cache.find("photos", 0, 0, 20) is None
