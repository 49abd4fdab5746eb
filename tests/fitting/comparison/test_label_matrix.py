"""The label matrix of two mixtures: matched so that most rows agree, noise with noise alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from dgmm.fitting.comparison.label_agreement import contingency
from dgmm.fitting.comparison.label_matrix import MOST_LABELS, LabelMatrix


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (9, 5), (1, 6)])
def test_as_many_rows_as_possible_agree_whatever_the_sizes(shape: tuple[int, int]) -> None:
    counts = np.random.default_rng(sum(shape)).integers(1, 100, size=shape)
    found = LabelMatrix.of(counts)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    most = int(counts[rows, columns].sum())
    assert sum(int(counts[pair]) for pair in found.pairs) == most
    assert len(found.pairs) == min(shape)
    assert found.moved == pytest.approx(1.0 - most / counts.sum())


def test_the_index_is_that_of_the_labels_and_rows_without_a_label_are_left_out() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(3, size=400), rng.integers(5, size=400)
    one[:7], other[5:9] = -1, -1
    counts = contingency(one, other, (3, 5))
    both = (one >= 0) & (other >= 0)
    found = LabelMatrix.of(counts)
    assert found.n_rows == both.sum() == 391
    expected = adjusted_rand_score(one[both], other[both])
    assert found.adjusted_rand_index == pytest.approx(expected, abs=1e-12)
    assert counts[2, 4] == ((one == 2) & (other == 4)).sum()


def test_matched_labels_stand_beside_each_other_heaviest_first_then_the_others() -> None:
    found = LabelMatrix.of(np.array([[0, 10, 0, 3], [0, 0, 50, 0], [0, 20, 0, 0]]))
    assert found.pairs == ((1, 2), (2, 1), (0, 3))
    assert found.order == ([1, 2, 0], [2, 1, 3, 0])
    record = found.record()
    assert record["matrix"] == [[50, 0, 0, 0], [0, 20, 0, 0], [0, 10, 3, 0]]
    assert (record["first_rows"], record["second_rows"]) == ([50, 20, 13], [50, 30, 3, 0])
    assert record["moved"] == pytest.approx(10 / 83)


def test_noise_is_matched_with_noise_alone() -> None:
    counts = np.array([[50, 0, 9], [0, 60, 0], [0, 20, 1]])  # the last label of each is noise
    assert LabelMatrix.of(counts, (2, 2)).pairs == ((1, 1), (0, 0), (2, 2))
    without = LabelMatrix.of(counts[:, :2], (2, None))
    assert without.pairs == ((1, 1), (0, 0))
    assert without.moved == pytest.approx(20 / 130)
    crossed = LabelMatrix.of(np.array([[10, 0], [0, 30]]), (0, 1))  # noise is another's cluster
    assert crossed.pairs == ()
    assert crossed.moved == 1.0


def test_labels_without_common_rows_are_not_matched() -> None:
    assert LabelMatrix.of(np.array([[5, 0], [3, 0]])).pairs == ((0, 0),)
    empty = LabelMatrix.of(np.zeros((2, 3), np.int64))
    assert (empty.pairs, empty.moved, empty.n_rows) == ((), 0.0, 0)


def test_a_record_has_the_largest_labels_and_the_sums_of_all_rows() -> None:
    k = MOST_LABELS + 40
    counts = np.diag(np.arange(1, k + 1)) + 1
    record = LabelMatrix.of(counts).record()
    assert record["n_labels"] == [k, k]
    assert record["first"] == record["second"] == [*range(k - 1, k - 1 - MOST_LABELS, -1)]
    assert len(record["matrix"]) == len(record["matrix"][0]) == MOST_LABELS
    assert record["n_pairs"] == MOST_LABELS
    assert record["rows"] == counts.sum()
    assert record["first_rows"][0] == 2 * k
