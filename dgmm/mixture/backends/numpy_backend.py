"""The NumPy backend, tile by tile: what compiled code is tested against."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends.e_step_block import Block
from dgmm.mixture.backends.gaps import EMPTY, INCOMPLETE, INFINITE, Gaps, word_of
from dgmm.mixture.backends.lift_record import Lift
from dgmm.mixture.backends.scoring_block import ScoringBlock

Tile = NDArray[Any]

#: Responsibilities with logarithms of at most these are 0: exp of less is subnormal, and one
#: subnormal operand slows a matrix product a hundredfold. A component loses less than 1e-26 of a
#: row. They are not made −∞ before exp, which NumPy takes five times as long for in float64.
LOG_FLOOR = {np.dtype(np.float64): -600.0, np.dtype(np.float32): -60.0}


class Backend(Protocol):
    """Operations on a tile of b rows; `out`, `top`, `total` and `product` are the caller's."""

    @property
    def name(self) -> str:
        """`numpy` or `numba`."""

    def standardise(self, rows: Tile, factor: Tile, offset: Tile, out: Tile) -> None:
        """Write rows (b, d)·factor − offset, features first, into out (d, b)."""

    def pairs(self, Y: Tile, first: int, last: int, out: Tile) -> None:
        """Write y_i·y_j for first ≤ i < last and i ≤ j < d, row by row, for Y (d, b)."""

    def log_prob(self, eta: Tile, Phi: Tile, out: Tile, columns: int) -> None:
        """Write η Φ for η (k, p) and Φ (p, b) into out (k, b), that many columns a product."""

    def softmax(self, L: Tile, top: Tile, total: Tile) -> Tile:
        """Turn L (k, b) into its softmax over k in place; return log-sum-exp (b,).

        `top` and `total` are (b,) of L's dtype; the result lies in one of them.
        """

    def moments(
        self, Phi: Tile, R: Tile, sums: Tile, product: Tile, height: int, columns: int
    ) -> None:
        """Add Φ Rᵀ for Φ (p, b) and R (k, b) to sums (p, k), float64.

        A product has `height` rows of Φ and `columns` of its columns; `product` (p, k), of R's
        dtype, holds it before it is added.
        """

    def does_blocks(self, form: str, d: int, p: int) -> bool:
        """Whether `e_step` does blocks of a form, of d features and p sums a component."""

    def e_step(self, block: Block) -> bool:
        """Do a block at once; False where that cannot be: it goes tile by tile then."""

    @property
    def takes_rows(self) -> bool:
        """Whether `expect_missing` and `add_uncertain` are there, which only compiled code has."""

    def expect_missing(
        self, precision: Tile, gaps: Gaps, E: Tile, V: Tile, distances: Tile, C: Tile
    ) -> Tile:
        """Expected values of what rows lack under one component (`dgmm.mixture.marginal`).

        Parameters
        ----------
        precision : (d, d)
        gaps
            What each row lacks.
        E : (d, b)
            Deviations from the mean, 0 where a value is missing; expected ones are written there.
        V : (d, b)
            Λ E.
        distances : (b,)
            Eᵀ V of each row; becomes the distance of what is observed.
        C : (c,)
            Covariances of what is missing go here, as lower triangles.

        Returns
        -------
        −½ log det Λ_mm of each row, (b,)
        """

    def add_uncertain(self, R: Tile, gaps: Gaps, C: Tile, second: Tile) -> None:
        """Add r C of each row to the upper triangle of `second` (d, d)."""

    def condition(
        self, covariances: Tile, observed: NDArray[np.intp], missing: NDArray[np.intp]
    ) -> tuple[Tile, Lift] | None:
        """What features (q,) tell of the others (m,), of each covariance (k, d, d).

        Factors U (k, q, q) with Σ_oo⁻¹ = U Uᵀ, NaN where that is singular, and the lift of moments
        about the means. None where that cannot be: the family tells it then.
        """

    def lift(
        self,
        lift: Lift,
        of_rows: tuple[Tile, Tile | None],
        total: tuple[Tile, Tile | None],
    ) -> bool:
        """Add sums (k, p) and scatter of a pattern's rows, lifted, to those of all features.

        False where that cannot be: the family lifts them then.
        """

    def row_gaps(self, values: Tile) -> NDArray[np.uint8]:
        """What each row (n, d) lacks: `COMPLETE`, `INCOMPLETE`, `EMPTY` or `INFINITE`, (n,)."""

    def missing_words(self, values: Tile) -> NDArray[Any]:
        """Unsigned words (n, w) of each row (n, d): bit j is set where feature j is NaN."""

    def take(
        self, values: Tile, rows: NDArray[np.intp], features: NDArray[np.intp], out: Tile
    ) -> None:
        """Write some rows and features of values (n, d) into out (m, q), C-contiguous."""

    def scatter(
        self, stored: tuple[Tile, Tile, Tile], out: Tile, weights: Tile | None = None
    ) -> bool:
        """Write Σ w y yᵀ of rows (n, d), standardised in float64, into out (d, d).

        `stored` are the rows, factor and offset. False where that cannot be: tile by tile then.
        """

    def squared_norms(self, stored: tuple[Tile, Tile, Tile], out: Tile) -> bool:
        """Write ‖y‖² of rows (n, d), standardised in float64, into out (n,); NaN counts as 0.

        `stored` as for `scatter`. False where that cannot be: tile by tile then.
        """

    def score(self, block: ScoringBlock) -> tuple[float, NDArray[np.bool_]] | None:
        """Label a block at once: entropy and a mask (n,) of rows that are left to do.

        None where that cannot be: all rows go tile by tile then.
        """


