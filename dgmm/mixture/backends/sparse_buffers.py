"""The buffers of moments that are taken component by component (`sparse_moments`)."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends.fused_products import Factors, in_whole
from dgmm.mixture.backends.moment_products import ROW_PANEL
from dgmm.mixture.backends.simd_intrinsics import lanes_of
from dgmm.mixture.backends.sparse_pairs import places_of_pairs
from dgmm.mixture.backends.sparse_sizes import SQUARE, has_pairs, n_squares, pays
from dgmm.mixture.backends.transpose_intrinsics import TRANSPOSE_SIZE

#: Components that are counted, and multiplied where they are dense, together.
GROUP = 8


class SparseBuffers(NamedTuple):
    """What `sparse_moments` works with; all is empty where that does not pay.

    Attributes
    ----------
    sums : (k, w)
        Of each component, k in whole groups: pairs in whole squares, then what is no pair.
    places : (p,)
        Where the sum of each factor stands among them.
    transposed : (b, v)
        Φ without pairs, a data row's numbers side by side; the last v sums are its.
    masks, counts
        Of a group of components, which responsibilities are not 0, as bits, and how many.
    numbers, values : (b,)
        The rows of one component, and its responsibilities for them.
    is_used : (k,)
        Whether a component has a responsibility above 0 in a panel.
    """

    sums: NDArray[np.float64]
    places: NDArray[np.int64]
    transposed: NDArray[Any]
    masks: NDArray[np.uint64]
    counts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    values: NDArray[Any]
    is_used: NDArray[np.bool_]

    @classmethod
    def of(cls, k: int, made: Factors, d: int, dtype: np.dtype[Any]) -> Self:
        """For k components and d features; sums are 0."""
        lanes, p, n_products = lanes_of(dtype.itemsize), len(made.order), made.n_products
        of_pairs, places = 0, np.arange(p)
        height = n_products + in_whole(p - n_products, TRANSPOSE_SIZE)
        if has_pairs(n_products, d):
            of_pairs, height = n_squares(d) * SQUARE * SQUARE, p - n_products
            i, j = made.which[:, :n_products]
            places = np.append(places_of_pairs(i, j, d), of_pairs + np.arange(height))
        high, width = in_whole(k, GROUP), in_whole(height, max(lanes, SQUARE))
        if not pays(k, p, n_products, d):
            high = width = of_pairs = 0
        return cls(
            np.zeros((high, of_pairs + width)),
            places,
            np.zeros((ROW_PANEL, width), dtype),
            np.empty((GROUP, ROW_PANEL // lanes), np.uint64),
            np.empty(GROUP, np.int64),
            np.empty(ROW_PANEL, np.int64),
            np.empty(ROW_PANEL, dtype),
            np.zeros(high, np.bool_),
        )
