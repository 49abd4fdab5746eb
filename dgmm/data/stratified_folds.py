"""Folds of rows, or of groups of rows, that each have their share of every class.

The members of a class are dealt to the folds in turn: each run of as many members as there are
folds gets every fold once, in an order that is drawn for it (permuted blocks). Folds are a function
of the codes and of the seed alone. Rows are members in the order of the data, groups in the order
of their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from dgmm.data.row_labels import mixed

Codes = NDArray[np.int64]
#: Codes of classes and groups of some rows at a time, in order; every call reads them again.
ReadCodes = Callable[[], Iterator[tuple[Codes, Codes | None]]]
#: Numbers that are drawn at once.
_AT_ONCE = 1_000_000


def stratified_folds(
    read: ReadCodes, n_classes: int, n_groups: int, n_folds: int, seed: int
) -> Iterator[Codes]:
    """Yield the fold of each row, from 0, in the order of the rows.

    Rows of a group are in one fold. Of a class's rows, and of its groups, folds hold equal numbers,
    or one more; of the rows of its groups they differ by less than the largest group, where no
    group has several classes. A group of several counts for the one that has fewest rows.

    Parameters
    ----------
    read
        Gives codes: −1 where a class or a group is not known; rows without a group are dealt as
        rows, those of no known class as one class more.
    n_classes, n_groups
        How many codes there are.
    n_folds, seed
        Of the folds, and of the order in which they are dealt.

    Examples
    --------
    >>> classes = np.repeat([0, 1], [990, 10])
    >>> (folds,) = stratified_folds(lambda: iter([(classes, None)]), 2, 0, 5, seed=0)
    >>> np.bincount(folds[classes == 0]).tolist(), np.bincount(folds[classes == 1]).tolist()
    ([198, 198, 198, 198, 198], [2, 2, 2, 2, 2])
    """
    of_groups = _of_groups(read, n_classes, n_groups, n_folds, seed) if n_groups else None
    dealt = np.zeros(n_classes + 1, np.int64)
    for classes, groups in read():
        folds = np.empty(len(classes), np.int64)
        is_alone = np.ones(len(classes), np.bool_)
        if groups is not None and of_groups is not None:
            is_alone = groups < 0
            folds[~is_alone] = of_groups[groups[~is_alone]]
        own = _strata(classes[is_alone], n_classes)
        folds[is_alone] = folds_in_turn(_ranks(own, dealt), own, n_folds, seed)
        dealt += np.bincount(own, minlength=len(dealt))
        yield folds


def folds_in_turn(ranks: Codes, strata: Codes, n_folds: int, seed: int) -> Codes:
    """The fold of members (n,) by their class and their place among its members, from 0."""
    found = np.empty(len(ranks), np.int64)
    n_rows = max(_AT_ONCE // n_folds, 1)
    for start in range(0, len(ranks), n_rows):
        own = slice(start, start + n_rows)
        whose = mixed(strata[own].astype(np.uint64) + mixed(np.array([seed], np.uint64)))
        turn, place = np.divmod(ranks[own], n_folds)
        numbers = turn[:, None] * n_folds + np.arange(n_folds)
        # Distinct numbers have distinct keys: mixing is one to one.
        keys = mixed(numbers.astype(np.uint64) + whose[:, None])
        found[own] = (keys < np.take_along_axis(keys, place[:, None], axis=1)).sum(axis=1)
    return found


def _of_groups(
    read: ReadCodes, n_classes: int, n_groups: int, n_folds: int, seed: int
) -> NDArray[np.int32]:
    """The fold of each group, (n_groups,)."""
    n_rows, sizes = np.zeros(n_classes + 1, np.int64), np.zeros(n_groups, np.int64)
    for classes, groups in read():
        n_rows += np.bincount(_strata(classes, n_classes), minlength=len(n_rows))
        if groups is not None:
            sizes += np.bincount(groups[groups >= 0], minlength=n_groups)
    rarest_first = np.append(np.argsort(n_rows[:-1], kind="stable"), n_classes)
    rarity = np.empty(n_classes + 1, np.int64)
    rarity[rarest_first] = np.arange(n_classes + 1)
    rarest = np.full(n_groups, n_classes, np.int64)
    for classes, groups in read():
        if groups is not None:
            own = np.flatnonzero(groups >= 0)
            np.minimum.at(rarest, groups[own], rarity[_strata(classes[own], n_classes)])
    by_size = np.argsort(-sizes, kind="stable")
    strata = rarest_first[rarest[by_size]]
    folds = np.empty(n_groups, np.int32)
    ranks = _ranks(strata, np.zeros(n_classes + 1, np.int64))
    folds[by_size] = folds_in_turn(ranks, strata, n_folds, seed)
    return folds


def _strata(classes: Codes, n_classes: int) -> Codes:
    """Classes, those that are not known as the last."""
    return np.where(classes < 0, n_classes, classes)


def _ranks(strata: Codes, before: Codes) -> Codes:
    """The place of each among those of its class, (n,), of which some have gone before."""
    order = np.argsort(strata, kind="stable")
    own = strata[order]
    ranks = np.empty(len(own), np.int64)
    ranks[order] = np.arange(len(own)) - np.searchsorted(own, own) + before[own]
    return ranks