@cache
def lowest(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The floor of logarithms in that type, and exp of it as NumPy takes it of arrays."""
    floor = np.full(8, LOG_FLOOR[dtype]).astype(dtype)
    return floor[0], np.exp(floor)[0]


def steps(length: int, step: int) -> Iterator[slice]:
    """Cut a length into steps; the last may be shorter."""
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


class NumpyBackend:
    """NumPy's."""

    name = "numpy"

    def standardise(self, rows: Tile, factor: Tile, offset: Tile, out: Tile) -> None:
        """Two passes; the first transposes."""
        wide = out if out.dtype == factor.dtype else np.empty(out.shape, factor.dtype)
        np.multiply(rows.T, factor[:, None], out=wide, casting="unsafe")
        np.subtract(wide, offset[:, None], out=wide)
        if wide is not out:
            np.copyto(out, wide, casting="same_kind")

    def pairs(self, Y: Tile, first: int, last: int, out: Tile) -> None:
        """For every i one product with the rows from it on."""
        d, row = Y.shape[0], 0
        for i in range(first, last):
            np.multiply(Y[i], Y[i:], out=out[row : row + d - i])
            row += d - i

    def log_prob(self, eta: Tile, Phi: Tile, out: Tile, columns: int) -> None:
        """Product after product."""
        for some in steps(Phi.shape[1], columns):
            np.matmul(eta, Phi[:, some], out=out[:, some])

    def softmax(self, L: Tile, top: Tile, total: Tile) -> Tile:
        """Max, subtract, exp, sum, scale."""
        floor, least = lowest(L.dtype)
        np.max(L, axis=0, out=top)
        np.subtract(L, top, out=L)
        is_low = not L.min() > floor  # also where a NaN hides what is low
        if is_low:
            np.maximum(L, floor, out=L)
        np.exp(L, out=L)
        if is_low:
            np.copyto(L, 0.0, where=least >= L)
        np.sum(L, axis=0, out=total)
        log_total = np.log(total)
        np.divide(1.0, total, out=total)
        np.multiply(L, total, out=L)
        return np.asarray(np.add(log_total, top, out=top))

    def moments(
        self, Phi: Tile, R: Tile, sums: Tile, product: Tile, height: int, columns: int
    ) -> None:
        """Product after product, added once all rows of Φ have theirs."""
        for some in steps(Phi.shape[1], columns):
            for few in steps(len(Phi), height):
                np.matmul(Phi[few, some], R[:, some].T, out=product[few])
            np.add(sums, product, out=sums)

    def does_blocks(self, form: str, d: int, p: int) -> bool:  # noqa: ARG002 - the protocol's
        """No."""
        return False

    def e_step(self, block: Block) -> bool:
        """Never: tile by tile."""
        del block
        return False

    takes_rows = False

    def expect_missing(
        self, precision: Tile, gaps: Gaps, E: Tile, V: Tile, distances: Tile, C: Tile
    ) -> Tile:
        """Not here."""
        raise NotImplementedError

    def add_uncertain(self, R: Tile, gaps: Gaps, C: Tile, second: Tile) -> None:
        """Not here."""
        raise NotImplementedError

    def condition(
        self, covariances: Tile, observed: NDArray[np.intp], missing: NDArray[np.intp]
    ) -> tuple[Tile, Lift] | None:
        """Never: by the family."""
        del covariances, observed, missing
        return None

    def lift(
        self,
        lift: Lift,
        of_rows: tuple[Tile, Tile | None],
        total: tuple[Tile, Tile | None],
    ) -> bool:
        """Never: by the family."""
        del lift, of_rows, total
        return False

    def row_gaps(self, values: Tile) -> NDArray[np.uint8]:
        """By whole arrays of masks."""
        kinds = np.zeros(len(values), np.uint8)
        if values.dtype.kind == "f":
            is_nan = np.isnan(values)
            kinds[is_nan.any(axis=1)] = INCOMPLETE
            kinds[is_nan.all(axis=1)] = EMPTY
            kinds[np.isinf(values).any(axis=1)] = INFINITE
        return kinds

    def missing_words(self, values: Tile) -> NDArray[Any]:
        """By packed bits."""
        n, d = values.shape
        word = word_of(d)
        packed = np.packbits(np.isnan(values), axis=1, bitorder="little")
        wide = np.zeros((n, -(-packed.shape[1] // word.itemsize) * word.itemsize), np.uint8)
        wide[:, : packed.shape[1]] = packed
        return wide.view(word)

    def take(
        self, values: Tile, rows: NDArray[np.intp], features: NDArray[np.intp], out: Tile
    ) -> None:
        """All at once."""
        np.copyto(out, values[rows[:, None], features])

    def scatter(
        self, stored: tuple[Tile, Tile, Tile], out: Tile, weights: Tile | None = None
    ) -> bool:
        """Never: tile by tile."""
        del stored, out, weights
        return False

    def squared_norms(self, stored: tuple[Tile, Tile, Tile], out: Tile) -> bool:
        """Never: tile by tile."""
        del stored, out
        return False

    def score(self, block: ScoringBlock) -> tuple[float, NDArray[np.bool_]] | None:
        """Never: tile by tile."""
        del block
        return None
