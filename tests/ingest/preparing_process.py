"""A process that prepares so many rows and prints its peak memory and what a plan says of it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from formula_source import FormulaSource

from dgmm.data.cache_budget import DRIVER_BASE
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.row_source import SourceRows
from dgmm.execution.threads import ThreadExecutor
from dgmm.ingest.prepare import PreparedTarget, prepare
from dgmm.job.preparing_plan import Preparation
from dgmm.storage.folders import Folder

D, N_THREADS = 8, 2


@dataclass(frozen=True)
class CheapSource(FormulaSource):
    """Rows that take less time to make."""

    def read(self, part):
        start = sum(self.sizes[: part.index])
        for first in range(start, start + part.n_rows, self.batch):
            numbers = np.arange(first, min(first + self.batch, start + part.n_rows)) % 9973
            yield SourceRows(np.repeat(numbers.astype("f4")[:, None], self.d, axis=1))


def peak_memory() -> int:
    """Bytes; `ru_maxrss` would be that of the process that started this one, if larger."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def main(folder: str, n_samples: int) -> None:
    part = 77_777
    sizes = (part,) * (n_samples // part) + (n_samples % part,)
    dataset = SourceDataset.of(CheapSource(sizes, D, dtype="<f4", batch=50_000))
    with Folder(folder) as held, ThreadExecutor(N_THREADS) as executor:
        prepare(dataset, executor, PreparedTarget(held, "rows.zarr", "a" * 64))
    plan = Preparation.of(dataset)
    task = sum(term.n_bytes for term in plan.task)
    peak = peak_memory()
    planned = DRIVER_BASE + N_THREADS * task + plan.driver.n_bytes
    print(json.dumps({"peak": peak, "planned": planned}))  # noqa: T201 - what it is started for


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
