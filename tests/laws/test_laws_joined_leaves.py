"""Leaves of the reduction that one call of compiled code does together have the bits of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES, COMPILED_FAMILIES
from numpy.typing import NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.row_block import RowBlock
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.data_pass import EStepRunner, EStepTask, PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.mixture.backends import Block
from dgmm.mixture.kernels import ProductKernel, Workspaces, joined_leaves
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import SubtreeTask
from dgmm.reduction.tree import Subtree, TreeReducer

compiled = pytest.importorskip("dgmm.mixture.backends.numba_backend", reason="Numba is optional")

N, ROWS = 6 * 4096 + 77, 4096


@pytest.fixture(autouse=True)
def _seven_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


@pytest.fixture
def leaves_of_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leaves of each call of compiled code, in order."""
    found, e_step = list[int](), compiled.NumbaBackend.e_step

    def counted(backend: Any, block: Block) -> bool:
        found.append(len(block.sums))
        done: bool = e_step(backend, block)
        return done

    monkeypatch.setattr(compiled.NumbaBackend, "e_step", counted)
    return found


def _task(name: str, k: int, dtype: Any, d: int = 3, **own: Any) -> EStepTask:
    rng = np.random.default_rng(3)
    parameters = mixtures.mixture(ALL_FAMILIES[name], k, d, rng)
    rows = np.ascontiguousarray(mixtures.draw(parameters, N, rng).T).astype(dtype)
    units = Standardisation.from_sample(rows[:500], common_scale=True)
    request = EStepRequest(ProductKernel.of(parameters, dtype), units)
    dataset = ArrayDataset(rows, **own)
    return EStepTask(dataset, (request,), "numba", MissingPolicy.NONE_MISSING)


def _merged(task: EStepTask, leaves: BlockRange) -> PassStatistics:
    """Statistics of all leaves, merged by the task."""
    (found,) = SubtreeTask(task, task.dataset.grid.n_blocks)(leaves)
    return found.value


def _apart(task: EStepTask, n_leaves: int) -> list[PassStatistics]:
    """Statistics of each leaf, from calls of their own."""
    alone = [found for i in range(n_leaves) for found in task(BlockRange(i, i + 1))]
    assert all(isinstance(found, tuple) for found in alone)
    return [statistics for _, statistics in alone]


