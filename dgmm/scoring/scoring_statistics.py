"""What a scoring pass counts, block by block; merged in the fixed tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.sufficient_statistics import merged_weight
from dgmm.reduction.checksums import Digests, combined
from dgmm.scoring.most_anomalous import MostAnomalous


@dataclass(frozen=True, slots=True, eq=False)
class ScoringStatistics:
    """What the scoring pass counts; exact for the saved parameters.

    Attributes
    ----------
    log_likelihood
        Σ w log p(x) in user units over rows of weights w with a finite log density.
    entropy
        −Σ w r log r.
    n_underflowed
        Rows whose log density is −inf.
    label_counts : (k,)
        Rows of each label.
    n_filled
        Rows with a cell equal to the array's fill value.
    n_anomalies
        Rows below the model's threshold, where it has one.
    digests
        Checksums of what was written of each array.
    sum_of_weights : float or None
        Of rows with a finite log density; None where each weighs 1.
    cluster_entropy : float or None
        −Σ w p log p of the posteriors of merged clusters; None where none are merged.
    n_empty, n_incomplete
        Rows without any value, and rows that lack some.
    most_anomalous : MostAnomalous or None
        The rows of lowest log density; None where they are not asked for.
    anomalous_weight
        Sum of the weights of rows below the threshold.
    """

    n_read: int
    n_dropped: int
    n_underflowed: int
    log_likelihood: float
    entropy: float
    label_counts: NDArray[np.int64]
    n_anomalies: int = 0
    n_filled: int = 0
    digests: Digests = field(default_factory=dict)
    sum_of_weights: float | None = None
    n_empty: int = 0
    n_incomplete: int = 0
    cluster_entropy: float | None = None
    most_anomalous: MostAnomalous | None = None
    anomalous_weight: float = 0.0

    @property
    def n_scored(self) -> int:
        """Rows with a finite log density: those that the log-likelihood is a sum over."""
        return self.n_read - self.n_dropped - self.n_underflowed

    @property
    def weight(self) -> float:
        """Sum of the weights of these rows: what means over rows are divided by."""
        return self.n_scored if self.sum_of_weights is None else self.sum_of_weights

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        return type(self)(
            self.n_read + other.n_read,
            self.n_dropped + other.n_dropped,
            self.n_underflowed + other.n_underflowed,
            self.log_likelihood + other.log_likelihood,
            self.entropy + other.entropy,
            self.label_counts + other.label_counts,
            self.n_anomalies + other.n_anomalies,
            self.n_filled + other.n_filled,
            combined(self.digests, other.digests),
            merged_weight(self, other),
            self.n_empty + other.n_empty,
            self.n_incomplete + other.n_incomplete,
            None
            if self.cluster_entropy is None or other.cluster_entropy is None
            else self.cluster_entropy + other.cluster_entropy,
            None
            if self.most_anomalous is None or other.most_anomalous is None
            else self.most_anomalous.merge(other.most_anomalous),
            self.anomalous_weight + other.anomalous_weight,
        )
