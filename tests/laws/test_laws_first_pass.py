"""The first pass of families with a scatter: a later pass in compiled code, and the scatter."""

from __future__ import annotations

import mixtures
import numpy as np
import pytest
from mixtures import Array

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.data_pass import EStepRunner
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.em.standardised_rows import StandardisedRows
from dgmm.mixture.backends import compiled_backend, get
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.covariance.triangles import unpack
from dgmm.mixture.kernels import ProductKernel, SplitKernel, Workspace, e_step, tiles
from dgmm.mixture.sufficient_statistics import Statistics

if compiled_backend() is None:
    pytest.skip("needs Numba", allow_module_level=True)

N, D, K = 1500, 5, 3
EPS = float(np.finfo(np.float64).eps)
WITH_SCATTER = pytest.mark.parametrize(
    "family",
    [family for family in FAMILIES.values() if family.scatter_width(D)],
    ids=lambda f: f.name,
)
WEIGHTED = pytest.mark.parametrize("is_weighted", [False, True])


def one_pass(
    kernel: ProductKernel, rows: Array, weights: Array | None, backend: str = "numba"
) -> Statistics:
    """Statistics of rows (n, d) as a pass reads them."""
    workspace, units = Workspace(get(backend)), Standardisation.identity(D)
    columns = StandardisedRows.of(rows, units, kernel.dtype, workspace)
    return e_step([kernel], columns, workspace, weights)[0]


def own_rows(family: Family, dtype: type) -> Array:
    rows: Array = np.ascontiguousarray(mixtures.scene(family, N, K, D).Y.T, dtype)
    return rows


@WITH_SCATTER
@WEIGHTED
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_is_a_later_pass_and_numpys_scatter(
    family: Family, is_weighted: bool, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    p, rows = mixtures.scene(family, N, K, D).parameters, own_rows(family, dtype)
    w = np.random.default_rng(1).uniform(0.5, 2.0, N) if is_weighted else None
    later = one_pass(ProductKernel.of(p, dtype), rows, w)
    monkeypatch.setattr(tiles, "softmax", lambda *_: pytest.fail("tile by tile"))
    first = one_pass(ProductKernel.of(p, dtype, with_scatter=True), rows, w)
    np.testing.assert_array_equal(first.sums, later.sums)
    assert first.log_likelihood == later.log_likelihood
    Y, own = rows.T.astype(np.float64), np.ones(N) if w is None else w
    expected = family.scatter(Y, own)
    # Each sum of n products is rounded n times at most.
    allowed = 2 * N * EPS * family.scatter(np.abs(Y), own)
    assert first.scatter is not None
    assert (np.abs(first.scatter - expected) <= allowed).all()


def test_it_has_the_bits_of_any_threads() -> None:
    family = FAMILIES["tied"]
    scene = mixtures.scene(family, 13_000, K, D)
    kernel = ProductKernel.of(scene.parameters, with_scatter=True)
    dataset = ArrayDataset(np.ascontiguousarray(scene.Y.T))
    request = EStepRequest(kernel, Standardisation.identity(D))
    found = []
    for n_threads in (1, 3):
        with ThreadExecutor(n_threads) as executor:
            found.append(EStepRunner(dataset, executor, "numba")((request,)).candidates[0])
    np.testing.assert_array_equal(found[0].scatter, found[1].scatter)
    np.testing.assert_array_equal(found[0].sums, found[1].sums)
    Y = scene.Y
    np.testing.assert_allclose(unpack(found[0].scatter, D), Y @ Y.T, rtol=1e-11, atol=1e-9)


@WITH_SCATTER
def test_near_rows_of_a_split_pass_are_done_at_once(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = own_rows(family, np.float64)
    kernel = SplitKernel.of(mixtures.scene(family, N, K, D).parameters, 1e30)
    monkeypatch.setattr(tiles, "softmax", lambda *_: pytest.fail("tile by tile"))
    assert one_pass(kernel, rows, None).n_rows == N
