"""The rows of lowest log density, found block by block: memory is that of so many rows a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.scoring.output_registry import ScoredBlock

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MostAnomalous:
    """At most so many rows of the lowest completed log densities, the lowest first.

    A monoid: of equal densities the row of lower number comes first, so that no two rows are equal
    and any merging of the same blocks gives the same rows. Rows that are left out are none of them.

    Attributes
    ----------
    most : int
        How many rows are kept.
    rows : (m,) int64
        Numbers of the rows.
    log_density : (m,)
        Completed log density, in the units of the data; −inf where it underflows.
    components : (m,) int32
        Most probable component.
    values : (m, d)
        The features as they are scored; NaN where missing.
    """

    most: int
    rows: NDArray[np.int64]
    log_density: Array
    components: NDArray[np.int32]
    values: Array

    @classmethod
    def of_block(cls, most: int, start: int, scored: ScoredBlock, values: NDArray[Any]) -> Self:
        """Those of one block, whose first row has the number `start`.

        Parameters
        ----------
        most, start
            How many are kept, and where the block begins.
        scored
            Scores of all its rows.
        values : (b, d)
            All its rows.
        """
        density = scored.completed_log_density
        places = np.flatnonzero(~np.isnan(density))
        if len(places) > most:
            limit = np.partition(density[places], most - 1)[most - 1]
            places = places[density[places] <= limit]
        places = places[np.lexsort((places, density[places]))[:most]]
        return cls(
            most,
            start + places.astype(np.int64),
            density[places],
            scored.labels[places],
            values[places].astype(np.float64),
        )

    def merge(self, other: Self) -> Self:
        """The lowest of both."""
        pairs = zip(self._arrays, other._arrays, strict=True)
        rows, density, components, values = map(np.concatenate, pairs)
        kept = np.lexsort((rows, density))[: self.most]
        return type(self)(self.most, rows[kept], density[kept], components[kept], values[kept])

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.rows, self.log_density, self.components, self.values
