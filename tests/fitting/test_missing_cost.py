"""What missing values cost: an estimate that jobs are refused by, and that starts are cut by."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.summary.missing_patterns import MissingPatterns
from dgmm.errors import JobFileError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.missing_cost import CostNotAcceptedError, MissingCost, require_accepted
from dgmm.fitting.preparation import prepare_models
from dgmm.fitting.sample_effort import Effort
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import family_named
from dgmm.reduction.blocks import BlockGrid

N, D, K = 100_000, 27, 16
FAMILIES = ("full", "diag")


def cost(family, n_patterns, share=0.5, n_rows=N):
    """Of rows a share of which lack values, in so many patterns."""
    rng = np.random.default_rng(0)
    masks = rng.random((n_patterns, D)) < 0.2
    masks[:, 0], masks[:, 1] = False, True
    n_partial = int(share * n_rows)
    missing = np.zeros((n_rows, D), np.bool_)
    missing[:n_partial] = masks[rng.integers(n_patterns, size=n_partial)]
    patterns = MissingPatterns.of_rows(np.where(missing, np.nan, 0.0))
    return MissingCost.of(family_named(family), K, patterns, BlockGrid(n_rows, D))


@pytest.mark.parametrize("family", ["full", "tied"])
def test_passes_cost_more_the_more_patterns_there_are(family):
    factors = [cost(family, n).factor for n in (1, 8, 50, 500)]
    assert factors[0] > 1
    assert (np.diff(factors) > 0).all()


def test_a_few_patterns_of_full_covariances_cost_little():
    assert cost("full", 8).factor < 2.5
    assert cost("full", 50).factor < 6


@pytest.mark.parametrize("family", ["diag", "spherical"])
def test_masked_features_cost_the_same_for_any_number_of_patterns(family):
    assert cost(family, 1).factor == cost(family, 500).factor <= 3


def test_rows_that_are_all_unlike_cost_as_many_lifts():
    rng = np.random.default_rng(0)
    patterns = MissingPatterns.of_rows(np.where(rng.random((N, D)) < 0.3, np.nan, 0.0))
    found = MissingCost.of(family_named("full"), K, patterns, BlockGrid(N, D))
    assert (found.n_patterns, found.counted) == (None, "more than 4,096")
    assert found.factor > 50
    remedies = (
        r"more than 50\. Either run the job with --accept-cost, or leave out the features that are "
        r"missing most, or set model\.covariance_type to diag, .*, or set data\.missing to drop$"
    )
    with pytest.raises(JobFileError, match=remedies):
        require_accepted(found, is_accepted=False)
    require_accepted(found, is_accepted=True)


def test_fewer_starts_are_tried_where_passes_cost_more():
    settings, full = FitSettings(K), family_named("full")
    cheap, costly = (Effort.of(settings, full, N, N, D, cost) for cost in (1.0, 200.0))
    assert costly.n_starts * costly.n_iterations < cheap.n_starts * cheap.n_iterations
    assert costly.n_starts >= 1


def test_compiled_code_takes_rows_that_are_all_unlike_one_by_one():
    """Measured at 27 features of which 10 % are missing: 14 and 25 × a complete pass (k = 16)."""
    rng = np.random.default_rng(0)
    gone = rng.random((N, D)) < 0.1
    patterns = MissingPatterns.of_rows(np.where(gone, np.nan, 0.0))
    lacks = gone.sum() / gone.any(axis=1).sum()
    full, grid = family_named("full"), BlockGrid(N, D)
    found = MissingCost.of(full, K, patterns, grid, by_row=lacks)
    assert 12.5 < found.factor < 28
    assert MissingCost.of(full, K, patterns, grid).factor > 200
    tied = family_named("tied")
    by_pattern = MissingCost.of(tied, K, patterns, grid)
    compiled = MissingCost.of(tied, K, patterns, grid, by_row=lacks).factor
    assert 1.0 < compiled / by_pattern.factor <= 1.5


def test_patterns_of_many_rows_cost_more_of_a_faster_pass_with_compiled_code():
    masks = np.zeros((N, D), np.bool_)
    masks[np.arange(N), np.arange(N) % 5] = True
    patterns = MissingPatterns.of_rows(np.where(masks, np.nan, 0.0))
    full, grid = family_named("full"), BlockGrid(N, D)
    found = MissingCost.of(full, K, patterns, grid, by_row=1.0).factor
    assert 1.0 < found / MissingCost.of(full, K, patterns, grid).factor < 1.5


def test_of_several_models_the_highest_cost_is_refused_whatever_their_order(monkeypatch):
    monkeypatch.setattr("dgmm.fitting.missing_cost.MOST_COST", 1.0)
    monkeypatch.setattr("dgmm.fitting.missing_cost.LONG_PASS_S", 0.0)
    rng = np.random.default_rng(0)
    rows = ArrayDataset(np.where(rng.random((2000, 3)) < 0.2, np.nan, rng.normal(size=(2000, 3))))
    full, diag = (FitSettings(3, covariance_type=t, missing="marginalise") for t in FAMILIES)
    found = []
    with ThreadExecutor(1) as executor:
        for models in ([full], [diag], [full, diag], [diag, full]):
            with pytest.raises(CostNotAcceptedError) as refused:
                prepare_models(rows, executor, models)
            found.append(refused.value.cost.factor)
    assert found[0] > found[1]
    assert found[0] == found[2] == found[3]


def test_passes_over_few_rows_are_short_and_need_no_acceptance():
    few = cost("full", 500, n_rows=2000)
    assert few.factor > 50
    assert not few.is_high
    require_accepted(few, is_accepted=False)
    rng = np.random.default_rng(0)
    many = MissingPatterns.of_rows(np.where(rng.random((N, D)) < 0.3, np.nan, 0.0))
    assert MissingCost.of(family_named("full"), K, many, BlockGrid(N, D)).is_high


@pytest.mark.parametrize("family", FAMILIES)
def test_seconds_are_those_of_complete_rows_times_the_factor(family):
    few, many = cost(family, 8, share=0.1), cost(family, 8, share=0.8)
    assert many.seconds / few.seconds == pytest.approx(many.factor / few.factor)
    assert many.factor > few.factor
    twice = cost(family, 8, share=0.1, n_rows=2 * N)
    assert twice.seconds / twice.factor == pytest.approx(2 * few.seconds / few.factor)


def test_a_factor_reads_as_a_number():
    assert "about 2.3 times" in MissingCost(3, 10, 100, 2.345, 0.1).describe()
    assert "about 1,235 times" in MissingCost(3, 10, 100, 1234.6, 0.1).describe()
