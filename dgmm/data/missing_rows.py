"""Which rows count: the one place that leaves out or refuses rows with missing values.

The summary, the passes of EM, starts over all rows, and scoring all ask here. NaN is a missing
value; infinity never is. A row without any value says nothing, and is left out under every policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.row_block import Mask, RowBlock, Rows
from dgmm.errors import DataError
from dgmm.mixture.backends import standardising_backend
from dgmm.mixture.backends.gaps import COMPLETE, EMPTY, INFINITE

#: End of the error's message where a job or an estimator reads the rows.
REMEDY = "Set data.missing to drop, or repair the array"
#: The same where missing values are marginalised.
INFINITY = "infinity is no missing value: write NaN there, or repair the array"


class Located(Protocol):
    """What a message about a row needs of a data set."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per column."""

    def locate(self, row: int) -> str:
        """Where a row lies."""


@dataclass(frozen=True, slots=True, eq=False)
class SelectedRows:
    """The rows of one block that count.

    Attributes
    ----------
    values : (m, d)
        NaN where a value is missing, under `MissingPolicy.MARGINALISE` alone.
    weights : (m,) float64 or None
        None where each row weighs 1.
    mask : (b,) or None
        Which of the block's rows these are; None for all.
    incomplete : (b,) or None
        Which of the block's rows have a value that is not finite, left out or not; None for none.
        In a fit only of those of positive weight.
    empty : (b,) or None
        Which of these have no value at all.
    refused : (b,) or None
        Which the policy refuses; None for none.
    n_read : int
        Rows of the block, b.
    """

    values: Rows
    weights: NDArray[np.float64] | None
    mask: Mask | None
    incomplete: Mask | None
    n_read: int
    empty: Mask | None = None
    refused: Mask | None = None

    @property
    def lacks(self) -> Mask:
        """Which of the rows that count, (m,), have a value that is not finite."""
        if self.incomplete is None:
            return np.zeros(len(self.values), np.bool_)
        return self.incomplete if self.mask is None else self.incomplete[self.mask]

    @property
    def n_dropped(self) -> int:
        """Rows left out."""
        return self.n_read - len(self.values)

    @property
    def n_empty(self) -> int:
        """Rows without any value."""
        return _count(self.empty)

    @property
    def has_partial(self) -> bool:
        """Whether a row that counts lacks a value."""
        if self.incomplete is None:
            return False
        return bool((self.incomplete if self.mask is None else self.incomplete & self.mask).any())

    @property
    def n_incomplete(self) -> int:
        """Rows that have a value and one that is not finite, left out or not."""
        return _count(self.incomplete) - self.n_empty


@dataclass(frozen=True, slots=True, eq=False)
class UncheckedRows:
    """All rows of one block, before their values are checked to be finite.

    Which of them count, and how many lack values, is not known: only `SelectedRows` say that.

    Attributes
    ----------
    values : (b, d)
        As they are stored.
    weights : (b,) float64 or None
        None where each row weighs 1.
    """

    values: Rows
    weights: NDArray[np.float64] | None

    def if_complete(self) -> SelectedRows:
        """The rows that count if each value is finite: all. The caller has to check that."""
        return SelectedRows(self.values, self.weights, None, None, len(self.values))


class MissingPolicy(Enum):
    """What is done with a row that has a value which is not finite.

    A row without any value, all of it NaN, is left out under each. A row of weight 0 never counts
    in a fit, whatever its values.
    """

    #: The pass stops with an error.
    ERROR = "error"
    #: The row is left out, whether NaN or infinity stands there.
    DROP = "drop"
    #: NaN is a value that is not known, and the row counts; infinity is an error.
    MARGINALISE = "marginalise"
    #: The summary has counted that all rows are complete: no value is looked at.
    NONE_MISSING = "none missing"

    @classmethod
    def after_summary(cls, n_dropped: int, n_partial: int = 0) -> Self:
        """The policy of a fit's passes.

        Parameters
        ----------
        n_dropped
            Rows that the summary has left out.
        n_partial
            Rows that count though a value of theirs is missing.
        """
        if n_partial:
            return cls.MARGINALISE
        return cls.DROP if n_dropped else cls.NONE_MISSING

    def select(
        self,
        block: RowBlock,
        dataset: Located,
        *,
        weightless: bool = False,
        counting: bool = False,
        remedy: str = REMEDY,
        only: Mask | None = None,
    ) -> SelectedRows:
        """The rows that count.

        Parameters
        ----------
        block, dataset
            The rows, and the data set that they come from.
        weightless
            Whether rows of weight 0 count too: they are scored, but not fitted.
        counting
            Whether rows that are refused are left out and no error: all of them are counted first.
        remedy
            End of the error's message.
        only : (b,), optional
            Rows that may count, such as those of one class; all others are left out, as rows of
            weight 0 are.

        Raises
        ------
        DataError
            If the policy refuses a row of positive weight.
        """
        weighty = _both(_weighty(block), only)
        counted = None if weightless else weighty
        if self is MissingPolicy.MARGINALISE and not counting:
            found = _lacking(block, counted)
            if found is not None:
                return found
        incomplete = None if self is MissingPolicy.NONE_MISSING else _incomplete(block, counted)
        n_read = len(block.values)
        if incomplete is None:
            values, weights = _of(block, counted)
            return SelectedRows(values, weights, counted, None, n_read)
        empty = _without_values(block.values, incomplete)
        bad = self._refused(block.values, incomplete, empty)
        refused = bad if bad is None or weighty is None else bad & weighty
        if refused is not None and not counting:
            _refuse(refused, block, dataset, self, remedy)
        mask = _all_but(self._left_out(incomplete, empty, bad), counted)
        values, weights = _of(block, mask)
        return SelectedRows(values, weights, mask, incomplete, n_read, empty, refused)

    def _refused(self, values: Rows, incomplete: Mask, empty: Mask | None) -> Mask | None:
        """Rows that are an error; None where none can be."""
        if self is MissingPolicy.DROP:
            return None
        if self is MissingPolicy.ERROR:
            return incomplete if empty is None else incomplete & ~empty
        infinite = incomplete.copy()
        infinite[incomplete] = np.isinf(values[incomplete]).any(axis=1)
        return infinite

    def _left_out(self, incomplete: Mask, empty: Mask | None, refused: Mask | None) -> Mask | None:
        if self is not MissingPolicy.MARGINALISE or refused is None:
            return incomplete
        return refused if empty is None else refused | empty


