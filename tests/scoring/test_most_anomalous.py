"""The rows of lowest density, however blocks are cut and merged: those that sorting all gives."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgmm.checkpoint.encoding import decode, encode
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.mixture.covariance import family_named
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.most_anomalous import MostAnomalous
from dgmm.scoring.output_registry import ScoredBlock
from dgmm.scoring.scoring_pass import Products, scoring_pass


def scored(density: np.ndarray, labels: np.ndarray) -> ScoredBlock:
    none = np.empty(0)
    return ScoredBlock(labels.astype(np.int32), none, density, None, None, None, density)


def of_blocks(
    most: int, density: np.ndarray, values: np.ndarray, cuts: list[int]
) -> list[MostAnomalous]:
    labels = np.arange(len(density)) % 7
    bounds = [0, *sorted(cuts), len(density)]
    return [
        MostAnomalous.of_block(most, a, scored(density[a:b], labels[a:b]), values[a:b])
        for a, b in pairwise(bounds)
    ]


DENSITIES = st.lists(
    st.sampled_from([-np.inf, -7.0, -3.5, -1.0, 0.0, np.nan]) | st.floats(-50, 5),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(DENSITIES, st.integers(1, 12), st.data())
def test_any_cut_and_order_of_merging_gives_what_sorting_all_rows_gives(density, most, data):
    array = np.array(density)
    values = np.arange(2.0 * len(array)).reshape(-1, 2)
    cuts = data.draw(st.lists(st.integers(0, len(array)), max_size=5))
    parts = of_blocks(most, array, values, cuts)
    wanted = [i for i in np.lexsort((np.arange(len(array)), array)) if not np.isnan(array[i])]
    wanted = wanted[:most]
    for found in (
        reduce(MostAnomalous.merge, parts),
        reduce(lambda right, left: left.merge(right), reversed(parts)),
        reduce(MostAnomalous.merge, data.draw(st.permutations(parts))),
    ):
        assert found.rows.tolist() == wanted
        np.testing.assert_array_equal(found.log_density, array[wanted])
        np.testing.assert_array_equal(found.values, values[wanted])
        np.testing.assert_array_equal(found.components, np.array(wanted, dtype=int) % 7)


@pytest.mark.parametrize("most", [1, 5, 100])
def test_a_block_keeps_no_more_rows_than_are_asked_for(most):
    density = np.round(np.random.default_rng(0).normal(size=4000), 1)  # ties
    (found,) = of_blocks(most, density, density[:, None], [])
    assert len(found.rows) == most
    assert found.rows.tolist() == np.argsort(density, kind="stable")[:most].tolist()


def test_a_checkpoint_keeps_every_bit():
    density = np.array([-np.inf, -3.3, np.nan, -7.1])
    values = np.array([[np.nan, 1.0], [2.0, 3.0], [4.0, 5.0], [0.1, 1e300]])
    (found,) = of_blocks(3, density, values, [])
    again = decode(encode(found))
    assert again.most == 3
    for name in ("rows", "log_density", "components", "values"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
        assert getattr(again, name).dtype == getattr(found, name).dtype


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_pass_over_several_blocks_finds_the_lowest_rows_of_all(n_threads):
    X = np.random.default_rng(1).normal(size=(20_000, 64))  # 5 blocks
    X[[19_999, 3, 9_000]] *= [[9.0], [8.0], [7.0]]
    weights, means = np.array([0.4, 0.6]), np.array([np.zeros(64), np.full(64, 0.5)])
    parameters = Parameters.of(family_named("diag"), weights, means, np.ones((2, 64)))
    names = tuple(f"x{i}" for i in range(64))
    mixture = MixtureModel(parameters, Standardisation.identity(64), names)
    dataset, density = ArrayDataset(X), mixture.score_samples(X)
    assert dataset.grid.n_blocks == 5
    with ThreadExecutor(n_threads) as executor:
        total = scoring_pass(
            *(dataset, executor, mixture, Products("unused", ())),
            missing=MissingPolicy.ERROR,
            backend="numpy",
            n_most_anomalous=50,
        )
    found = total.most_anomalous
    assert found.rows[:3].tolist() == [19_999, 3, 9_000]
    assert found.rows.tolist() == np.argsort(density, kind="stable")[:50].tolist()
    np.testing.assert_array_equal(found.values, X[found.rows])
    np.testing.assert_array_equal(found.components, mixture.predict(X)[found.rows])
