"""Scores of a block with what they add up to, which is counted where it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.data.missing_rows import SelectedRows
from dgmm.mixture.kernels.scorer import RowScores
from dgmm.scoring.merged_scores import MergedScores
from dgmm.scoring.output_registry import ScoredBlock
from dgmm.scoring.scoring_statistics import ScoringStatistics


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores of one block.

    Attributes
    ----------
    block
        Those of all its rows.
    n_labels
        Labels that a row can have.
    """

    block: ScoredBlock
    n_labels: int
    _rows: SelectedRows
    _scores: RowScores
    _entropy: float
    _flags: NDArray[np.int8] | None
    _merged: MergedScores | None

    @property
    def statistics(self) -> ScoringStatistics:
        """What the scores of the complete rows add up to.

        It takes 6 ns a row, where scores in memory take 100 with 16 features and 32 components.
        """
        rows, densities = self._rows, self._scores.log_density
        finite, weights, flags = np.isfinite(densities), rows.weights, self._flags
        if not finite.all():
            densities, weights = densities[finite], None if weights is None else weights[finite]
        return ScoringStatistics(
            n_read=rows.n_read,
            n_dropped=rows.n_dropped,
            n_underflowed=len(finite) - len(densities),
            log_likelihood=_weighted_sum(densities, weights),
            entropy=self._entropy,
            label_counts=np.bincount(self._scores.labels, minlength=self.n_labels),
            n_anomalies=0 if flags is None else int(flags.sum()),
            sum_of_weights=None if weights is None else float(weights.sum()),
            n_empty=rows.n_empty,
            n_incomplete=rows.n_incomplete,
            cluster_entropy=None
            if self._merged is None
            else _weighted_sum(self._merged.entropy, rows.weights),
            anomalous_weight=0.0
            if flags is None
            else _weighted_sum(flags.astype(np.float64), rows.weights),
        )


def _weighted_sum(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> float:
    return float(values.sum() if weights is None else (values * weights).sum())