def _lacking(block: RowBlock, counted: Mask | None) -> SelectedRows | None:
    """Rows that lack values, by one read; None where one is infinite, which is an error."""
    kinds = standardising_backend(0).row_gaps(block.values)
    own = kinds if counted is None else np.where(counted, kinds, COMPLETE)
    largest = int(own.max(initial=COMPLETE))
    if largest == INFINITE:
        return None
    empty = own == EMPTY if largest == EMPTY else None
    mask = _all_but(empty, counted)
    values, weights = _of(block, mask)
    incomplete = None if largest == COMPLETE else own != COMPLETE
    return SelectedRows(values, weights, mask, incomplete, len(block.values), empty)


def _weighty(block: RowBlock) -> Mask | None:
    """Rows of positive weight; None where that is all of them."""
    if block.weights is None or block.weights.all():
        return None
    return block.weights > 0


def _both(one: Mask | None, other: Mask | None) -> Mask | None:
    """Rows of both masks; None stands for all rows."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _incomplete(block: RowBlock, weighty: Mask | None) -> Mask | None:
    """Rows, of those with a weight, that are not complete; None where there are none."""
    complete = block.complete
    if complete is None or weighty is None:
        return None if complete is None else ~complete
    incomplete = weighty & ~complete
    return incomplete if incomplete.any() else None


def _without_values(values: Rows, incomplete: Mask) -> Mask | None:
    """Rows, of those that are not complete, of which all is NaN; None where there are none."""
    empty = incomplete.copy()
    empty[incomplete] = np.isnan(values[incomplete]).all(axis=1)
    return empty if empty.any() else None


def _all_but(left_out: Mask | None, counted: Mask | None) -> Mask | None:
    """Rows that count and are not left out; None where that is all of them."""
    if left_out is None or not left_out.any():
        return counted
    return ~left_out if counted is None else counted & ~left_out


def _of(block: RowBlock, mask: Mask | None) -> tuple[Rows, NDArray[np.float64] | None]:
    """Values and weights of some rows; those of the block itself where that is all of them."""
    if mask is None:
        return block.values, block.weights
    return block.values[mask], None if block.weights is None else block.weights[mask]


def _count(mask: Mask | None) -> int:
    return 0 if mask is None else int(np.count_nonzero(mask))


def _refuse(
    refused: Mask, block: RowBlock, dataset: Located, policy: MissingPolicy, remedy: str
) -> None:
    if not refused.any():
        return
    is_infinity = policy is MissingPolicy.MARGINALISE
    first = int(np.argmax(refused))
    what = "infinite values" if is_infinity else "NaN or infinite values"
    raise DataError(
        f"{int(refused.sum())} of {len(refused)} rows from row {block.start} on hold {what}, the "
        f"first in {dataset.locate(block.start + first)}, feature "
        f"{dataset.feature_names[faulty_feature(block.values[first], policy)]}. "
        f"{INFINITY if is_infinity else remedy}"
    )


def empty_rows_warning(n_empty: int, n_rows: int) -> str:
    """What becomes of rows without any value, in words."""
    return f"{n_empty:,} of {n_rows:,} rows have no value at all and are left out"


def faulty_feature(row: Rows, policy: MissingPolicy) -> int:
    """The first feature of a row (d,) for which a policy refuses it."""
    is_infinity = policy is MissingPolicy.MARGINALISE
    return int(np.argmax(np.isinf(row) if is_infinity else ~np.isfinite(row)))
