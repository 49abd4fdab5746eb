"""What scoring by classes counts, block by block: how often it is right, and sums of groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.reduction.checksums import Digests
from dgmm.scoring.class_posteriors import ClassPosteriors
from dgmm.scoring.scoring_statistics import ScoringStatistics

Array = NDArray[np.float64]
#: Bins of the reliability table, of equal width in the posterior of the predicted class.
N_BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Predictions against known classes; a monoid.

    Attributes
    ----------
    confusion : (C, C) int64
        Rows by their class, and by the one that is predicted.
    log_loss : float
        −Σ log posterior of the row's class.
    reliability : (bins, 3)
        Rows, sum of the predicted class's posterior, and how many predictions are right, by that
        posterior.
    """

    confusion: NDArray[np.int64]
    log_loss: float
    reliability: Array

    @classmethod
    def of(cls, found: ClassPosteriors, truth: NDArray[Any]) -> Self:
        """Compare rows that have a class (−1: none), and were not left out."""
        n_classes = found.posteriors.shape[1]
        own = np.flatnonzero((truth >= 0) & (found.classes >= 0))
        predicted, known = found.classes[own], truth[own].astype(np.intp)
        confusion = np.zeros((n_classes, n_classes), np.int64)
        np.add.at(confusion, (known, predicted), 1)
        largest = found.largest[own]
        bins = np.minimum((largest * N_BINS).astype(np.intp), N_BINS - 1)
        reliability = np.zeros((N_BINS, 3))
        hits = (predicted == known).astype(np.float64)
        np.add.at(reliability, bins, np.column_stack([np.ones(len(own)), largest, hits]))
        log_loss = 0.0 - float(found.log_posteriors[own, known].sum())  # never -0.0
        return cls(confusion, log_loss, reliability)

    def merge(self, other: Self) -> Self:
        """These rows and the others."""
        return type(self)(
            self.confusion + other.confusion,
            self.log_loss + other.log_loss,
            self.reliability + other.reliability,
        )

    @property
    def n_rows(self) -> int:
        """Rows that were compared."""
        return int(self.confusion.sum())

    def record(self, names: Sequence[Any]) -> dict[str, Any]:
        """As run.json has it."""
        n = self.n_rows
        counts, sums, hits = self.reliability.T
        gaps = np.abs(hits - sums).sum() / n if n else None
        totals = self.confusion.sum(axis=1)
        return {
            "rows": n,
            "accuracy": float(np.trace(self.confusion)) / n if n else None,
            "log_loss": self.log_loss / n if n and math.isfinite(self.log_loss) else None,
            "calibration_error": None if gaps is None else float(gaps),
            "names": list(names),
            "confusion": self.confusion.tolist(),
            "recall": [
                float(right / total) if total else None
                for right, total in zip(np.diag(self.confusion), totals, strict=True)
            ],
            "calibration": [
                {
                    "low": i / N_BINS,
                    "high": (i + 1) / N_BINS,
                    "rows": int(counts[i]),
                    "mean_posterior": float(sums[i] / counts[i]) if counts[i] else None,
                    "accuracy": float(hits[i] / counts[i]) if counts[i] else None,
                }
                for i in range(N_BINS)
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class GroupSums:
    """Sums of log densities over the rows of each group; a monoid.

    Attributes
    ----------
    groups : (g,) int64
        Codes, ascending.
    log_densities : (g, C)
        Σ log p of each class, over rows that have a density under some class.
    n_rows : (g,) int64
        How many rows these are.
    lowest, highest : (g,) int64
        Least and largest class of the group's rows; C and −1 where none has a class.
    """

    groups: NDArray[np.int64]
    log_densities: Array
    n_rows: NDArray[np.int64]
    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]

    @classmethod
    def of(cls, log_densities: Array, groups: NDArray[Any], truth: NDArray[Any]) -> Self:
        """Add up rows (b, C) of some groups (b,); rows without a group are left out."""
        n_classes = log_densities.shape[1]
        is_known = ~np.isnan(log_densities).any(axis=1)
        counted = np.asarray(is_known & ~np.isneginf(log_densities).all(axis=1))
        own = np.flatnonzero(groups >= 0)
        found, places = np.unique(groups[own].astype(np.int64), return_inverse=True)
        sums, n_rows = np.zeros((len(found), n_classes)), np.zeros(len(found), np.int64)
        scored = counted[own]
        np.add.at(sums, places[scored], log_densities[own[scored]])
        np.add.at(n_rows, places[scored], 1)
        lowest, highest = np.full(len(found), n_classes), np.full(len(found), -1)
        labelled = truth[own] >= 0
        codes = truth[own[labelled]].astype(np.int64)
        np.minimum.at(lowest, places[labelled], codes)
        np.maximum.at(highest, places[labelled], codes)
        return cls(found, sums, n_rows, lowest, highest)

    def merge(self, other: Self) -> Self:
        """These rows followed by the others."""
        groups = np.union1d(self.groups, other.groups)
        n_classes = self.log_densities.shape[1]
        sums, n_rows = np.zeros((len(groups), n_classes)), np.zeros(len(groups), np.int64)
        lowest, highest = np.full(len(groups), n_classes), np.full(len(groups), -1)
        for one in (self, other):
            own = np.searchsorted(groups, one.groups)
            sums[own] += one.log_densities
            n_rows[own] += one.n_rows
            lowest[own] = np.minimum(lowest[own], one.lowest)
            highest[own] = np.maximum(highest[own], one.highest)
        return type(self)(groups, sums, n_rows, lowest, highest)

    @property
    def truth(self) -> NDArray[np.int64]:
        """The class of each group; −1 where its rows have none, or several."""
        return np.where(self.lowest == self.highest, self.highest, -1)

    @property
    def n_mixed(self) -> int:
        """Groups whose rows have several classes."""
        return int(np.count_nonzero(self.is_mixed))

    @property
    def is_mixed(self) -> NDArray[np.bool_]:
        """Which groups these are, (g,)."""
        return np.asarray((self.highest >= 0) & (self.lowest != self.highest))


@dataclass(frozen=True, slots=True, eq=False)
class ClassStatistics:
    """What scoring by classes counts.

    Attributes
    ----------
    scoring : ScoringStatistics
        Counts of rows and of predicted classes, likelihood, checksums.
    fitted : Evaluation
        By the classifier that is saved.
    n_unknown : int
        Rows of no known class.
    held_out : Evaluation or None
        By classifiers that have not seen the rows' fold; None without folds.
    groups, held_out_groups : GroupSums or None
        Of both; None without groups.
    """

    scoring: ScoringStatistics
    fitted: Evaluation
    n_unknown: int
    held_out: Evaluation | None = None
    groups: GroupSums | None = None
    held_out_groups: GroupSums | None = None

    @property
    def n_read(self) -> int:
        """Rows."""
        return self.scoring.n_read

    @property
    def digests(self) -> Digests:
        """Checksums of what was written."""
        return self.scoring.digests

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        return type(self)(
            self.scoring.merge(other.scoring),
            self.fitted.merge(other.fitted),
            self.n_unknown + other.n_unknown,
            _merged(self.held_out, other.held_out),
            _merged(self.groups, other.groups),
            _merged(self.held_out_groups, other.held_out_groups),
        )


def _merged(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one.merge(other)
