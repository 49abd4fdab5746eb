"""Folds hold their share of every class, keep groups whole, and follow codes and seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm.data.stratified_folds import stratified_folds

RNG = np.random.default_rng(3)
#: Of 10,000 rows 70 % are of class 0, 29 % of class 1, 1 % of class 2; some of none.
CLASSES = RNG.choice(4, size=10_000, p=[0.68, 0.29, 0.01, 0.02]).astype(np.int64)
CLASSES[CLASSES == 3] = -1
N_FOLDS = 5


def _folds(
    classes: NDArray[Any], groups: NDArray[Any] | None = None, *, cut: int = 10_000, seed: int = 0
) -> NDArray[np.int64]:
    def read() -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
        for start in range(0, len(classes), cut):
            own = slice(start, start + cut)
            yield classes[own], None if groups is None else groups[own]

    n_groups = 0 if groups is None else int(groups.max()) + 1
    return np.concatenate(list(stratified_folds(read, 3, n_groups, N_FOLDS, seed)))


def test_every_fold_has_its_share_of_every_class_to_a_row() -> None:
    folds = _folds(CLASSES)
    for c in (-1, 0, 1, 2):
        counts = np.bincount(folds[np.equal(CLASSES, c)], minlength=N_FOLDS)
        assert counts.max() - counts.min() <= 1, c
    assert np.bincount(folds[CLASSES == 2], minlength=N_FOLDS).min() >= 15


def test_a_class_of_as_many_rows_as_folds_is_in_each() -> None:
    classes = np.zeros(500, np.int64)
    classes[[3, 4, 100, 377, 499]] = 1
    assert sorted(_folds(classes)[classes == 1].tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("by_group", [False, True])
def test_folds_follow_neither_how_codes_are_read_nor_rows_of_other_classes(by_group: bool) -> None:
    groups = RNG.integers(-1, 300, size=len(CLASSES)) if by_group else None
    whole = _folds(CLASSES, groups)
    assert np.array_equal(whole, _folds(CLASSES, groups, cut=777))
    assert not np.array_equal(whole, _folds(CLASSES, groups, seed=1))
    if groups is None:
        alone = _folds(CLASSES[CLASSES == 1])
        assert np.array_equal(alone, whole[CLASSES == 1])


def test_rows_next_to_each_other_are_dealt_in_no_fixed_order() -> None:
    folds = _folds(np.zeros(10_000, np.int64)).reshape(-1, N_FOLDS)
    assert (np.sort(folds, axis=1) == np.arange(N_FOLDS)).all()
    assert len(np.unique(folds, axis=0)) == 120  # of 5! orders, in 2,000 turns


def test_groups_stay_whole_and_folds_have_equal_numbers_of_rows_of_each_class() -> None:
    """Group g has 1 to 40 rows of one class; a hundredth of the groups is of class 2."""
    sizes = RNG.integers(1, 41, size=600)
    of_group = np.where(np.arange(600) % 100 < 2, 2, np.arange(600) % 2)
    groups = RNG.permutation(np.repeat(np.arange(600), sizes))
    classes = of_group[groups]
    folds = _folds(classes, groups)
    of_groups = np.full(600, -1)
    of_groups[groups] = folds
    assert np.array_equal(of_groups[groups], folds)
    for c in range(3):
        counts = np.bincount(of_groups[of_group == c], minlength=N_FOLDS)
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 1
        rows = np.bincount(folds[classes == c], minlength=N_FOLDS)
        assert rows.max() - rows.min() <= sizes[of_group == c].max()


def test_a_group_of_several_classes_counts_for_the_rarest() -> None:
    """Each of 200 groups has rows of classes 0 and 1; every tenth has one of class 2 too."""
    groups = np.repeat(np.arange(200), 20)
    classes = np.tile(np.arange(20) % 2, 200)
    classes[(groups % 10 == 0) & (np.arange(4000) % 20 == 5)] = 2
    folds = _folds(classes, groups)
    assert np.bincount(folds[classes == 2]).tolist() == [4] * N_FOLDS


def test_rows_without_a_group_are_dealt_as_rows() -> None:
    groups = np.where(np.arange(len(CLASSES)) < 5_000, -1, np.arange(len(CLASSES)) // 100)
    alone = groups < 0
    folds = _folds(CLASSES, groups)
    assert np.array_equal(folds[alone], _folds(CLASSES[alone]))
