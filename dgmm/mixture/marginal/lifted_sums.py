"""What the patterns of a block add up to: one set of arrays, which each adds to in place."""

from __future__ import annotations

import numpy as np

from dgmm.mixture.sufficient_statistics import Statistics, merged_weight


class LiftedSums:
    """Statistics of all features about the old means, while patterns are added.

    Parameters
    ----------
    zero
        Statistics of no rows; its arrays are written to.
    """

    def __init__(self, zero: Statistics) -> None:
        self.statistics = zero

    def add(self, other: Statistics) -> None:
        """Add those of more rows, of all features about the old means."""
        own = self.statistics
        parts = (
            (own.sums, other.sums),
            (own.scatter, other.scatter),
            (own.observed, other.observed),
        )
        for total, addend in parts:
            if total is not None and addend is not None:
                np.add(total, addend, out=total)
        self.count(other, other.log_likelihood)

    def count(self, other: Statistics, log_likelihood: float) -> None:
        """Add the numbers of other rows alone, where their sums are added already."""
        own = self.statistics
        n_rows, total = own.n_rows + other.n_rows, own.log_likelihood + log_likelihood
        weight = merged_weight(own, other)
        self.statistics = Statistics(
            n_rows, total, own.sums, own.scatter, own.reference, weight, own.observed
        )
