"""Which rows count: complete ones, and in a fit those of positive weight."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy, SelectedRows, UncheckedRows
from dgmm.data.row_block import RowBlock, complete_rows
from dgmm.errors import DataError

NAN, INF = np.nan, np.inf
VALUES = np.array([[0.0, 1.0], [INF, 1.0], [2.0, -INF], [3.0, 1.0], [NAN, 1.0]])
DATASET = ArrayDataset(VALUES, ["height", "weight"])


def block_of(values=VALUES, weights=None):
    return RowBlock(3, 0, values, None if weights is None else np.array(weights, np.float64))


def test_complete_rows_are_those_with_finite_values_only():
    X = np.ones((5, 2))
    assert complete_rows(X) is None
    assert complete_rows(np.full((3, 2), 1.7e308)) is None  # their sum overflows, they do not
    assert complete_rows(np.full((3, 2), 6e4, np.float16)) is None
    assert complete_rows(np.ones((3, 2), int)) is None
    np.testing.assert_array_equal(block_of().complete, [True, False, False, True, False])


def test_incomplete_rows_are_dropped():
    found = MissingPolicy.DROP.select(block_of(weights=[1, 2, 3, 4, 5]), DATASET)
    np.testing.assert_array_equal(found.values, VALUES[[0, 3]])
    np.testing.assert_array_equal(found.weights, [1, 4])
    np.testing.assert_array_equal(found.mask, [True, False, False, True, False])
    assert (found.n_read, found.n_dropped) == (5, 3)


def test_incomplete_rows_are_refused_with_their_number_and_place():
    message = r"3 of 5 rows from row 0 on .* first in row 1, feature height\. Set data\.missing to"
    with pytest.raises(DataError, match=message):
        MissingPolicy.ERROR.select(block_of(), DATASET)
    with pytest.raises(DataError, match=r"feature height\. Leave them out$"):
        MissingPolicy.ERROR.select(block_of(), DATASET, remedy="Leave them out")


@pytest.mark.parametrize("policy", list(MissingPolicy))
def test_complete_rows_are_not_copied(policy):
    block = block_of(np.ones((4, 2)), [1, 2, 3, 4])
    found = policy.select(block, DATASET)
    assert found.values is block.values
    assert found.weights is block.weights
    assert (found.mask, found.n_dropped) == (None, 0)


@pytest.mark.parametrize(
    "question",
    ["incomplete", "empty", "mask", "lacks", "has_partial", "n_incomplete", "n_empty", "n_dropped"],
)
def test_rows_that_were_not_checked_have_no_counts_of_missing_values(question):
    rows = UncheckedRows(VALUES, None)
    assert not hasattr(rows, question)
    found = rows.if_complete()
    assert isinstance(found, SelectedRows)
    assert hasattr(found, question)
    assert found.values is VALUES
    assert (found.n_read, found.n_dropped, found.n_incomplete) == (5, 0, 0)


@pytest.mark.parametrize("policy", list(MissingPolicy))
def test_rows_of_weight_zero_are_not_fitted_whatever_their_values(policy):
    found = policy.select(block_of(weights=[1, 0, 0, 2, 0]), DATASET)
    np.testing.assert_array_equal(found.values, VALUES[[0, 3]])
    np.testing.assert_array_equal(found.weights, [1, 2])


@pytest.mark.parametrize("policy", [MissingPolicy.DROP, MissingPolicy.ERROR])
def test_complete_rows_of_weight_zero_are_scored(policy):
    block = block_of(weights=[0, 0, 0, 2, 0])
    found = policy.select(block, DATASET, weightless=True)
    np.testing.assert_array_equal(found.weights, [0, 2])
    assert (found.n_dropped, found.incomplete.sum()) == (3, 3)


def test_incomplete_rows_with_a_weight_are_refused_where_rows_are_scored():
    block = block_of(weights=[0, 1, 0, 2, 0])
    with pytest.raises(DataError, match="1 of 5 rows"):
        MissingPolicy.ERROR.select(block, DATASET, weightless=True)


def gaps():
    values = np.arange(12.0).reshape(6, 2)
    values[1], values[3, 0], values[4] = NAN, NAN, [INF, NAN]
    return values


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (MissingPolicy.DROP, [0, 2, 5]),
        (MissingPolicy.ERROR, [0, 2, 5]),
        (MissingPolicy.MARGINALISE, [0, 2, 3, 5]),
    ],
)
def test_rows_without_any_value_are_left_out_under_every_policy(policy, kept):
    values = gaps()
    found = policy.select(block_of(values), DATASET, counting=True)
    np.testing.assert_array_equal(found.values, values[kept])
    assert (found.n_dropped, found.n_empty, found.n_incomplete) == (6 - len(kept), 1, 2)
    finite = values[[0, 1, 2, 5]]  # only the empty row is left to object to
    found = policy.select(block_of(finite), DATASET)
    np.testing.assert_array_equal(found.values, finite[[0, 2, 3]])


def test_infinity_is_never_missing():
    message = r"1 of 6 rows .* infinite values, the first in row 4, feature height\. infinity is no"
    with pytest.raises(DataError, match=message):
        MissingPolicy.MARGINALISE.select(block_of(gaps()), DATASET)
    weights = [1, 1, 1, 1, 0, 1]
    found = MissingPolicy.MARGINALISE.select(block_of(gaps(), weights), DATASET, weightless=True)
    np.testing.assert_array_equal(found.mask, [True, False, True, True, False, True])


def test_after_a_summary_that_left_nothing_out_values_are_not_looked_at():
    assert MissingPolicy.after_summary(0) is MissingPolicy.NONE_MISSING
    assert MissingPolicy.after_summary(2) is MissingPolicy.DROP
    assert MissingPolicy.after_summary(2, 1) is MissingPolicy.MARGINALISE
    assert MissingPolicy.NONE_MISSING.select(block_of(), DATASET).values is VALUES


@pytest.mark.parametrize("weights", [None, [1, 2, 0, 3, 4, 5]])
@pytest.mark.parametrize("gone", [False, True])
def test_rows_that_count_and_lack_a_value_are_known(gone, weights):
    """Also where rows without any value, or of weight 0, stand between them."""
    values = np.ones((6, 3))
    if gone:
        values[[0, 2, 4], [1, 2, 0]], values[3] = NAN, NAN
    found = MissingPolicy.MARGINALISE.select(block_of(values, weights), DATASET)
    np.testing.assert_array_equal(found.lacks, np.isnan(found.values).any(axis=1))
    assert len(found.values) == 6 - (gone + (weights is not None))
