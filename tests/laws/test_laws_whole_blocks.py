"""A block done at once in compiled code: its bits are defined, its numbers those of its tiles."""

from __future__ import annotations

import importlib.util
import operator
import sys
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import Any

import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES, COMPILED_FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import EPS

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.standardised_rows import StandardisedRows
from dgmm.mixture.backends import Block, NumpyBackend, steps
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.kernels import Guard, ProductKernel, Workspace, e_step
from dgmm.mixture.kernels.scorer import RowScores, Scorer
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.in_memory import scores

compiled = pytest.importorskip("dgmm.mixture.backends.numba_backend", reason="Numba is optional")
compiling = pytest.importorskip("dgmm.mixture.backends.numba_cache", reason="it needs Numba too")
fused = pytest.importorskip("dgmm.mixture.backends.fused_products", reason="it needs Numba too")
moment_products = pytest.importorskip(
    "dgmm.mixture.backends.moment_products", reason="Numba is optional"
)
fused_e_step = pytest.importorskip("dgmm.mixture.backends.fused_e_step", reason="it needs Numba")
sparse = pytest.importorskip("dgmm.mixture.backends.sparse_moments", reason="it needs Numba too")
pairs = pytest.importorskip("dgmm.mixture.backends.sparse_pairs", reason="it needs Numba too")
scoring = pytest.importorskip("dgmm.mixture.backends.fused_scoring", reason="it needs Numba too")
softmaxes = pytest.importorskip("dgmm.mixture.backends.numba_softmax", reason="it needs Numba too")
whitened = pytest.importorskip("dgmm.mixture.backends.whitened_squares", reason="it needs Numba")
vectors = pytest.importorskip("dgmm.mixture.backends.simd_intrinsics", reason="it needs Numba too")

FAMILY = pytest.mark.parametrize(
    "family", COMPILED_FAMILIES.values(), ids=lambda family: family.name
)
S = moment_products.ROW_PANEL


class Counting(compiled.NumbaBackend):
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
    d=st.sampled_from([1, 2, 3, 5, 17, 33, 70]),
    stored=st.sampled_from([np.float32, np.float64]),
    dtype=st.sampled_from([np.float32, np.float64]),
    spread=st.sampled_from([1.0, 4.0]),
    seed=st.integers(0, 50),
)
def test_a_block_at_once_has_the_numbers_of_its_tiles(
    family: Family, n: int, k: int, d: int, stored: type, dtype: type, spread: float, seed: int
) -> None:
    parameters, rows = _drawn(family, n, k, d, seed, spread)
    rows, fast = rows.astype(stored), Counting()
    found, expected = (
        _statistics(Workspace(a), rows, parameters, dtype) for a in (fast, NumpyBackend())
    )
    assert fast.blocks == 1
    standard = Standardisation.from_sample(rows[:500], rows.dtype, common_scale=True)
    Y = standard.apply(rows, np.float64)
    error = Guard.of_tile(Y).log_prob_error(parameters, dtype)
    eps = float(np.finfo(dtype).eps)
    own = 8 * eps * (n + abs(expected.log_likelihood))
    assert abs(found.log_likelihood - expected.log_likelihood) <= 2 * error * n + own
    # An error e of log densities moves at most a share of 2e of a row to other components.
    largest = max(1.0, float(np.abs(Y).max())) ** 2
    if error < 0.1:
        atol = n * largest * (4 * error + S * eps)
        np.testing.assert_allclose(found.sums, expected.sums, rtol=0, atol=atol)


