"""Labels that two mixtures give to the same rows, as a matrix in matched order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.comparison_record import LabelMatrixRecord
from dgmm.fitting.comparison.label_agreement import adjusted_rand_index, matched
from dgmm.model.mixture_model import MixtureModel

Counts = NDArray[np.int64]

#: Labels of each mixture that a record has; how many rows have others can be told from its sums.
MOST_LABELS = 128


@dataclass(frozen=True, slots=True, eq=False)
class LabelMatrix:
    """Rows by the label that one mixture (down) and another (across) gives them.

    Attributes
    ----------
    counts : (k, m)
        In the numbers of both mixtures.
    pairs : tuple of (int, int)
        Matched labels, those with the most rows of the first mixture first.
    noise : tuple
        The label of each one's noise; None without.
    """

    counts: Counts
    pairs: tuple[tuple[int, int], ...]
    noise: tuple[int | None, int | None] = (None, None)

    @classmethod
    def of(cls, counts: Counts, noise: tuple[int | None, int | None] = (None, None)) -> Self:
        """Match labels so that most rows agree, by the Hungarian method (Kuhn 1955).

        Noise is matched with noise alone; labels that no row has in common are not matched.

        Examples
        --------
        >>> found = LabelMatrix.of(np.array([[0, 90], [60, 10]]))
        >>> found.pairs, found.moved
        (((0, 1), (1, 0)), 0.0625)
        """
        own, other = (
            np.array([i for i in range(n) if i != label], dtype=np.intp)
            for n, label in zip(counts.shape, noise, strict=True)
        )
        down, across = matched(counts[np.ix_(own, other)])
        found = list(zip(own[down].tolist(), other[across].tolist(), strict=True))
        if noise[0] is not None and noise[1] is not None:
            found.append((noise[0], noise[1]))
        in_first = counts.sum(axis=1)
        found = [pair for pair in found if counts[pair]]
        return cls(counts, tuple(sorted(found, key=lambda p: (-in_first[p[0]], p[0]))), noise)

    @property
    def n_rows(self) -> int:
        """Rows that both have labelled."""
        return int(self.counts.sum())

    @property
    def adjusted_rand_index(self) -> float:
        """1 where both parts are the same, about 0 by chance (Hubert & Arabie 1985)."""
        return adjusted_rand_index(self.counts)

    @property
    def moved(self) -> float:
        """Share of the rows that are in another cluster once clusters are matched."""
        together = sum(int(self.counts[pair]) for pair in self.pairs)
        return 1.0 - together / self.n_rows if self.n_rows else 0.0

    @property
    def order(self) -> tuple[list[int], list[int]]:
        """Labels of both: matched ones beside each other, then the others by their rows."""
        return self._order(0), self._order(1)

    def _order(self, side: int) -> list[int]:
        paired = [pair[side] for pair in self.pairs]
        sums = self.counts.sum(axis=1 - side)
        left = sorted({*range(len(sums))} - {*paired}, key=lambda i: (-int(sums[i]), i))
        return paired + left

    def record(self) -> LabelMatrixRecord:
        """As JSON, the first `MOST_LABELS` of each side."""
        down, across = (labels[:MOST_LABELS] for labels in self.order)
        return {
            "rows": self.n_rows,
            "adjusted_rand_index": self.adjusted_rand_index,
            "moved": self.moved,
            "n_labels": list(self.counts.shape),
            "noise": list(self.noise),
            "n_pairs": min(len(self.pairs), MOST_LABELS),
            "first": down,
            "second": across,
            "first_rows": self.counts.sum(axis=1)[down].tolist(),
            "second_rows": self.counts.sum(axis=0)[across].tolist(),
            "matrix": self.counts[np.ix_(down, across)].tolist(),
        }


def noise_label(model: MixtureModel) -> int | None:
    """The label of a mixture's noise, the last; None without."""
    return None if model.parameters.noise is None else model.n_components
