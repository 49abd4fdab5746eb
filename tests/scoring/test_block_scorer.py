"""Blocks are read once where their rows are finite, and scored as if all had been looked at."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy, SelectedRows, UncheckedRows
from dgmm.data.row_block import RowBlock
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.mixture.backends import get
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.block_scorer import BlockScorer
from dgmm.scoring.in_memory import scores
from dgmm.scoring.row_scores import IncompleteRowsError, score_block
from dgmm.scoring.scored import Scored

K, D, N = 3, 4, 300
COMPILED = pytest.param(
    "numba",
    marks=pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="it is optional"),
)
BACKENDS = pytest.mark.parametrize("backend", ["numpy", COMPILED])
FIELDS = ("labels", "max_posterior", "log_density", "posteriors", "completed_log_density")


def model_of(scale: float = 1.0) -> MixtureModel:
    rng = np.random.default_rng(0)
    covariance = scale * (np.eye(D) + 0.3)
    parameters = Parameters.of(
        *(family_named("tied"), np.full(K, 1 / K), rng.normal(size=(K, D)), covariance)
    )
    names = tuple(f"x{i}" for i in range(D))
    return MixtureModel(parameters, Standardisation.identity(D), names)


def rows_with(*values: float) -> Any:
    """Rows of which every hundredth has one of some values."""
    rows = np.random.default_rng(1).normal(size=(N, D))
    for i, value in enumerate(values):
        rows[100 * i + 50, 1] = value
    return rows


def scorer_of(rows: Any, missing: MissingPolicy, backend: str, **own: Any) -> BlockScorer:
    return BlockScorer(ArrayDataset(rows), model_of(), missing, backend, "float64", **own)


@pytest.fixture
def selected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The blocks whose rows have been looked through."""
    found, select = [], MissingPolicy.select

    def counting(self: MissingPolicy, block: RowBlock, *args: Any, **own: Any) -> SelectedRows:
        found.append(block.index)
        return select(self, block, *args, **own)

    monkeypatch.setattr(MissingPolicy, "select", counting)
    return found


@BACKENDS
@pytest.mark.parametrize("values", [(), (1e9, 1e170, 1e300), (np.nan,), (np.nan, np.inf, 1e9)])
@pytest.mark.parametrize("missing", [MissingPolicy.DROP, MissingPolicy.MARGINALISE])
def test_scores_are_those_of_rows_that_were_looked_at_first(
    backend: str, values: tuple[float, ...], missing: MissingPolicy
) -> None:
    rows = rows_with(*values)
    if missing is MissingPolicy.MARGINALISE:
        rows[np.isinf(rows)] = np.nan
    dataset, model = ArrayDataset(rows), model_of()
    block = RowBlock(0, 0, rows)
    chosen = missing.select(block, dataset, weightless=True)
    workspace = Workspace(get(backend))
    expected = score_block(chosen, Scorer(model.parameters), workspace, model, "float64")
    found = scorer_of(rows, missing, backend)(block)
    assert (found.rows.n_dropped, found.rows.n_empty) == (chosen.n_dropped, chosen.n_empty)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found.block, name), getattr(expected.block, name))
    own, other = found.count(), expected.count()
    np.testing.assert_array_equal(own.label_counts, other.label_counts)
    for name in ("entropy", "log_likelihood", "n_read", "n_dropped", "n_incomplete"):
        assert getattr(own, name) == getattr(other, name)


@BACKENDS
@pytest.mark.parametrize("weights", [None, np.ones(N)])
def test_rows_that_were_not_checked_count_where_they_are_scored_and_finite(
    backend: str, weights: Any
) -> None:
    model, workspace = model_of(), Workspace(get(backend))
    prepared = Scorer(model.parameters), workspace, model, None
    found = score_block(UncheckedRows(rows_with(1e9), weights), *prepared).rows
    assert isinstance(found, SelectedRows)
    assert (found.n_read, found.n_dropped, found.n_incomplete) == (N, 0, 0)
    with pytest.raises(IncompleteRowsError):
        score_block(UncheckedRows(rows_with(np.nan), weights), *prepared)


@BACKENDS
def test_blocks_are_looked_through_from_the_first_on_that_lacks_values(
    backend: str, selected: list[int]
) -> None:
    score = scorer_of(rows_with(), MissingPolicy.DROP, backend)
    odd = {2: (np.nan,), 4: (1e9,), 5: (np.inf,)}
    blocks = [RowBlock(i, N * i, rows_with(*odd.get(i, ()))) for i in range(6)]
    assert [score(block).rows.n_dropped for block in blocks] == [0, 0, 1, 0, 0, 1]
    assert selected == [2, 3, 4, 5]


@BACKENDS
def test_far_rows_that_are_finite_are_no_reason_to_look(backend: str, selected: list[int]) -> None:
    score = scorer_of(rows_with(), MissingPolicy.ERROR, backend)
    scored = score(RowBlock(0, 0, rows_with(1e9, 1e200)))
    assert selected == []
    assert np.isneginf(scored.block.log_density).tolist() == [i == 150 for i in range(N)]


@BACKENDS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stored", [np.float32, np.float64])
def test_a_row_that_is_not_finite_is_refused(backend: str, value: float, stored: type) -> None:
    rows = rows_with(1e9, value).astype(stored)
    score = scorer_of(rows, MissingPolicy.ERROR, backend, remedy="Look")
    with pytest.raises(DataError, match=r"^1 of 300 rows .* row 150, feature x1\. Look$"):
        score(RowBlock(0, 0, rows))


@BACKENDS
def test_infinity_is_found_however_wide_the_components_are(backend: str) -> None:
    """Of precisions near the least number, any finite row is near enough for products."""
    rows, model = rows_with(np.inf), model_of(1e304)
    assert model.parameters.precision_bound < 1e-300
    score = BlockScorer(ArrayDataset(rows), model, MissingPolicy.DROP, backend, None)
    assert score(RowBlock(0, 0, rows)).rows.n_dropped == 1


@BACKENDS
def test_scores_in_memory_count_nothing(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(_: Scored) -> None:
        raise AssertionError("statistics were counted")

    monkeypatch.setattr(Scored, "count", counted)
    names = ("labels", "max_posterior", "log_density")
    with ThreadExecutor(1) as executor:
        found = scores(ArrayDataset(rows_with()), executor, model_of(), names, backend=backend)
    assert np.isfinite(found["log_density"]).all()
