"""Principal components of columns, and how far rows lie from the space that they span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.transforms.centred_scatter import CentredScatter
from dgmm.errors import DataError

Floats = NDArray[np.float64]
#: Rows of one product: always so many, the last ones filled up with zeros, so that the bits of a
#: row's scores do not depend on which rows stand beside it.
_TILE = 256


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalComponents:
    """The first components of some columns.

    The largest loading of each component is positive, as in scikit-learn.

    Parameters
    ----------
    mean : (d,)
    axes : (m, d)
        Orthonormal rows, in order of decreasing variance.
    variance : (m,)
        Along each axis, with n − 1 degrees of freedom.
    share : float
        Of the columns' total variance that the components have.
    whiten : bool
        Whether scores are divided by their standard deviations.
    """

    mean: Floats
    axes: Floats
    variance: Floats
    share: float
    whiten: bool = False

    @classmethod
    def of_scatter(
        cls,
        found: CentredScatter,
        *,
        n: int | None = None,
        variance: float | None = None,
        whiten: bool = False,
        lost: float = 1.0,
    ) -> Self:
        """The first `n` components, or the fewest that have a share `variance` of the variance.

        Variances are scatter / (weight − `lost`): 1 where weights are numbers of rows, 0 where only
        their ratios matter.

        Raises
        ------
        DataError
            If there are fewer than two complete rows, the columns are constant, or `n` is more
            than the columns have.
        """
        d = len(found.mean)
        if found.weight <= lost:
            raise DataError(
                f"pca of {d} columns: {found.weight:g} rows have all of them; expected at least 2"
            )
        values, vectors = np.linalg.eigh(found.scatter / (found.weight - lost))
        values, axes = np.maximum(values[::-1], 0.0), vectors.T[::-1]
        total = float(values.sum())
        if total == 0.0:
            raise DataError(f"pca of {d} columns that are all constant. Leave them out")
        shares = np.cumsum(values) / total
        # The last share is 1 but for rounding.
        m = n if n is not None else min(int(np.searchsorted(shares, variance or 1.0)) + 1, d)
        if not 1 <= m <= d:
            raise DataError(f"pca: n is {m}, the columns are {d}; expected 1 to {d}")
        largest = axes[np.arange(d), np.abs(axes).argmax(axis=1)]
        axes = axes * np.where(largest < 0, -1.0, 1.0)[:, np.newaxis]
        return cls(found.mean, axes[:m], values[:m], float(shares[m - 1]), whiten)

    def apply(self, columns: Floats) -> Floats:
        """Scores (b, m) of rows (b, d); NaN of a row with a missing value."""
        with np.errstate(invalid="ignore"):  # infinite values are NaN here: both are refused
            scores = self._tiles(columns) @ self.axes.T
            return self._rows(scores, len(columns)) / self._deviation

    def apply_with_residual(self, columns: Floats) -> tuple[Floats, Floats]:
        """Scores (b, m), and distances (b,) from the nearest rows with these scores (`inverse`).

        Distances have the units of the columns, also where scores are whitened; NaN of a row with
        a missing value.
        """
        with np.errstate(invalid="ignore", over="ignore"):  # as above; a square may be infinite
            tiles = self._tiles(columns)
            scores = tiles @ self.axes.T
            # Not ‖deviation‖² − ‖scores‖², in which small distances cancel.
            tiles -= scores @ self.axes
            distance = np.sqrt(np.einsum("tij,tij->ti", tiles, tiles))
            n = len(columns)
            return self._rows(scores, n) / self._deviation, distance.reshape(-1)[:n]

    def inverse(self, scores: Floats) -> Floats:
        """The rows (b, d) nearest to those that have these scores (b, m)."""
        rows: Floats = (scores * self._deviation) @ self.axes + self.mean
        return rows

    def _tiles(self, columns: Floats) -> Floats:
        """Deviations of rows (b, d) from the mean, in tiles (t, `_TILE`, d)."""
        n, d = columns.shape
        tiles = np.zeros((-(-n // _TILE), _TILE, d))
        np.subtract(columns, self.mean, out=tiles.reshape(-1, d)[:n])
        return tiles

    def _rows(self, scores: Floats, n: int) -> Floats:
        """The first `n` rows (n, m) of tiles of scores."""
        return scores.reshape(-1, len(self.axes))[:n]

    @property
    def _deviation(self) -> Floats:
        """What scores are divided by (m,); 1 along an axis without variance."""
        if not self.whiten:
            return np.ones(len(self.variance))
        return np.sqrt(np.where(self.variance > 0, self.variance, 1.0))
