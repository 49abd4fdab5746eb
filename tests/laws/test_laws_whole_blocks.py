"""A block done at once in compiled code has the bits of its tiles one by one in NumPy."""

from __future__ import annotations

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


class Counting(compiled.Compiled):
    """Knows how many blocks it did at once."""

    blocks = 0

    def e_step(self, block: Block) -> bool:
        done = super().e_step(block)
        self.blocks += done
        return done


def _statistics(
    arithmetic: Arithmetic, rows: mixtures.Array, parameters: Parameters, dtype: type
) -> Statistics:
    standardisation = Standardisation.from_sample(rows[:500], rows.dtype, common_scale=True)
    kernel, workspace = ProductKernel.of(parameters, dtype), Workspace(arithmetic)
    columns = StandardisedRows.of(rows, standardisation, kernel.dtype, workspace)
    e_step([kernel], columns, workspace)  # buffers that are used again change nothing
    return e_step([kernel], columns, workspace)[0]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
@settings(deadline=None, max_examples=30)
@given(
    n=st.sampled_from([2, 300, 1024, 4096, 4097, 5000, 8191]),
    k=st.sampled_from([1, 2, 5, 16, 40]),
    d=st.sampled_from([1, 2, 5, 17]),
    stored=st.sampled_from([np.float32, np.float64]),
    dtype=st.sampled_from([np.float32, np.float64]),
    spread=st.sampled_from([1.0, 100.0]),
    seed=st.integers(0, 50),
)
def test_a_block_at_once_has_the_bits_of_its_tiles(
    family: Family, n: int, k: int, d: int, stored: type, dtype: type, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    parameters = mixtures.mixture(family, k, d, rng, condition=10.0)
    rows = (spread * mixtures.draw(parameters, n, rng).T).astype(stored, order="C")
    fast = Counting()
    found, expected = (_statistics(a, rows, parameters, dtype) for a in (fast, Plain()))
    assert found.log_likelihood == expected.log_likelihood
    np.testing.assert_array_equal(found.sums, expected.sums)
    if n == 4096 and k > 1:
        assert fast.blocks == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [258, 4096])
@pytest.mark.parametrize(("d", "k"), [(64, 5), (70, 32), (90, 3)])
def test_a_block_whose_phi_is_made_in_parts_has_the_bits_of_its_tiles(
    d: int, k: int, n: int, dtype: type
) -> None:
    rng = np.random.default_rng(d)
    parameters = mixtures.mixture(FAMILIES["full"], k, d, rng, condition=10.0)
    assert len(ProductKernel.of(parameters, dtype).parts) > 1
    rows = np.ascontiguousarray(mixtures.draw(parameters, n, rng).T)
    fast = Counting()
    found, expected = (_statistics(a, rows, parameters, dtype) for a in (fast, Plain()))
    assert found.log_likelihood == expected.log_likelihood
    np.testing.assert_array_equal(found.sums, expected.sums)
    assert fast.blocks == 2


def test_rows_that_compiled_code_does_not_take_go_tile_by_tile() -> None:
    rng = np.random.default_rng(0)
    parameters = mixtures.mixture(FAMILIES["full"], 3, 2, rng, condition=2.0)
    rows = np.round(10 * mixtures.draw(parameters, 4096, rng).T).astype(np.int16)
    fast = Counting()
    found, expected = (_statistics(a, rows, parameters, np.float64) for a in (fast, Plain()))
    np.testing.assert_array_equal(found.sums, expected.sums)
    assert fast.blocks == 0
