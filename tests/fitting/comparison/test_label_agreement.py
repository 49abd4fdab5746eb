"""Agreement of two labellings, against scikit-learn and all matchings."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from dgmm.fitting.comparison.label_agreement import (
    adjusted_rand_index,
    contingency,
    matched,
    moved_share,
)


@pytest.mark.parametrize("seed", range(5))
def test_the_adjusted_rand_index_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 5, 400)
    second = np.where(rng.random(400) < 0.2 * seed, rng.integers(0, 5, 400), (first + 2) % 5)
    found = adjusted_rand_index(contingency(first, second, (5, 5)))
    assert found == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)


def test_one_cluster_against_one_is_full_agreement_and_no_rows_are_none() -> None:
    assert adjusted_rand_index(np.array([[9, 0], [0, 0]])) == 1.0
    assert adjusted_rand_index(np.zeros((2, 2), dtype=np.int64)) == 1.0


def test_counts_of_a_hundred_billion_rows_do_not_overflow() -> None:
    table = 10**11 * np.array([[9, 1], [1, 9]])
    assert adjusted_rand_index(table) == pytest.approx(0.64, abs=1e-9)
    assert moved_share(table) == pytest.approx(0.1)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (6, 6), (3, 6), (6, 3)])
def test_clusters_are_matched_in_the_pairs_with_most_rows(shape: tuple[int, int]) -> None:
    """Of all matchings, tried one by one."""
    for seed in range(5):
        table = np.random.default_rng(seed).integers(0, 50, shape) ** 2
        first, second = matched(table)
        assert len({*first.tolist()}) == len({*second.tolist()}) == min(shape)
        wide = table if shape[0] <= shape[1] else table.T
        most = max(
            wide[np.arange(min(shape)), list(order)].sum()
            for order in permutations(range(max(shape)), min(shape))
        )
        assert table[first, second].sum() == most


def test_rows_in_another_cluster_are_those_that_no_matching_brings_back() -> None:
    first = np.array([0, 0, 0, 1, 1, 2])
    assert moved_share(contingency(first, (first + 1) % 3, (3, 3))) == 0.0
    second = np.array([2, 2, 1, 1, 1, 0])
    assert moved_share(contingency(first, second, (3, 3))) == pytest.approx(1 / 6)