@pytest.mark.parametrize("form", ["none", "cubes"])
def test_a_family_of_unknown_form_is_computed_tile_by_tile(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = ALL_FAMILIES["own_squares"]
    monkeypatch.setattr(type(family), "form", form)
    (parameters, rows), fast = _drawn(family, 300, 3, 4, 7), Counting()
    found, expected = (
        _statistics(Workspace(a), rows, parameters, np.float64) for a in (fast, NumpyBackend())
    )
    assert fast.blocks == 0
    atol = 300 * S * EPS * np.abs(rows).max() ** 2
    np.testing.assert_allclose(found.sums, expected.sums, rtol=0, atol=atol)
    scored, known = (
        _scored(family, parameters, rows)
        for family in (ALL_FAMILIES["own_squares"], FAMILIES["diag"])
    )
    np.testing.assert_array_equal(scored["labels"], known["labels"])
    np.testing.assert_allclose(scored["log_density"], known["log_density"], rtol=S * EPS)


def _scored(family: Family, parameters: Parameters, rows: mixtures.Array) -> dict[str, Any]:
    dataset, own = ArrayDataset(rows), replace(parameters, family=family)
    model = MixtureModel(own, Standardisation.identity(rows.shape[1]), dataset.feature_names)
    with ThreadExecutor(1) as executor:
        return scores(dataset, executor, model, ("labels", "log_density"), backend="numba")


def _rounded(exact: Fraction, dtype: type) -> Any:
    """The nearest number of a type, of two the even one."""
    near = dtype(float(exact))
    around = [near, *(np.nextafter(near, dtype(end)) for end in (-np.inf, np.inf))]
    least = min(abs(Fraction(float(x)) - exact) for x in around)
    best = [x for x in around if abs(Fraction(float(x)) - exact) == least]
    word = np.uint64 if dtype is np.float64 else np.uint32
    return next((x for x in best if not int(x.view(word)) & 1), best[0])


def _chain(a: Any, b: Any) -> Any:
    """Σ a·b, each product added with one rounding, from 0."""
    dtype = a.dtype.type
    total = dtype(0.0)
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        exact = Fraction(x) * Fraction(y) + Fraction(float(total))
        total = dtype(float(exact)) if dtype is np.float64 else _rounded(exact, dtype)
    return total


def _added(values: list[float]) -> float:
    """Their sum in order; from Python 3.12 on sum() compensates its rounding."""
    return reduce(operator.add, values, 0.0)


def _by_definition(kernel: ProductKernel, d: int, Phi: Any) -> tuple[float, Any]:
    """Log-likelihood and sums (k, p) of columns Φ, number by number."""
    (k, p), n, dtype = kernel.natural_parameters.shape, Phi.shape[1], Phi.dtype
    _, order, n_products = fused.factors(kernel.family.form, d)
    eta, ordered = kernel.natural_parameters[:, order], Phi[order]
    L, ends = np.zeros((k, n), dtype), [0]
    while ends[-1] < p:
        ends.append(fused.end_of_chain(ends[-1], n_products, p))
    for panel in map(slice, ends, ends[1:]):
        for j in range(k):
            for c in range(n):
                L[j, c] += _chain(eta[j, panel], ordered[panel, c])
    has_part = L - L.max(axis=0) > fused_e_step.E_STEP_FLOOR[Phi.dtype]
    lse = compiled.NumbaBackend().softmax(L, np.empty(n, dtype), np.empty(n, dtype))
    L[~has_part] = 0.0
    total, sums = 0.0, np.zeros((k, p))
    for panel in steps(n, S):
        lanes = [_added(lse[panel][i::8].tolist()) for i in range(8)]
        total += _added(lanes)
        for j in range(k):
            for q in range(p):
                sums[j, q] += float(_chain(Phi[q, panel], L[j, panel]))
    return total, sums


@pytest.mark.parametrize(
    ("family", "n", "k", "d", "dtype"),
    [
        *((family, S + 5, 3, 2, np.float64) for family in COMPILED_FAMILIES),
        *((family, S + 5, 5, 3, np.float32) for family in COMPILED_FAMILIES),
        ("full", S + 2, 9, 17, np.float64),  # groups, panels, and squares of products
        ("full", S + 2, 17, 12, np.float32),
        ("tied", S + 2, 3, 70, np.float64),  # rows of y in more than one panel
        ("spherical", S + 2, 3, 70, np.float32),
        ("diag", S + 2, 3, 70, np.float64),
    ],
)
def test_the_bits_of_a_block_are_chains_of_fused_multiplications(
    family: str, n: int, k: int, d: int, dtype: type
) -> None:
    parameters, rows = _drawn(COMPILED_FAMILIES[family], n, k, d, 3)
    rows = rows.astype(dtype)
    found = _statistics(Workspace(compiled.NumbaBackend()), rows, parameters, dtype)
    standard = Standardisation.from_sample(rows[:500], rows.dtype, common_scale=True)
    kernel = ProductKernel.of(parameters, dtype)
    columns = StandardisedRows.of(rows, standard, kernel.dtype, Workspace())
    Phi = kernel.prepare(columns, slice(0, n), Workspace())
    log_likelihood, sums = _by_definition(kernel, d, Phi)
    assert found.log_likelihood == log_likelihood
    np.testing.assert_array_equal(found.sums, sums)


@pytest.fixture(scope="module")
def other_registers() -> Any:
    """The compiled backend as it is on a processor with other registers."""
    with pytest.MonkeyPatch.context() as patch:
        many, copies, digest_of = vectors.registers_hold_many(), [], compiling.digest_of
        patch.setattr(vectors, "registers_hold_many", lambda: not many)
        # Kept apart on disk.
        patch.setattr(compiling, "digest_of", lambda folder: f"of_another_{digest_of(folder)}")
        products = moment_products, fused, softmaxes, whitened, scoring, pairs, sparse
        for module in (*products, fused_e_step, compiled):
            name = f"{module.__name__}_of_another"
            specification = importlib.util.spec_from_file_location(name, module.__file__)
            assert specification is not None
            copy = importlib.util.module_from_spec(specification)
            sys.modules[name] = copy  # where Numba finds what it has kept
            specification.loader.exec_module(copy)
            patch.setitem(sys.modules, module.__name__, copy)  # for the next
            copies.append(copy)
    assert copies[0].HIGH != moment_products.HIGH
    assert copies[1]._WIDE != fused._WIDE
    assert copies[2]._VECTORS != softmaxes._VECTORS
    assert copies[3]._WIDE != whitened._WIDE
    assert copies[4]._VECTORS != scoring._VECTORS
    assert copies[5]._HIGH != pairs._HIGH
    assert copies[6]._HIGH != sparse._HIGH
    return copies[-1].NumbaBackend()


@FAMILY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "k", "d"), [(S + 7, 1, 1), (3 * S, 16, 8), (500, 37, 20), (S, 9, 70), (200, 300, 70)]
)
def test_bits_do_not_follow_the_registers(
    family: Family, n: int, k: int, d: int, dtype: type, other_registers: Any
) -> None:
    parameters, rows = _drawn(family, n, k, d, 5)
    found, expected = (
        _statistics(Workspace(a), rows, parameters, dtype)
        for a in (other_registers, compiled.NumbaBackend())
    )
    assert found.log_likelihood == expected.log_likelihood
    np.testing.assert_array_equal(found.sums, expected.sums)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_of_sparse_pairs_do_not_follow_the_registers(
    dtype: type, other_registers: Any
) -> None:
    """Of clusters far apart: a row has one responsibility that is not 0."""
    rng, k, d, n = np.random.default_rng(5), 9, 40, 2 * S + 7
    means = 10.0 * rng.normal(size=(k, d))
    rows = means[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    standard = Standardisation.from_sample(rows[:500], rows.dtype, common_scale=True)
    own = standard.apply(np.vstack([means, means[:1] + 1.0]), np.float64).T
    covariances = np.repeat((own[-1, 0] - own[0, 0]) ** 2 * np.eye(d)[None], k, axis=0)
    parameters = Parameters.of(FAMILIES["full"], np.full(k, 1 / k), own[:k], covariances)
    statistics = []
    for backend in (other_registers, compiled.NumbaBackend()):
        workspace = Workspace(backend)
        statistics.append(_statistics(workspace, rows, parameters, dtype))
        assert workspace._latest is not None
        assert workspace._latest[1].sparse[0].any()
    found, expected = statistics
    assert found.log_likelihood == expected.log_likelihood
    np.testing.assert_array_equal(found.sums, expected.sums)


@FAMILY
def test_scores_do_not_follow_the_registers(family: Family, other_registers: Any) -> None:
    parameters, rows = _drawn(family, 2 * S + 7, 9, 4, 5)
    scorer, found = Scorer(parameters), []
    for backend in (other_registers, compiled.NumbaBackend()):
        out = RowScores.empty(len(rows), np.empty((len(rows), 9)))
        done = scorer.at_once((rows, np.ones(4), np.zeros(4)), out, Workspace(backend))
        assert done is not None
        assert not done[1].all()
        found.append((done[0], out))
    (entropy, out), (expected_entropy, expected) = found
    assert entropy == expected_entropy
    for name in ("labels", "max_posterior", "log_density", "posteriors"):
        np.testing.assert_array_equal(getattr(out, name), getattr(expected, name))


@FAMILY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_was_in_the_buffers_changes_nothing(family: Family, dtype: type) -> None:
    used = Workspace(compiled.NumbaBackend())
    far, many = _drawn(family, 700, 21, 9, 1, spread=1e6)
    _statistics(used, many, far, dtype)
    for n in (3, S, 500):
        parameters, rows = _drawn(family, n, 5, 4, 2)
        found = _statistics(used, rows, parameters, dtype)
        expected = _statistics(Workspace(compiled.NumbaBackend()), rows, parameters, dtype)
        assert found.log_likelihood == expected.log_likelihood
        np.testing.assert_array_equal(found.sums, expected.sums)


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e200])
def test_a_row_that_is_no_number_makes_the_likelihood_none(odd: float) -> None:
    parameters, rows = _drawn(FAMILIES["full"], 1000, 3, 2, 0)
    rows[600, 1] = odd  # behind the 500 rows that units are taken from
    found = _statistics(Workspace(compiled.NumbaBackend()), rows, parameters, np.float64)
    assert not np.isfinite(found.log_likelihood)


