from __future__ import annotations

import functools
import math
import operator
import random
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reduction_examples import FloatSum, Leaves, awkward_values, plain_tree

from dgmm.reduction.map_reduce import (
    SHORT_PASS_S,
    TASKS_PER_THREAD,
    SubtreeTask,
    split_ranges,
    tasks_per_thread,
)
from dgmm.reduction.tree import Subtree, TreeReducer, merge_consecutive_sums

floats = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100)


@given(st.lists(floats, min_size=1, max_size=200), st.integers(1, 50), st.randoms())
def test_tasks_of_any_size_in_any_order_give_the_bits_of_the_plain_tree(
    values: list[float], n_tasks: int, rng: random.Random
) -> None:
    runs = split_ranges(len(values), n_tasks)
    rng.shuffle(runs)
    reducer: TreeReducer[FloatSum] = TreeReducer(len(values))
    for run in runs:
        for subtree in SubtreeTask(Leaves(tuple(values)), len(values))(run):
            reducer.add(subtree)
    assert reducer.result().value.hex() == plain_tree(values).hex()


def test_the_example_values_would_show_another_order_of_additions() -> None:
    values = awkward_values(37)
    # From Python 3.12 on sum() compensates its rounding: this is what a plain loop does.
    assert plain_tree(values) != functools.reduce(operator.add, values)
    assert plain_tree(values) != plain_tree(values[::-1])


@given(st.integers(1, 500), st.integers(1, 60), st.integers(1, 9))
def test_runs_cover_every_block_once_and_start_at_multiples_of_the_alignment(
    n_blocks: int, n_tasks: int, align: int
) -> None:
    runs = split_ranges(n_blocks, n_tasks, align)
    assert [block for run in runs for block in range(*run)] == list(range(n_blocks))
    assert all(run.start % align == 0 for run in runs)
    assert len(runs) <= n_tasks


@given(st.integers(1, 2000), st.data())
def test_a_task_returns_at_most_two_subtrees_per_level(n_blocks: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, n_blocks - 1))
    stop = data.draw(st.integers(start + 1, n_blocks))
    task = SubtreeTask(Leaves((0.0,) * n_blocks), n_blocks)
    assert len(task(type(split_ranges(1, 1)[0])(start, stop))) <= 2 * n_blocks.bit_length()


def test_a_missing_block_is_an_error_not_a_smaller_sum() -> None:
    reducer: TreeReducer[FloatSum] = TreeReducer(5)
    for run in split_ranges(5, 5)[:-1]:
        for subtree in SubtreeTask(Leaves((1.0,) * 5), 5)(run):
            reducer.add(subtree)
    with pytest.raises(RuntimeError, match="incomplete"):
        reducer.result()


@given(st.integers(1, 70), st.data())
def test_sums_merged_level_by_level_are_the_subtrees_of_their_leaves(
    n_blocks: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, n_blocks - 1))
    stop = data.draw(st.integers(start + 1, n_blocks))
    values = np.array(awkward_values(n_blocks)[start:stop])
    one_by_one: TreeReducer[FloatSum] = TreeReducer(n_blocks)
    merged: TreeReducer[FloatSum] = TreeReducer(n_blocks)
    for i, value in enumerate(values.tolist(), start):
        one_by_one.add(Subtree(0, i, FloatSum(value)))
    found = list(merge_consecutive_sums(start, (values, np.column_stack([values, -values]))))
    for level, index, (value, both) in found:
        np.testing.assert_array_equal(both, [value, -value])
        merged.add(Subtree(level, index, FloatSum(float(value))))
    assert len(found) <= 2 * n_blocks.bit_length()
    assert merged.subtrees() == one_by_one.subtrees()


@dataclass(frozen=True)
class Places:
    """Block numbers in the order they were merged; unlike a sum, merging does not commute."""

    blocks: tuple[int, ...]

    def merge(self, other: Places) -> Places:
        return Places(self.blocks + other.blocks)


@pytest.mark.parametrize("n_blocks", [1, 2, 5, 8, 37])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_merge_puts_earlier_blocks_first_whatever_arrives_first(
    n_blocks: int, backwards: bool
) -> None:
    reducer: TreeReducer[Places] = TreeReducer(n_blocks)
    for block in sorted(range(n_blocks), reverse=backwards):
        reducer.add(Subtree(0, block, Places((block,))))
    assert reducer.result().blocks == tuple(range(n_blocks))


def test_a_short_pass_is_one_task_a_thread_and_a_long_one_several() -> None:
    assert tasks_per_thread(SHORT_PASS_S / 2) == 1
    assert tasks_per_thread(SHORT_PASS_S) == tasks_per_thread(math.inf) == TASKS_PER_THREAD
