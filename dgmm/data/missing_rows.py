"""Which rows count: the one place that leaves out or refuses rows with missing values.

The summary, the passes of EM, starts over all rows, and scoring all ask here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.row_block import Mask, RowBlock, Rows
from dgmm.errors import DataError

#: End of the error's message where a job or an estimator reads the rows.
REMEDY = "Set data.missing to drop, or repair the array"


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
    weights : (m,) float64 or None
        None where each row weighs 1.
    mask : (b,) or None
        Which of the block's rows these are; None for all.
    incomplete : (b,) or None
        Which were left out because they are not complete; None for none.
    n_read : int
        Rows of the block, b.
    """

    values: Rows
    weights: NDArray[np.float64] | None
    mask: Mask | None
    incomplete: Mask | None
    n_read: int

    @property
    def n_dropped(self) -> int:
        """Rows left out."""
        return self.n_read - len(self.values)


class MissingPolicy(Enum):
    """What is done with a row that has a value which is not finite.

    A row of weight 0 never counts in a fit, whatever its values.
    """

    #: The pass stops with an error.
    ERROR = "error"
    #: The row is left out.
    DROP = "drop"
    #: The summary has counted that nothing is left out: no value is looked at.
    NONE_MISSING = "none missing"

    @classmethod
    def of(cls, *, drop: bool) -> Self:
        """`DROP` or `ERROR`."""
        return cls.DROP if drop else cls.ERROR

    @classmethod
    def after_summary(cls, n_dropped: int) -> Self:
        """The policy of a fit's passes, once the summary has left out that many rows."""
        return cls.DROP if n_dropped else cls.NONE_MISSING

    def select(
        self, block: RowBlock, dataset: Located, *, weightless: bool = False, remedy: str = REMEDY
    ) -> SelectedRows:
        """The rows that count.

        Parameters
        ----------
        block, dataset
            The rows, and the data set that they come from.
        weightless
            Whether complete rows of weight 0 count too: they are scored, but not fitted.
        remedy
            End of the error's message.

        Raises
        ------
        DataError
            If a row of positive weight is not complete and the policy is `ERROR`.
        """
        weighty = _weighty(block)
        counted = None if weightless else weighty
        incomplete = None if self is MissingPolicy.NONE_MISSING else _incomplete(block, counted)
        if self is MissingPolicy.ERROR and incomplete is not None:
            _refuse(incomplete if weighty is None else incomplete & weighty, block, dataset, remedy)
        mask, n_read = _counting(counted, incomplete), len(block.values)
        if mask is None:
            return SelectedRows(block.values, block.weights, None, None, n_read)
        weights = None if block.weights is None else block.weights[mask]
        return SelectedRows(block.values[mask], weights, mask, incomplete, n_read)


def _weighty(block: RowBlock) -> Mask | None:
    """Rows of positive weight; None where that is all of them."""
    if block.weights is None or block.weights.all():
        return None
    return block.weights > 0


def _incomplete(block: RowBlock, weighty: Mask | None) -> Mask | None:
    """Rows, of those with a weight, that are not complete; None where there are none."""
    complete = block.complete
    if complete is None or weighty is None:
        return None if complete is None else ~complete
    incomplete = weighty & ~complete
    return incomplete if incomplete.any() else None


def _counting(weighty: Mask | None, incomplete: Mask | None) -> Mask | None:
    """Rows with a weight that are complete; None where that is all of them."""
    if incomplete is None:
        return weighty
    return ~incomplete if weighty is None else weighty & ~incomplete


def _refuse(incomplete: Mask, block: RowBlock, dataset: Located, remedy: str) -> None:
    if not incomplete.any():
        return
    first = int(np.argmax(incomplete))
    feature = dataset.feature_names[int(np.argmin(np.isfinite(block.values[first])))]
    raise DataError(
        f"{int(incomplete.sum())} of {len(incomplete)} rows from row {block.start} on hold NaN or "
        f"infinite values, the first in {dataset.locate(block.start + first)}, feature {feature}. "
        f"{remedy}"
    )
