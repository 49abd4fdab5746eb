"""The backend compiled by Numba, outside Python's lock. No other package imports Numba.

Standardising has NumPy's operations in NumPy's order, hence its bits; the products of a block are
those of `fused_products` and `moment_products`, exponentials and logarithms those of
`exponential_intrinsics`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends.e_step_block import Block
from dgmm.mixture.backends.fused_e_step import e_step
from dgmm.mixture.backends.fused_products import factors_of
from dgmm.mixture.backends.fused_scoring import score
from dgmm.mixture.backends.gaps import Gaps, word_of
from dgmm.mixture.backends.lift_record import Lift
from dgmm.mixture.backends.moment_products import ROW_PANEL
from dgmm.mixture.backends.numba_conditional import condition, places_of
from dgmm.mixture.backends.numba_gaps import missing_words, row_gaps, take
from dgmm.mixture.backends.numba_lift import lift_sums
from dgmm.mixture.backends.numba_rows import add_uncertain, expect_missing
from dgmm.mixture.backends.numba_scatter import norm_buffer, norms, scatter, scatter_buffers
from dgmm.mixture.backends.numba_softmax import softmax
from dgmm.mixture.backends.numba_steps import FLOATS, standardise
from dgmm.mixture.backends.numpy_backend import LOG_FLOOR, NumpyBackend, Tile
from dgmm.mixture.backends.scoring_block import ScoringBlock
from dgmm.mixture.backends.simd_intrinsics import lanes_of, require_fused_multiplication

_NO_SCATTER = np.empty(0)


class NumbaBackend(NumpyBackend):
    """Numba's for float32 and float64, NumPy's for what else there is.

    Raises
    ------
    ImportError
        If the processor does not multiply and add at once.
    """

    name = "numba"

    def __init__(self) -> None:
        require_fused_multiplication()

    def standardise(self, rows: Tile, factor: Tile, offset: Tile, out: Tile) -> None:
        """One pass, where rows, and features in `out`, lie one behind the other."""
        work = np.result_type(rows.dtype, factor.dtype)
        is_dense = rows.flags.c_contiguous and out.strides[1] == out.itemsize
        if rows.dtype in FLOATS and is_dense and factor.dtype == offset.dtype == work:
            standardise(rows, factor, offset, out)
        else:
            super().standardise(rows, factor, offset, out)

    def softmax(self, L: Tile, top: Tile, total: Tile) -> Tile:
        """Panel by panel, with exponentials and logarithms of our own."""
        del total
        k, step = len(L), ROW_PANEL + lanes_of(L.itemsize)
        panel, row = np.zeros((k, step), L.dtype), np.zeros((2, step), L.dtype)
        softmax(L.dtype.type(LOG_FLOOR[L.dtype]), L, panel, row, top)
        return top

    def does_blocks(self, form: str, d: int, p: int) -> bool:
        """Of the forms that compiled code makes."""
        return factors_of(form, d, p) is not None

    def e_step(self, block: Block) -> bool:
        """A block in one call, outside Python's lock, where the form of φ is known."""
        return e_step(block)

    takes_rows = True

    def expect_missing(
        self, precision: Tile, gaps: Gaps, E: Tile, V: Tile, distances: Tile, C: Tile
    ) -> Tile:
        """Row by row."""
        logs = np.empty(E.shape[1])
        expect_missing(precision, gaps.missing, gaps.starts, E, V, distances, logs, C)
        return logs

    def add_uncertain(self, R: Tile, gaps: Gaps, C: Tile, second: Tile) -> None:
        """Row by row."""
        add_uncertain(R, gaps.missing, gaps.starts, C, second)

    def condition(
        self, covariances: Tile, observed: NDArray[np.intp], missing: NDArray[np.intp]
    ) -> tuple[Tile, Lift]:
        """Covariance by covariance."""
        k, q, m = len(covariances), len(observed), len(missing)
        d = q + m
        U, B, C = np.empty((k, q, q)), np.empty((k, m, q)), np.empty((k, m, m))
        places = np.empty(d * (d + 1) // 2, np.intp)
        places_of(observed, missing, places)
        least = q * float(np.finfo(np.float64).eps)
        condition(np.ascontiguousarray(covariances), (observed, missing), least, U, B, C)
        return U, Lift(observed, missing, places, B, C, np.empty((0, 0)))

    def lift(
        self,
        lift: Lift,
        of_rows: tuple[Tile, Tile | None],
        total: tuple[Tile, Tile | None],
    ) -> bool:
        """Component by component."""
        (sums, scatter), (out, out_scatter) = of_rows, total
        lift_sums(
            *(sums, _NO_SCATTER if scatter is None else scatter, lift.points),
            *(lift.regression, lift.covariance, (lift.observed, lift.missing, lift.places)),
            *(out, _NO_SCATTER if out_scatter is None else out_scatter),
        )
        return True

    def row_gaps(self, values: Tile) -> NDArray[np.uint8]:
        """One read."""
        if values.dtype not in FLOATS:
            return super().row_gaps(values)
        kinds = np.empty(len(values), np.uint8)
        row_gaps(values, kinds)
        return kinds

    def missing_words(self, values: Tile) -> NDArray[Any]:
        """One read."""
        n, d = values.shape
        if values.dtype not in FLOATS or not values.flags.c_contiguous:
            return super().missing_words(values)
        word = word_of(d)
        words = np.zeros((n, -(-d // (8 * word.itemsize))), word)
        missing_words(values.dtype.type(1.0), values, words.view(np.uint8))
        return words

    def take(
        self, values: Tile, rows: NDArray[np.intp], features: NDArray[np.intp], out: Tile
    ) -> None:
        """One read."""
        if values.dtype in FLOATS:
            take(values, rows.view(np.uintp), features.view(np.uintp), out)
        else:
            super().take(values, rows, features, out)

    def scatter(
        self, stored: tuple[Tile, Tile, Tile], out: Tile, weights: Tile | None = None
    ) -> bool:
        """By row panels."""
        rows, factor, offset = stored
        if rows.dtype not in FLOATS or factor.dtype != np.float64:
            return False
        buffers = scatter_buffers(rows.shape[1], weighted=weights is not None)
        own = np.empty(0) if weights is None else np.ascontiguousarray(weights, np.float64)
        scatter((np.ascontiguousarray(rows), factor, offset), own, buffers, out)
        return True

    def squared_norms(self, stored: tuple[Tile, Tile, Tile], out: Tile) -> bool:
        """By row panels."""
        rows, factor, offset = stored
        if rows.dtype not in FLOATS or factor.dtype != np.float64:
            return False
        norms(np.ascontiguousarray(rows), factor, offset, norm_buffer(rows.shape[1]), out)
        return True

    def score(self, block: ScoringBlock) -> tuple[float, NDArray[np.bool_]] | None:
        """A block in one call, outside Python's lock, where the form of φ is known."""
        return score(block)
