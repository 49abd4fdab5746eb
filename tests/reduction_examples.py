"""Sums whose bits depend on the order of additions, and the plain definition of the fixed tree."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dgmm.reduction.blocks import BlockRange


@dataclass(frozen=True)
class FloatSum:
    """A float under addition: associative on paper, not in bits."""

    value: float

    def merge(self, other: FloatSum) -> FloatSum:
        return FloatSum(self.value + other.value)


@dataclass(frozen=True)
class Leaves:
    """Blocks to values; picklable."""

    values: tuple[float, ...]
    seconds: float = 0.0

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, FloatSum]]:
        time.sleep(self.seconds)
        for block in range(blocks.start, blocks.stop):
            yield block, FloatSum(self.values[block])


def awkward_values(n: int) -> tuple[float, ...]:
    """Both signs, twelve decades: hardly any two orders of addition agree."""
    rng = np.random.default_rng(n)
    return tuple((rng.standard_normal(n) * 10.0 ** rng.integers(-6, 6, n)).tolist())


def plain_tree(values: Sequence[float]) -> float:
    """The tree by its definition: neighbours are added level by level, an odd last one moves up."""
    level = list(values)
    while len(level) > 1:
        pairs = [sum(level[i : i + 2][1:], level[i]) for i in range(0, len(level), 2)]
        level = pairs
    return level[0]
