"""Folds of rows: a function of the row's number, the seed and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.row_block import RowBlock
from dgmm.errors import DataError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS
from dgmm.fitting.preparation import prepare
from dgmm.fitting.selection.fold_preparation import fold_counts
from dgmm.fitting.selection.folds import Folds, OutsideFold
from dgmm.fitting.settings import FitSettings

QUIET = SilentListener()


@pytest.mark.parametrize("fold_rows", [1, 7, 1000])
def test_the_fold_of_a_row_does_not_depend_on_blocks(fold_rows: int) -> None:
    folds = Folds(5, fold_rows, seed=3)
    whole = folds.of_rows(np.arange(10_000))
    for size in (1, 999, 4096):
        blocks = [
            RowBlock(i, start, np.zeros((min(size, 10_000 - start), 1)))
            for i, start in enumerate(range(0, 10_000, size))
        ]
        np.testing.assert_array_equal(np.concatenate([folds.of_block(b) for b in blocks]), whole)
        seen = np.concatenate([OutsideFold(folds, 2)(block) for block in blocks])
        np.testing.assert_array_equal(seen, whole != 2)


def test_rows_of_a_group_stay_together_and_groups_part() -> None:
    folds = Folds(4, fold_rows=6, seed=0).of_rows(np.arange(6000)).reshape(1000, 6)
    assert (folds == folds[:, :1]).all()
    np.testing.assert_array_equal(folds[:, 0], Folds(4, seed=0).of_rows(np.arange(1000)))


def test_folds_are_about_equal_unrelated_to_the_row_and_follow_the_seed() -> None:
    n, k = 200_000, 5
    folds = Folds(k, seed=0).of_rows(np.arange(n))
    spread = np.sqrt(n * (1 / k) * (1 - 1 / k))
    assert abs(np.bincount(folds) - n / k).max() < 5 * spread
    # Neighbours, rows a power of two apart, and another seed: the share of pairs in one fold.
    other = Folds(k, seed=1).of_rows(np.arange(n))
    for same in (folds[1:] == folds[:-1], folds[4096:] == folds[:-4096], folds == other):
        assert abs(same.mean() - 1 / k) < 5 * spread / n
    large = Folds(k, seed=0).of_rows(np.array([2**62, 2**62 + 1]))
    assert set(large) <= set(range(k))


def test_a_fold_without_a_row_is_refused_with_what_to_do() -> None:
    dataset = ArrayDataset(np.random.default_rng(0).normal(size=(40, 2)))
    with ThreadExecutor(1) as executor:
        prepared = prepare(dataset, executor, FitSettings(2))
        found = fold_counts(dataset, executor, Folds(4), prepared.summary, NO_SAVED_PROGRESS)
        assert found.n_rows.sum() == 40
        with pytest.raises(DataError, match=r"has no row of the 40 .*lower selection\.folds or"):
            fold_counts(dataset, executor, Folds(4, 20), prepared.summary, NO_SAVED_PROGRESS)