@pytest.mark.parametrize("stored", ["i2", "u1", "f2", ">f8", ">f4", "every other row"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_however_rows_are_stored_they_are_their_values(stored: str, dtype: type) -> None:
    parameters, rows = _drawn(FAMILIES["full"], 300, 3, 2, 0)
    rows = np.round(10 * rows - 10 * rows.min())
    assert rows.max() < 256
    odd = np.repeat(rows, 2, axis=0)[::2] if stored == "every other row" else rows.astype(stored)
    standard = Standardisation.from_sample(rows, np.dtype(np.float64), common_scale=True)
    kernel, found = ProductKernel.of(parameters, dtype), []
    for some in (odd, rows):
        workspace = Workspace(compiled.NumbaBackend())
        columns = StandardisedRows.of(some, standard, kernel.dtype, workspace)
        found.append(e_step([kernel], columns, workspace)[0])
    assert found[0].log_likelihood == found[1].log_likelihood
    np.testing.assert_array_equal(found[0].sums, found[1].sums)


def test_machine_code_kept_on_disk_is_that_of_these_sources(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = compiling.digest_of(tmp_path)
    compiling.digest_of.cache_clear()
    (tmp_path / "a.py").write_text("x = 2")
    assert compiling.digest_of(tmp_path) != before
    package = Path(compiled.__file__).parent
    for function in (fused_e_step._e_step, compiled.standardise, moment_products.moments):
        assert compiling.digest_of(package) in function.py_func.__qualname__
        for place in function._cache.places:
            assert compiling.digest_of(package) in place._impl.filename_base
