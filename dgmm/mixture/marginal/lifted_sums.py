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
        """Add those of more rows, of all features about the old means.

        Raises
        ------
        ValueError
            If one of the two has a part that the other one lacks.
        """
        own = self.statistics
        for name in ("sums", "scatter", "observed"):
            total, addend = getattr(own, name), getattr(other, name)
            if (total is None) != (addend is None):
                which = "the total" if total is None else "what is added"
                raise ValueError(f"{which} has no {name}: statistics of different kinds")
            if total is not None:
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
