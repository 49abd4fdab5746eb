"""Bands are read in order, one ahead, and nothing goes on in the background afterwards."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from dgmm.data.zarr.read_ahead import bands, read_ahead

WANTED = [(0, 10), (10, 20), (20, 25)]


def test_bands_are_cut_at_multiples_and_cover_the_rows():
    assert list(bands(0, 25, 10)) == WANTED
    assert list(bands(7, 21, 10)) == [(7, 10), (10, 20), (20, 21)]
    assert list(bands(10, 10, 10)) == []


def test_rows_come_in_order():
    rows = [list(band) for band in read_ahead(np.arange, WANTED)]
    assert rows == [list(range(*band)) for band in WANTED]
    assert list(read_ahead(np.arange, [])) == []


def test_the_next_band_is_read_while_this_one_is_used_and_no_further():
    started = {start: threading.Event() for start, _ in WANTED}

    def read(start, stop):
        started[start].set()
        return np.arange(start, stop)

    rows = read_ahead(read, WANTED)
    next(rows)
    assert started[10].wait(timeout=30)
    assert not started[20].is_set()
    rows.close()
    assert not started[20].is_set()


def test_what_is_cached_is_not_read_and_the_next_to_be_read_is_on_its_way_meanwhile():
    wanted = list(bands(0, 70, 10))
    cached = {20, 30, 60}
    started = {start: threading.Event() for start, _ in wanted}

    def read(start, stop):
        started[start].set()
        return np.arange(start, stop)

    def find(start, stop):
        return np.arange(start, stop) if start in cached else None

    rows = read_ahead(read, wanted, find)
    for start, _ in wanted:
        np.testing.assert_array_equal(next(rows), np.arange(start, start + 10))
        ahead = [s for s, _ in wanted if s > start and s not in cached]
        if ahead:
            assert started[ahead[0]].wait(timeout=30)
        assert not any(started[s].is_set() for s in ahead[1:])
    assert not any(started[start].is_set() for start in cached)


def test_no_thread_is_started_where_everything_is_cached():
    before = threading.active_count()
    rows = read_ahead(np.arange, WANTED, np.arange)
    next(rows)
    assert threading.active_count() == before
    rows.close()


def test_an_error_is_raised_where_its_band_is_due():
    def read(start, stop):
        if start == 10:
            raise ValueError("band 10")
        return np.arange(start, stop)

    rows = read_ahead(read, WANTED)
    next(rows)
    with pytest.raises(ValueError, match="band 10"):
        next(rows)


def test_no_thread_is_left_when_the_generator_is_closed():
    before = threading.active_count()
    rows = read_ahead(np.arange, WANTED)
    next(rows)
    rows.close()
    assert threading.active_count() == before
