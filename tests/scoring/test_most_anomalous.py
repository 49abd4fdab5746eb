"""The rows of lowest density, however blocks are cut and merged: those that sorting all gives."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgmm.checkpoint.encoding import decode, encode
from dgmm.scoring.most_anomalous import MostAnomalous
from dgmm.scoring.output_registry import ScoredBlock


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
