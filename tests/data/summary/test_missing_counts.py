"""What rows lack: counted by its plain definition, and the same after it was written as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dgmm.data.summary.missing_counts import MissingCounts

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


@pytest.mark.parametrize(
    "change",
    [
        {"rows": "many"},
        {"rows": 7},
        {"patterns": {"zz": 1}},
        {"patterns": {"00": 1}},
        {"patterns": [1, 2]},
        {"weightless": None},
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
