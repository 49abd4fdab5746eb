"""How many blocks a task has: few enough to lose little in a kill, enough to send few messages."""

from __future__ import annotations

from dgmm.reduction.blocks import BlockGrid
from dgmm.reduction.map_reduce import MOST_BLOCKS

#: Multiplications and additions of one task at most: about half a minute of one thread.
_TASK_FLOPS = 1e12
#: What one thread does in a second, and what a task and a byte of its result cost the scheduler and
#: the driver together.
_FLOPS_A_SECOND, _TASK_S, _BYTE_S, _SUBTREES_A_TASK = 4e10, 5e-3, 3.2e-9, 9
_MESSAGES_SHARE = 0.1


def most_blocks(flops: float, result_bytes: int, grid: BlockGrid, n_threads: int) -> int:
    """Blocks of one task at most, so that what a killed run does again takes half a minute.

    More where the messages of so many tasks, which all pass through one thread of the scheduler and
    one of the driver, would take more than a tenth of the pass (figures: docs/scaling.md).

    Parameters
    ----------
    flops
        Multiplications and additions of one row.
    result_bytes
        Of one subtree.
    grid, n_threads
        The blocks, and how many tasks run at the same time.
    """
    wanted = min(_TASK_FLOPS / (flops * grid.rows_per_block), MOST_BLOCKS)
    pass_s = grid.n_samples * flops / _FLOPS_A_SECOND / n_threads
    message_s = _TASK_S + _SUBTREES_A_TASK * result_bytes * _BYTE_S
    bearable = _MESSAGES_SHARE * pass_s / message_s
    return max(int(wanted), int(grid.n_blocks / max(bearable, 1.0)), 1)
