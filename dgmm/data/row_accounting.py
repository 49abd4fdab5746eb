"""Every row of every pass is accounted for: read and fitted, or read and left out."""

from __future__ import annotations

from typing import Protocol

from dgmm.data.dataset import Dataset
from dgmm.errors import DataError


class Counted(Protocol):
    """What a pass returns, as far as rows go."""

    @property
    def n_read(self) -> int:
        """Rows read."""

    @property
    def n_dropped(self) -> int:
        """Rows among them that were left out for what they lack."""


def require_all_rows(counted: Counted, dataset: Dataset, n_dropped: int) -> None:
    """Refuse a pass that did not see the rows that the summary counted.

    Raises
    ------
    DataError
        If it read other rows than the data set has, or left out others than `n_dropped`.
    """
    if (counted.n_read, counted.n_dropped) != (dataset.n_samples, n_dropped):
        raise DataError(
            f"a pass read {counted.n_read:,} rows and left {counted.n_dropped:,} out, expected "
            f"{dataset.n_samples:,} and {n_dropped:,}: the data changed during the run"
        )
