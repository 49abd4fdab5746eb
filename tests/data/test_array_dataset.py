"""Arrays in memory are read as stored ones are, and refused for the same reasons."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange

N, D = 9000, 3


def read(dataset, run=None):
    run = run or BlockRange(0, dataset.grid.n_blocks)
    blocks = list(dataset.read_blocks(run))
    assert all(b.values.flags.c_contiguous and b.values.dtype.isnative for b in blocks)
    return np.concatenate([block.values for block in blocks])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "<f4", ">f4", ">f8", ">i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_read_are_the_rows_given(dtype, order):
    X = np.random.default_rng(0).integers(0, 2, size=(N, D)).astype(dtype, order=order)
    dataset = ArrayDataset(X)
    assert dataset.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read(dataset), X)
    np.testing.assert_array_equal(read(dataset, BlockRange(1, 3)), X[4096:])


def test_rows_in_order_are_not_copied():
    X = np.zeros((N, D))
    block = next(ArrayDataset(X).read_blocks(BlockRange(1, 2)))
    assert np.shares_memory(block.values, X)


def test_a_dataset_survives_pickling():
    X = np.random.default_rng(0).normal(size=(N, D))
    dataset = pickle.loads(pickle.dumps(ArrayDataset(X, ["a", "b", "c"])))  # noqa: S301 - ours
    assert dataset.feature_names == ("a", "b", "c")
    np.testing.assert_array_equal(read(dataset), X)


def test_the_fingerprint_follows_the_values_and_not_the_memory_order():
    X = np.random.default_rng(0).normal(size=(N, D))
    first = ArrayDataset(X).fingerprint()
    assert ArrayDataset(np.asfortranarray(X)).fingerprint() == first
    X[N - 1, D - 1] += 1
    assert ArrayDataset(X).fingerprint() != first


class Sparse:
    def toarray(self):
        return np.zeros((2, 2))


@pytest.mark.parametrize(
    ("X", "word"),
    [
        (np.zeros(3), r"shape \(3, 1\)"),
        (np.zeros((2, 2, 2)), "Reshape"),
        (np.zeros((0, 2)), "no rows"),
        (np.zeros((2, 0)), "no features"),
        (1.0, "single number"),
        (np.zeros((2, 2), complex), "complex"),
        (np.array([["a", "b"]]), "strings"),
        (np.array([[1, "a"]], object), "objects"),
        (np.zeros((2, 2), "M8[s]"), "dates"),
        (np.zeros((2, 2), "f8,i4"), "structured"),
        (np.zeros((2, 2), np.longdouble), "longdouble|float128|float96"),
        ([[1.0, 2.0], [3.0]], "cannot be made an array"),
        (Sparse(), "sparse"),
    ],
)
def test_what_cannot_be_fitted_is_refused(X, word):
    with pytest.raises(DataError, match=word):
        ArrayDataset(X)


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["a", "b"], "2 names for 3 features"),
        (["a", "b", "b"], "more than once: 'b'"),
        (["a", "b", 3], "entry 2"),
        (["a", "b", " "], "entry 2"),
        ("abc", "found str"),
        ({"a": 1}, "found dict"),
    ],
)
def test_malformed_names_are_refused(names, word):
    with pytest.raises(DataError, match=word):
        ArrayDataset(np.zeros((2, 3)), names)


def test_names_are_made_safe_and_stay_unique():
    long = "n" * 100_000
    names = ArrayDataset(np.zeros((1, 4)), ["a\x00b", "\u202egnp", long + "1", long + "2"])
    assert names.feature_names[:2] == ("a?b", "?gnp")
    assert len(set(names.feature_names)) == 4
    assert all(len(name) <= 200 for name in names.feature_names)
