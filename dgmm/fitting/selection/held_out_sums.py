"""Sums of the log-likelihood of held-out rows, by fold, and of its differences between models.

A difference of two models is that of their log-likelihoods of the same rows (paired): between
folds a likelihood varies by more than models differ. Its standard error is that of a sum over
groups of rows, `fold_rows` in each: neighbours of one group are no independent observations.
Differences are those to the median of all models, row by row, so that no digits are lost where
log densities are large; which row's median it is cancels from those of two models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class OpenGroup:
    """A group of rows that may go on in the next, or previous, block.

    Attributes
    ----------
    number
        The group's, row // fold_rows.
    weight : float
        Its rows' weights.
    differences : (M,)
        Their sum over its rows, by weight.
    """

    number: int
    weight: float
    differences: Array

    def joined(self, other: OpenGroup) -> OpenGroup:
        """Both parts of the group."""
        weight, sums = self.weight + other.weight, self.differences + other.differences
        return OpenGroup(self.number, weight, sums)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutRows:
    """Consecutive rows that count, each scored by the models that have not seen its fold.

    Attributes
    ----------
    log_density : (M, b)
        By each model, nats.
    folds, groups : (b,) int64
        The fold and the group of each row.
    weights : (b,) or None
        1 each where None.
    are_whole
        Whether each row is a group of its own.
    are_counts
        Whether a row of weight w is w rows.
    """

    log_density: Array
    folds: NDArray[np.int64]
    groups: NDArray[np.int64]
    weights: Array | None = None
    are_whole: bool = True
    are_counts: bool = False

    @property
    def all_weights(self) -> Array:
        """Of each row, (b,)."""
        return np.ones(len(self.folds)) if self.weights is None else self.weights

    @property
    def are_each_counts(self) -> bool:
        """Whether a row of weight w is w observations: a group of rows is one at most."""
        return self.are_counts and self.are_whole

    def differences(self) -> Array:
        """Log densities less the median of all models' of the row, (M, b)."""
        middle = np.median(self.log_density, axis=0)
        return self.log_density - np.where(np.isfinite(middle), middle, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutSums:
    """Of M models in F folds, over some rows; a monoid.

    Attributes
    ----------
    n_read, n_dropped
        Rows, and those among them that were left out.
    n_rows : (F,) int64
        Rows by fold.
    weight : (F,)
        Their weights.
    log_likelihood : (F, M)
        Sums by fold and model.
    n_groups
        Groups of rows that are whole.
    squares : (M, M)
        Σ_g s_g s_gᵀ, where s_g (M,) is the sum of a group's differences.
    products : (M,)
        Σ_g c_g s_g, where c_g is the group's weight.
    square_weight
        Σ_g c_g².
    edges
        The first and the last group, which need not be whole.
    """

    n_read: int
    n_dropped: int
    n_rows: NDArray[np.int64]
    weight: Array
    log_likelihood: Array
    n_groups: int
    squares: Array
    products: Array
    square_weight: float
    edges: tuple[OpenGroup, ...] = ()

    @classmethod
    def of_rows(cls, rows: HeldOutRows, n_folds: int) -> Self:
        """Of consecutive rows that count."""
        L, w = rows.log_density, rows.all_weights
        own = [rows.folds == fold for fold in range(n_folds)]
        empty = cls(
            n_read=L.shape[1],
            n_dropped=0,
            n_rows=np.bincount(rows.folds, minlength=n_folds),
            weight=np.bincount(rows.folds, weights=w, minlength=n_folds).astype(np.float64),
            log_likelihood=np.array([(L[:, one] * w[one]).sum(axis=1) for one in own]),
            n_groups=0,
            squares=np.zeros((len(L), len(L))),
            products=np.zeros(len(L)),
            square_weight=0.0,
        )
        if not L.shape[1]:
            return empty
        first = np.flatnonzero(np.diff(rows.groups, prepend=rows.groups[0] - 1))
        c = np.sqrt(w) if rows.are_each_counts else w
        weights = np.add.reduceat(c, first)
        sums = np.add.reduceat(rows.differences() * c, first, axis=1)
        if rows.are_whole:
            return empty._closed(weights, sums)
        ends = sorted({0, len(first) - 1})
        edges = [OpenGroup(int(rows.groups[first[i]]), float(weights[i]), sums[:, i]) for i in ends]
        return replace(empty._closed(weights[1:-1], sums[:, 1:-1]), edges=tuple(edges))

    def merge(self, other: Self) -> Self:
        """These rows followed by the others."""
        groups = list[OpenGroup]()
        for one in (*self.edges, *other.edges):
            if groups and one.number == groups[-1].number:
                groups[-1] = groups[-1].joined(one)
            else:
                groups.append(one)
        own = type(self)(
            self.n_read + other.n_read,
            self.n_dropped + other.n_dropped,
            self.n_rows + other.n_rows,
            self.weight + other.weight,
            self.log_likelihood + other.log_likelihood,
            self.n_groups + other.n_groups,
            self.squares + other.squares,
            self.products + other.products,
            self.square_weight + other.square_weight,
        )
        edges = (*groups[:1], *groups[1:][-1:])
        return replace(own.with_groups(groups[1:-1]), edges=edges)

    def of_block(self, n_read: int, n_dropped: int) -> Self:
        """With the rows that do not count."""
        return replace(self, n_read=n_read, n_dropped=n_dropped)

    def finished(self) -> Self:
        """Once all rows are in: the groups at the edges are whole too."""
        return replace(self.with_groups(self.edges), edges=())

    def with_groups(self, groups: Sequence[OpenGroup]) -> Self:
        """With groups added that are whole."""
        if not groups:
            return self
        weights = np.array([one.weight for one in groups])
        return self._closed(weights, np.array([one.differences for one in groups]).T)

    def _closed(self, weights: Array, sums: Array) -> Self:
        """With whole groups added: their weights (g,) and sums of differences (M, g)."""
        with np.errstate(invalid="ignore"):  # of a model whose density is 0 somewhere
            return replace(
                self,
                n_groups=self.n_groups + len(weights),
                squares=self.squares + sums @ sums.T,
                products=self.products + sums @ weights,
                square_weight=self.square_weight + float(weights @ weights),
            )
