"""A block done at once in compiled code: its bits are defined, its numbers those of its tiles."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mixtures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgmm.arithmetic import Arithmetic, Block, Plain
from dgmm.covariance import FAMILIES, Family
from dgmm.data.standardisation import Standardisation
from dgmm.expectation import StandardisedRows
from dgmm.kernels import ProductKernel, Workspace, e_step
from dgmm.parameters import Parameters
from dgmm.statistics import Statistics

compiled = pytest.importorskip("dgmm.arithmetic.compiled", reason="Numba is optional")
stretches = pytest.importorskip("dgmm.arithmetic.stretches", reason="it needs Numba too")

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
S = stretches.STRETCH


class Counting(compiled.Compiled):
    """Knows how many blocks it did at once."""

    blocks = 0

    def e_step(self, block: Block) -> bool:
        done = super().e_step(block)
        self.blocks += done
        return done


def _statistics(
    workspace: Workspace, rows: mixtures.Array, parameters: Parameters, dtype: type
) -> Statistics:
    standardisation = Standardisation.from_sample(rows[:500], rows.dtype, common_scale=True)
    kernel = ProductKernel.of(parameters, dtype)
    columns = StandardisedRows.of(rows, standardisation, kernel.dtype, workspace)
    return e_step([kernel], columns, workspace)[0]


def _drawn(
    family: Family, n: int, k: int, d: int, seed: int, spread: float = 1.0
) -> tuple[Parameters, mixtures.Array]:
    rng = np.random.default_rng(seed)
    parameters = mixtures.mixture(family, k, d, rng, condition=10.0)
    return parameters, np.ascontiguousarray(spread * mixtures.draw(parameters, n, rng).T)


@FAMILY
@settings(deadline=None, max_examples=40)
@given(
    n=st.sampled_from([1, 2, S - 1, S, S + 1, 2 * S, 300, 4097]),
    k=st.sampled_from([1, 2, 4, 5, 8, 9, 16, 17, 33, 40]),
    d=st.sampled_from([1, 2, 3, 5, 17, 33]),
    stored=st.sampled_from([np.float32, np.float64]),
    dtype=st.sampled_from([np.float32, np.float64]),
    spread=st.sampled_from([1.0, 100.0]),
    seed=st.integers(0, 50),
)
def test_a_block_at_once_has_the_numbers_of_its_tiles(
    family: Family, n: int, k: int, d: int, stored: type, dtype: type, spread: float, seed: int
) -> None:
    parameters, rows = _drawn(family, n, k, d, seed, spread)
    rows, fast = rows.astype(stored), Counting()
    found, expected = (_statistics(Workspace(a), rows, parameters, dtype) for a in (fast, Plain()))
    assert fast.blocks == 1
    standard = Standardisation.from_sample(rows[:500], rows.dtype, common_scale=True)
    Y = standard.apply(rows, np.float64)
    kernel = ProductKernel.of(parameters, dtype)
    eps = float(np.finfo(dtype).eps)
    # What rounding of L can do: a share of the largest term of a density, moved between components.
    size = np.abs(kernel.natural_parameters).astype(np.float64)
    terms = float((size.sum(axis=1).max()) * max(1.0, np.abs(Y).max()) ** 2)
    moved = min(8.0 * eps * terms, 1.0)
    scale = n * max(1.0, float(np.abs(Y).max())) ** 2
    np.testing.assert_allclose(found.sums, expected.sums, rtol=0, atol=(moved + 8 * eps) * scale)
    assert abs(found.log_likelihood - expected.log_likelihood) <= 8 * eps * terms * n


def _fused(a: float, b: float, c: float) -> float:
    """a·b + c, rounded once (a Fraction becomes the nearest float)."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))


@FAMILY
@pytest.mark.parametrize(("k", "d"), [(3, 2), (9, 3)])
def test_the_bits_of_a_block_are_chains_of_fused_multiplications(
    family: Family, k: int, d: int
) -> None:
    parameters, rows = _drawn(family, S + 5, k, d, 3)
    found = _statistics(Workspace(compiled.Compiled()), rows, parameters, np.float64)
    standard = Standardisation.from_sample(rows[:500], rows.dtype, common_scale=True)
    factor, offset = standard.affine(rows.dtype, np.dtype(np.float64))
    Y = np.empty((d, len(rows)))
    Plain().standardise(rows, factor, offset, Y)
    kernel = ProductKernel.of(parameters)
    Phi = kernel.prepare(
        StandardisedRows.of(rows, standard, kernel.dtype, Workspace()),
        slice(0, len(rows)),
        Workspace(),
    )
    _, order = stretches.factors(family.form, d)
    L = np.zeros((k, len(rows)))
    for j in range(k):
        for c in range(len(rows)):
            for q in order:
                L[j, c] = _fused(kernel.natural_parameters[j, q], Phi[q, c], L[j, c])
    lse = Plain().softmax(L, np.empty(len(rows)), np.empty(len(rows)))
    sums = np.zeros((k, len(Phi)))
    for j in range(k):
        for q in range(len(Phi)):
            for start in range(0, len(rows), S):
                chain = 0.0
                for c in range(start, min(start + S, len(rows))):
                    chain = _fused(Phi[q, c], L[j, c], chain)
                sums[j, q] += chain
    assert found.log_likelihood == np.add.reduce(lse)
    np.testing.assert_array_equal(found.sums, sums)


@FAMILY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_was_in_the_buffers_changes_nothing(family: Family, dtype: type) -> None:
    used = Workspace(compiled.Compiled())
    far, many = _drawn(family, 700, 21, 9, 1, spread=1e6)
    _statistics(used, many, far, dtype)
    for n in (3, S, 500):
        parameters, rows = _drawn(family, n, 5, 4, 2)
        found = _statistics(used, rows, parameters, dtype)
        expected = _statistics(Workspace(compiled.Compiled()), rows, parameters, dtype)
        assert found.log_likelihood == expected.log_likelihood
        np.testing.assert_array_equal(found.sums, expected.sums)


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e200])
def test_a_row_that_is_no_number_makes_the_likelihood_none(odd: float) -> None:
    parameters, rows = _drawn(FAMILIES["full"], 1000, 3, 2, 0)
    rows[600, 1] = odd  # behind the 500 rows that units are taken from
    found = _statistics(Workspace(compiled.Compiled()), rows, parameters, np.float64)
    assert not np.isfinite(found.log_likelihood)


@pytest.mark.parametrize("change", ["integers", "every other row", "float16"])
def test_rows_that_compiled_code_does_not_take_go_tile_by_tile(change: str) -> None:
    parameters, rows = _drawn(FAMILIES["full"], 4096, 3, 2, 0)
    odd: Any = {
        "integers": lambda: np.round(10 * rows).astype(np.int16),
        "every other row": lambda: np.repeat(rows, 2, axis=0)[::2],
        "float16": lambda: rows.astype(np.float16),
    }[change]()
    fast = Counting()
    arithmetics: tuple[Arithmetic, ...] = (fast, Plain())
    found, expected = (_statistics(Workspace(a), odd, parameters, np.float64) for a in arithmetics)
    np.testing.assert_array_equal(found.sums, expected.sums)
    assert fast.blocks == 0
