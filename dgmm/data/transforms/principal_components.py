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
        m = n if n is not None else int(np.searchsorted(shares, variance or 1.0) + 1)
        if not 1 <= m <= d:
            raise DataError(f"pca: n is {m}, the columns are {d}; expected 1 to {d}")
        largest = axes[np.arange(d), np.abs(axes).argmax(axis=1)]
        axes = axes * np.where(largest < 0, -1.0, 1.0)[:, np.newaxis]
        return cls(found.mean, axes[:m], values[:m], float(shares[m - 1]), whiten)

    def apply(self, columns: Floats) -> Floats:
        """Scores (b, m) of rows (b, d); NaN of a row with a missing value."""
        n, d = columns.shape
        tiles = np.zeros((-(-n // _TILE), _TILE, d))
        np.subtract(columns, self.mean, out=tiles.reshape(-1, d)[:n])
        with np.errstate(invalid="ignore"):  # infinite values are NaN here: both are refused
            scores: Floats = (tiles @ self.axes.T).reshape(-1, len(self.axes))[:n]
            return scores / self._deviation

    def inverse(self, scores: Floats) -> Floats:
        """The rows (b, d) nearest to those that have these scores (b, m)."""
        rows: Floats = (scores * self._deviation) @ self.axes + self.mean
        return rows

    def residual(self, columns: Floats) -> Floats:
        """Distance (b,) of rows (b, d) from the space of the components."""
        deviations = columns - self.mean
        rest = deviations - deviations @ self.axes.T @ self.axes
        distance: Floats = np.sqrt(np.einsum("ij,ij->i", rest, rest))
        return distance

    @property
    def _deviation(self) -> Floats:
        """What scores are divided by (m,); 1 along an axis without variance."""
        if not self.whiten:
            return np.ones(len(self.variance))
        return np.sqrt(np.where(self.variance > 0, self.variance, 1.0))
