"""What this machine gives a second process: the E-step in one process and in two, and nothing else.

Two cores may share a clock, caches or even their arithmetic units. What two processes that neither
talk nor read fall short of twice one, no way of handing out work can make good.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import numpy as np

from benchmarks.disk_sides import Pair
from benchmarks.measuring import alternate
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.zarr.dataset import open_zarr
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.reduction.blocks import BlockRange

BLOCKS, BUDGET_SECONDS = 12, 20.0
#: The pass that this process makes over rows in memory.
_held: list[EStepTask] = []


def speed_up(path: str, leaves: EStepTask) -> float:
    """How many times as much two processes get done as one, in a given time."""
    with Pair() as pair:
        pair.do(hold, path, leaves)
        pair.do(e_step, 2)
        alone, both = alternate(
            [lambda: [pair.do(e_step, 1).wall], lambda: [pair.do(e_step, 2).wall]],
            budget=BUDGET_SECONDS,
        )
    return 2.0 * median(a / b for a, b in zip(alone, both, strict=True))


def hold(which: int, path: str, leaves: EStepTask) -> None:  # noqa: ARG001 - both hold the same
    """Take the first rows into memory, and a pass over them."""
    dataset = open_zarr(path)
    run = BlockRange(0, min(BLOCKS, dataset.grid.n_blocks))
    rows = ArrayDataset(np.concatenate([block.values for block in dataset.read_blocks(run)]))
    _held[:] = [replace(leaves, dataset=rows)]


def e_step(which: int, n_processes: int) -> None:
    """Make the pass, if this process is among the first so many."""
    if which < n_processes:
        [leaves] = _held
        for _ in leaves(BlockRange(0, leaves.dataset.grid.n_blocks)):
            pass
