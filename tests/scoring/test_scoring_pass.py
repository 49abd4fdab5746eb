"""The scoring pass: every chunk written once, by one task, as one whole."""

from __future__ import annotations

import threading
import tracemalloc
import warnings
from collections import Counter

import numpy as np
import pytest
from clusters import gaussian_clusters
from hypothesis import given
from hypothesis import strategies as st

import dgmm
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.row_block import RowBlock
from dgmm.data.zarr.output_store import OutputArray
from dgmm.execution.threads import ThreadExecutor
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.reduction.blocks import BlockGrid
from dgmm.reduction.map_reduce import split_ranges
from dgmm.scoring.row_scores import score_block
from dgmm.scoring.scoring_pass import (
    Products,
    chunk_blocks,
    responsibilities_chunk_rows,
    scoring_pass,
)

NAMES = ("labels", "max_posterior", "log_density", "responsibilities")


@pytest.fixture(scope="module")
def fitted():
    X, _ = gaussian_clusters(300_000, 64, 2)
    X = X.astype(np.float32)
    return X, dgmm.GaussianMixture(2, covariance_type="diag", random_state=0).fit(X).model_


def test_no_chunk_is_written_twice_and_none_in_part(fitted, tmp_path, monkeypatch):
    X, model = fitted
    dataset, written, lock = ArrayDataset(X), [], threading.Lock()
    real = OutputArray.write

    def write(self, start, values):
        with lock:
            written.append((self.name, start, len(values), threading.get_ident()))
        real(self, start, values)

    monkeypatch.setattr(OutputArray, "write", write)
    products = Products(str(tmp_path / "o.zarr"), NAMES)
    products.create(dataset.grid, 2, {})
    with ThreadExecutor(5) as executor:
        total = scoring_pass(
            dataset, executor, model, products, missing=MissingPolicy.ERROR, backend="numpy"
        )
    assert total.n_read == len(X)
    chunks: Counter = Counter()
    for name, start, length, _ in written:
        rows = OutputArray(products.path, name).chunk_rows
        assert start % rows == 0
        assert length % rows == 0 or start + length == len(X)
        chunks.update((name, c) for c in range(start // rows, -(-(start + length) // rows)))
    assert set(chunks.values()) == {1}
    assert len({ident for *_, ident in written}) > 1
    for name in NAMES:
        rows = OutputArray(products.path, name).chunk_rows
        assert sum(n == name for n, _ in chunks) == -(-len(X) // rows)


@given(
    st.integers(1, 10**12),
    st.integers(1, 3000),
    st.integers(1, 300),
    st.integers(1, 5000),
)
def test_tasks_are_aligned_to_chunks_of_bounded_size_and_number(n, d, n_tasks, k):
    grid = BlockGrid(n, d)
    per_chunk = chunk_blocks(grid)
    assert per_chunk * grid.rows_per_block < 2**20 + grid.rows_per_block
    runs = split_ranges(min(grid.n_blocks, 10**5), n_tasks, per_chunk)
    assert all(run.start % per_chunk == 0 for run in runs)
    assert grid.rows_per_block % responsibilities_chunk_rows(grid, k) == 0


def test_results_do_not_depend_on_tasks(fitted, tmp_path):
    X, model = fitted
    dataset, found = ArrayDataset(X), []
    for n in (1, 4):
        products = Products(str(tmp_path / f"{n}.zarr"), NAMES)
        products.create(dataset.grid, 2, {})
        with ThreadExecutor(n) as executor:
            total = scoring_pass(
                dataset, executor, model, products, missing=MissingPolicy.ERROR, backend="numpy"
            )
        found.append((total.log_likelihood, total.entropy, dict(total.digests)))
    assert found[0] == found[1]


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
@pytest.mark.filterwarnings("ignore:.*IQR:UserWarning")
def test_a_row_beyond_all_numbers_has_minus_infinity_and_the_nearest_label(family):
    X, _ = gaussian_clusters(2000, 3, 2)
    model = dgmm.GaussianMixture(2, covariance_type=family, random_state=0).fit(X).model_
    centres = model.means
    direction = (centres[1] - centres[0]) / np.linalg.norm(centres[1] - centres[0])
    rows = np.stack([direction * 1e300, -direction * 1e300, direction * 1e170, centres[0]])
    log_density = model.score_samples(rows)
    assert (log_density[:3] == -np.inf).all()
    assert np.isfinite(log_density[3])
    R = model.predict_proba(rows)
    assert not np.isnan(R).any()
    np.testing.assert_allclose(R.sum(axis=1), 1.0)
    if family in {"tied", "spherical"}:  # elsewhere the wider component reaches farther
        variances = model.feature_variances().mean(axis=1)
        nearest = 1 if family == "tied" else int(np.argmax(variances))
        assert model.predict(rows)[0] == nearest


def test_scores_of_a_tile_are_those_of_each_row_alone(fitted):
    X, model = fitted
    Y = model.standardisation.apply(X[:300], np.float64)
    scorer = Scorer(model.parameters)
    whole = scorer.log_density(Y)
    alone = np.concatenate([scorer.log_density(Y[:, [i]]) for i in range(0, 300, 37)])
    # Another shape of product sums in another order: 2·d terms as large as the largest of these
    # densities' logarithms (one of them may come to nearly 0, its terms do not).
    atol = 2 * 64 * np.finfo(float).eps * float(np.abs(whole).max())
    np.testing.assert_allclose(alone, whole[::37], rtol=0, atol=atol)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_posteriors_of_dropped_rows_are_missing_and_those_of_others_in_their_places(
    fitted, tmp_path, share
):
    X, model = fitted
    X = X[:20_000].copy()
    missing = np.random.default_rng(1).random(len(X)) < share
    X[missing, 5] = np.nan
    dataset, products = ArrayDataset(X), Products(str(tmp_path / "o.zarr"), NAMES)
    products.create(dataset.grid, 2, {})
    with ThreadExecutor(1) as executor:
        total = scoring_pass(
            dataset, executor, model, products, missing=MissingPolicy.DROP, backend="numpy"
        )
    assert total.n_dropped == missing.sum()
    found = {name: OutputArray(products.path, name).read(0, len(X)) for name in NAMES}
    assert np.isnan(found["responsibilities"][missing]).all()
    assert (found["labels"][missing] == -1).all()
    if not missing.all():
        kept = found["responsibilities"][~missing]
        np.testing.assert_array_equal(kept.argmax(axis=1), found["labels"][~missing])
        np.testing.assert_array_equal(kept.max(axis=1), found["max_posterior"][~missing])
        np.testing.assert_array_equal(kept, model.predict_proba(X[~missing]).astype(np.float32))


def test_dropped_rows_cost_no_second_copy_of_a_blocks_posteriors(fitted):
    k, (n, d) = 400, (8192, 2)
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, d))
    X[::100, 0] = np.nan
    start = dgmm.GaussianMixture(
        k, covariance_type="spherical", max_iter=1, init_params="random_from_data", random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = start.fit(rng.normal(size=(2000, d))).model_
    scorer, workspace = Scorer(model.parameters), Workspace()
    rows = MissingPolicy.DROP.select(RowBlock(0, 0, X), ArrayDataset(X))
    score_block(rows, scorer, workspace, model, "float32")  # the tiles' buffers are there now
    tracemalloc.start()
    score_block(rows, scorer, workspace, model, "float32")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1.5 * n * k * 4
