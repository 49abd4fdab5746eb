from __future__ import annotations

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from dgmm.data.zarr import small_files
from dgmm.data.zarr.small_files import SmallFilesStore

SMALL, LARGE = (64, 4), (20_000, 4)  # 2 kB and 640 kB of float64


def written(folder, chunks, **options):
    rows = np.random.default_rng(0).normal(size=(40_000 if chunks == LARGE else 6_400, 4))
    zarr.create_array(str(folder), data=rows, chunks=chunks, compressors=None, **options)
    return rows


def opened(folder):
    return zarr.open_array(SmallFilesStore(folder, read_only=True), mode="r")


@pytest.fixture
def by_threads(monkeypatch):
    """How many files were left to Zarr's threads."""
    asked = []
    theirs = LocalStore.get

    async def get(self, key, prototype=None, byte_range=None):
        asked.append(key)
        return await theirs(self, key, prototype, byte_range)

    monkeypatch.setattr(LocalStore, "get", get)
    return asked


@pytest.mark.parametrize("chunks", [SMALL, LARGE])
def test_rows_are_those_that_were_written(tmp_path, chunks):
    rows = written(tmp_path / "a", chunks)
    np.testing.assert_array_equal(opened(tmp_path / "a")[100:-100], rows[100:-100])


def test_shards_are_read_as_zarr_reads_them(tmp_path):
    rows = written(tmp_path / "a", SMALL, shards=(640, 4))
    np.testing.assert_array_equal(opened(tmp_path / "a")[100:700], rows[100:700])


def test_chunks_that_are_not_there_hold_the_fill_value(tmp_path):
    written(tmp_path / "a", SMALL)
    (tmp_path / "a" / "c" / "1" / "0").unlink()
    (tmp_path / "a" / "c" / "2" / "0").unlink()
    (tmp_path / "a" / "c" / "2" / "0").mkdir()
    assert (opened(tmp_path / "a")[64:192] == 0).all()


def test_a_file_that_may_not_be_read_is_an_error_as_zarrs(tmp_path, monkeypatch):
    written(tmp_path / "a", SMALL)
    array = opened(tmp_path / "a")

    def refused(_):
        raise PermissionError(13, "refused")

    monkeypatch.setattr(small_files, "_content_if_small", refused)
    with pytest.raises(PermissionError, match="refused"):
        array[:64]


def test_small_files_need_no_thread_and_large_ones_get_theirs(tmp_path, monkeypatch, by_threads):
    for name, chunks in (("small", SMALL), ("large", LARGE)):
        written(tmp_path / name, chunks)
        array = opened(tmp_path / name)
        by_threads.clear()
        monkeypatch.setattr(small_files, "time", Clock())
        array[:]
        assert len(by_threads) == (0 if name == "small" else 2)


def test_slow_storage_is_asked_many_times_at_once_and_looked_at_again(
    tmp_path, monkeypatch, by_threads
):
    monkeypatch.setattr(small_files, "_SLOW_FILES", 40)
    written(tmp_path / "a", SMALL)
    array, read, clock = opened(tmp_path / "a"), small_files._content_if_small, Clock()
    monkeypatch.setattr(small_files, "time", clock)

    def slow(path):
        clock.now += 0.002
        return read(path)

    by_threads.clear()
    monkeypatch.setattr(small_files, "_content_if_small", slow)
    array[:]  # 100 files: 5 are slow, 40 left to threads, 5 slow, 40 to threads, 5, 5 to threads
    assert len(by_threads) == 85
    monkeypatch.setattr(small_files, "_content_if_small", read)
    array[:]
    assert len(by_threads) == 85 + 35  # what was left of forty
    array[:]
    assert len(by_threads) == 85 + 35


def test_one_late_answer_tells_nothing_of_storage(tmp_path, monkeypatch, by_threads):
    written(tmp_path / "a", SMALL)
    array, read, clock = opened(tmp_path / "a"), small_files._content_if_small, Clock()
    monkeypatch.setattr(small_files, "time", clock)

    def late_once(path):
        clock.now += 3.0 if path.parent.name == "7" else 0.0001
        return read(path)

    monkeypatch.setattr(small_files, "_content_if_small", late_once)
    by_threads.clear()
    array[:]
    assert by_threads == []


class Clock:
    """Goes on where it is told to."""

    now = 0.0

    def perf_counter(self):
        return self.now