def _assert_same(found: PassStatistics, expected: PassStatistics) -> None:
    assert (found.n_read, found.n_dropped) == (expected.n_read, expected.n_dropped)
    assert found.backend == expected.backend
    (one,), (other,) = found.candidates, expected.candidates
    assert one.log_likelihood.hex() == other.log_likelihood.hex()
    assert one.sums.flags.c_contiguous
    # Memory of their own: not that of all leaves of a call.
    assert one.sums.base is None or one.sums.base.size == one.sums.size
    np.testing.assert_array_equal(one.sums, other.sums)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "k"), [*itertools.product(COMPILED_FAMILIES, [5]), ("spherical", 260)]
)
def test_leaves_together_have_the_bits_of_each(
    name: str, k: int, dtype: Any, leaves_of_calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    d = 64 if k > 200 else 3  # the former by lists of components, with sums of their own
    monkeypatch.setattr(joined_leaves, "_MOST_FLOPS", 1e12)
    task = _task(name, k, dtype, d)
    n_leaves = task.dataset.grid.n_blocks
    assert n_leaves == 7
    alone = _apart(task, n_leaves)
    assert leaves_of_calls == [1] * n_leaves
    assert [found.n_read for found in alone] == [ROWS] * 6 + [77]
    for first in range(n_leaves):
        for stop in range(first + 2, n_leaves + 1):
            leaves_of_calls.clear()
            together = SubtreeTask(task, n_leaves)(BlockRange(first, stop))
            assert max(leaves_of_calls) > 1
            reducer: TreeReducer[PassStatistics] = TreeReducer(n_leaves)
            for leaf in range(first, stop):
                reducer.add(Subtree(0, leaf, alone[leaf]))
            for found, expected in zip(together, reducer.subtrees(), strict=True):
                assert (found.level, found.index) == (expected.level, expected.index)
                _assert_same(found.value, expected.value)


def test_small_leaves_go_together_and_large_ones_do_not(leaves_of_calls: list[int]) -> None:
    small, large = _task("full", 2, np.float64), _task("full", 60, np.float64, 16)
    list(small(BlockRange(0, 7)))
    assert leaves_of_calls == [7]
    leaves_of_calls.clear()
    list(large(BlockRange(2, 7)))
    assert leaves_of_calls == [1] * 5


def test_a_call_has_at_most_so_many_bytes_and_calls_are_about_equal(
    leaves_of_calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _task("diag", 3, np.float64)
    monkeypatch.setattr(joined_leaves, "_MOST_BYTES", 3 * 8 * 3 * 7)
    list(task(BlockRange(0, 7)))
    assert sorted(leaves_of_calls) == [2, 2, 3]


@pytest.mark.parametrize(
    "why",
    [
        *("weights", "another order", "another type", "every other feature", "two candidates"),
        "a form that compiled code does not know",
    ],
)
def test_leaves_that_cannot_go_together_are_done_one_by_one(
    why: str, leaves_of_calls: list[int]
) -> None:
    own = {"weights": np.full(N, 2.0)} if why == "weights" else {}
    name = "own_squares" if why.startswith("a form") else "diag"
    task = _task(name, 2, np.float64, **own)
    dataset, requests = task.dataset, task.requests
    assert isinstance(dataset, ArrayDataset)
    if why == "another order":
        dataset = ArrayDataset(np.asfortranarray(dataset.X))
    if why == "another type":  # each call converts its rows, so that they must be few
        dataset = ArrayDataset(np.clip(40 + 10 * dataset.X, 0, 255).astype(np.uint8))
    if why == "every other feature":
        dataset = ArrayDataset(np.repeat(dataset.X, 2, axis=1)[:, ::2])
    if why == "two candidates":
        requests = requests * 2
    task = EStepTask(dataset, requests, "numba", MissingPolicy.NONE_MISSING)
    assert _merged(task, BlockRange(0, 7)).n_read == N
    assert leaves_of_calls == [1] * 7 * len(requests)


class OtherRows(ArrayDataset):
    """Reads twice what its array holds."""

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        for block in super().read_blocks(blocks):
            yield replace(block, values=2.0 * block.values)


def _every_other_row(block: RowBlock) -> NDArray[np.bool_]:
    return np.arange(block.start, block.stop) % 2 == 0


@pytest.mark.parametrize("why", ["a filter", "missing values", "a subclass", "a scatter"])
def test_leaves_whose_rows_are_not_all_those_of_the_array_are_read(why: str) -> None:
    task = _task("tied" if why == "a scatter" else "diag", 2, np.float64)
    (request,), dataset, missing = task.requests, task.dataset, task.missing
    assert isinstance(dataset, ArrayDataset)
    if why == "a filter":
        request = replace(request, rows=_every_other_row)
    elif why == "missing values":
        rows = dataset.X.copy()
        rows[::2, 0] = np.nan
        dataset, missing = ArrayDataset(rows), MissingPolicy.DROP
    elif why == "a subclass":
        dataset = OtherRows(dataset.X)
    else:
        assert isinstance(request.kernel, ProductKernel)
        request = replace(request, kernel=replace(request.kernel, with_scatter=True))
    task = EStepTask(dataset, (request,), "numba", missing)
    (found,) = _merged(task, BlockRange(0, 7)).candidates
    if why in ("a filter", "missing values"):
        assert found.n_rows == N // 2 + (why == "a filter")
    elif why == "a subclass":
        doubled = replace(task, dataset=ArrayDataset(2.0 * dataset.X))
        (expected,) = _merged(doubled, BlockRange(0, 7)).candidates
        assert found.log_likelihood == expected.log_likelihood
    else:
        assert found.scatter is not None


def test_rows_that_are_standardised_in_more_than_one_step_are_done_leaf_by_leaf(
    leaves_of_calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _task("diag", 2, np.float64)
    (expected,) = _merged(task, BlockRange(0, 7)).candidates
    monkeypatch.setattr(Standardisation, "affine", lambda *_: None)
    leaves_of_calls.clear()
    alone = replace(task, workspaces=Workspaces())
    (found,) = _merged(alone, BlockRange(0, 7)).candidates
    assert leaves_of_calls == []
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("n_threads", [2, 3, 7])
def test_a_pass_has_the_same_bits_on_any_number_of_threads(n_threads: int) -> None:
    task = _task("full", 3, np.float32)
    found = []
    for n in (1, n_threads):
        with ThreadExecutor(n) as executor:
            data_pass = EStepRunner(task.dataset, executor, "numba")
            found += [data_pass(task.requests) for _ in range(2)]  # again in the same memory
    assert found[0].n_read == N
    for one in found[1:]:
        _assert_same(one, found[0])
