"""`dgmm run` whose storage is slow: python slow_run.py SECONDS JOB waits so long for each block."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from dgmm.checkpoint import run_state
from dgmm.cli.entry_point import run
from dgmm.data.zarr.dataset import ZarrDataset
from dgmm.reduction import map_reduce
from dgmm.scoring import scoring_pass as outputs


def main(seconds: str, job: str) -> int:
    """Run the job, slowly, in tasks and output chunks of two blocks."""
    run_state.EM_EVERY_S = 0.0
    outputs._MIN_CHUNK_ROWS = 8192
    read_blocks = ZarrDataset.read_blocks

    def slowly(self: ZarrDataset, part: Any) -> Iterator[Any]:
        for block in read_blocks(self, part):
            time.sleep(float(seconds))
            yield block

    ZarrDataset.read_blocks = slowly  # type: ignore[method-assign]
    split_gaps = map_reduce._split_gaps
    map_reduce._split_gaps = lambda gaps, n_tasks, align: split_gaps(gaps, 20, align)
    return run(["run", "--quiet", job])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
