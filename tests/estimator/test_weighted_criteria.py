"""Score and criteria of rows with weights: those of as many copies of each row."""

from __future__ import annotations

import numpy as np
import pytest
from clusters import gaussian_clusters
from weighted_rows import WeightedRows

import dgmm
from dgmm.errors import DataError

N = 9000  # several blocks


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)
    return gaussian_clusters(N, 2, 2)[0]


@pytest.mark.parametrize("criterion", ["score", "aic", "bic"])
def test_weights_are_copies_in_scores_and_criteria(rows, criterion):
    weights = np.random.default_rng(3).integers(0, 4, N)
    mixture = dgmm.GaussianMixture(2, random_state=0).fit(rows)
    copied = getattr(mixture, criterion)(np.repeat(rows, weights, axis=0))
    odd = rows.copy()
    odd[weights == 0] = [np.nan, 0.0]
    found = getattr(mixture, criterion)(WeightedRows(odd, weights=weights))
    assert found == pytest.approx(copied, rel=1e-12)
    assert found != pytest.approx(getattr(mixture, criterion)(rows), rel=1e-6)


def test_rows_of_weight_zero_beyond_all_numbers_change_no_score(rows):
    weights = np.arange(N) % 2.0
    mixture = dgmm.GaussianMixture(2, random_state=0).fit(rows)
    expected = mixture.score(WeightedRows(rows, weights=weights))
    rows[0] = 1e300
    found = mixture.score(WeightedRows(rows, weights=weights))
    assert found == pytest.approx(expected, rel=1e-12)


def test_rows_of_which_none_counts_are_refused(rows):
    weights = np.arange(N) % 2.0
    mixture = dgmm.GaussianMixture(2, random_state=0, missing="drop").fit(rows)
    rows[1::2] = np.nan
    with pytest.raises(DataError, match="all 9,000 are incomplete or weigh 0"):
        mixture.bic(WeightedRows(rows, weights=weights))
