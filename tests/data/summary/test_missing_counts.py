"""What rows lack: counted by its plain definition, and the same after it was written as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dgmm.data.summary.missing_counts import MOST_RECORDED_BYTES, MissingCounts
from dgmm.data.summary.missing_patterns import MissingPatterns, different_rows

N, D = 3000, 11


def rows(seed=0, n=N):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, D))
    X[rng.random((n, D)) < 0.1] = np.nan
    X[: n // 100] = np.nan
    return X


def as_values(counts):
    found = counts.patterns
    return (
        *(found.bits.tolist(), found.counts.tolist(), found.is_more, found.n_rows),
        *(found.n_partial, counts.n_empty, counts.n_missing, counts.n_weightless),
        counts.is_unlisted,
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_everything_is_of_the_rows_that_count(weighted):
    X = rows()
    weights = np.random.default_rng(1).integers(0, 3, N).astype(float) if weighted else None
    counts = MissingCounts.of_rows(X, weights)
    missing = np.isnan(X if weights is None else X[weights > 0])
    kept = missing[~missing.all(axis=1)]
    assert counts.n_empty == len(missing) - len(kept)
    assert counts.patterns.n_rows == len(kept)
    assert counts.patterns.n_partial == int(kept.any(axis=1).sum())
    assert counts.n_missing == int(kept.sum())
    assert counts.lacks == kept.sum() / kept.any(axis=1).sum()
    assert counts.n_weightless == (0 if weights is None else int((weights == 0).sum()))


def test_counts_of_parts_add_up():
    X = rows()
    whole = MissingCounts.zero(D)
    for part in (X[:17], X[17:1500], np.ones((5, D), int), X[1500:]):
        whole = whole.merge(MissingCounts.of_rows(part))
    everything = MissingCounts.of_rows(np.concatenate([X, np.ones((5, D))]))
    assert as_values(whole) == as_values(everything)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_a_record_is_plain_values_and_gives_the_counts_back(share):
    counts = MissingCounts.of_rows(rows() if share else np.ones((4, D)))
    text = json.dumps(counts.record())
    assert as_values(MissingCounts.of_record(json.loads(text), D)) == as_values(counts)


def test_a_record_of_more_patterns_than_are_told_apart_has_none():
    X = np.where((np.arange(5000)[:, None] >> np.arange(13)) & 1 == 1, np.nan, 1.0)
    counts = MissingCounts.of_rows(X)
    assert counts.record()["patterns"] is None
    assert as_values(MissingCounts.of_record(counts.record(), 13)) == as_values(counts)
    assert "in more than 4,096 patterns" in counts.describe()


def wide(n_patterns, d):
    """Different patterns of one row each, without their rows."""
    missing = (np.arange(1, n_patterns + 1)[:, None] >> np.arange(16)) & 1
    bits = np.zeros((n_patterns, -(-d // 8)), np.uint8)
    bits[:, :2] = np.packbits(missing, axis=1)
    bits, counts = different_rows(bits)
    return MissingCounts(MissingPatterns.of_counts(bits, counts), 3, int(missing.sum()), 2)


def test_a_record_has_no_patterns_that_take_too_many_bytes():
    counts = wide(4000, 17_000)
    text = json.dumps(counts.record())
    assert len(text) < 1000
    found = MissingCounts.of_record(json.loads(text), 17_000)
    assert (found.is_unlisted, found.patterns.n_patterns) == (True, None)
    assert (found.patterns.n_partial, found.n_empty, found.n_missing) == (4000, 3, counts.n_missing)
    told = "4,000 of 4,003 rows lack some values, in patterns too many to record; 3 have no value"
    assert found.describe() == told
    merged = found.merge(wide(1, 17_000))
    assert (merged.is_unlisted, merged.patterns.n_partial) == (True, 4001)
    assert len(json.dumps(wide(60, 17_000).record())) < 2 * MOST_RECORDED_BYTES
    assert len(wide(60, 17_000).record()["patterns"]) == 60


def test_a_record_of_an_earlier_version_has_all_its_patterns(monkeypatch):
    monkeypatch.setattr("dgmm.data.summary.missing_counts.MOST_RECORDED_BYTES", 2**30)
    counts = wide(4000, 2000)
    record = counts.record()
    del record["unlisted"]
    monkeypatch.undo()
    assert as_values(MissingCounts.of_record(record, 2000)) == as_values(counts)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": "many"},
        {"rows": 7},
        {"patterns": {"zz": 1}},
        {"patterns": {"00": 1}},
        {"patterns": [1, 2]},
        {"weightless": None},
        {"weightless": -1},
        {"empty": -1},
        {"values": 1},
        {"incomplete": 5},
        {"features": D + 1},
        {"rows": 0, "incomplete": 1, "patterns": None},
        {"values": N * D, "patterns": None},
        {"rows": 4, "incomplete": 4, "values": 4, "patterns": {"0010": 4}},
        {"rows": 4, "incomplete": 4, "values": 44, "patterns": {"ffe0": 4}},
        {"rows": 0, "incomplete": 0, "values": 0, "patterns": {"8000": 1, "4000": -1}},
    ],
)
def test_what_is_no_record_gives_nothing(change):
    record = MissingCounts.of_rows(rows()).record()
    assert MissingCounts.of_record(record | change, D) is None
    assert MissingCounts.of_record(None, D) is None


def test_counts_in_words():
    X = np.ones((20, D))
    assert MissingCounts.of_rows(X).describe() == "none of 20 rows lacks a value"
    X[:3, 2], X[3] = np.nan, np.nan
    told = MissingCounts.of_rows(X).describe()
    assert told == "3 of 20 rows lack some values, in 2 patterns; 1 have no value"
