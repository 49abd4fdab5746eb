"""What a job will hold in memory, term by term, known before it starts.

Every term is a function of sizes alone. The constants are what a process holds once its libraries
are imported: measured and rounded up (docs/memory.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dgmm.covariance import Family
from dgmm.data.blocks import BlockGrid
from dgmm.execution.executor import TASKS_PER_THREAD
from dgmm.kernels.tiles import tile_rows

MIB = 1024 * 1024

#: Resident bytes of a worker, and of the driver with the scheduler, before any data.
WORKER_BASE, DRIVER_BASE = 130 * MIB, 150 * MIB
#: matplotlib and one figure in the driver.
REPORT_BYTES = 120 * MIB
#: Ward's condensed distances among 5,000 rows, and a copy.
HIERARCHICAL_BYTES = 5_000 * 5_000 * 8
#: Bands of chunks alive at once: in use, read ahead, being joined, and the codec's own copy.
BANDS = 4


@dataclass(frozen=True, slots=True)
class Term:
    """One line of a plan: what, how many bytes, and how it is reckoned."""

    name: str
    n_bytes: int
    formula: str


@dataclass(frozen=True, slots=True)
class Work:
    """Sizes that memory follows.

    Attributes
    ----------
    grid, itemsize, band_bytes
        Rows in blocks, bytes of a stored value, bytes one read decodes.
    family, n_components, n_candidates
        The mixture, and how many starts share a pass.
    n_tasks
        Tasks of a pass.
    sample_rows, output_chunk_bytes
        Rows the driver starts from, bytes of one output chunk.
    """

    grid: BlockGrid
    itemsize: int
    band_bytes: int
    family: Family
    n_components: int
    n_candidates: int
    n_tasks: int
    sample_rows: int
    output_chunk_bytes: int

    @property
    def statistics_bytes(self) -> int:
        """One candidate's statistics: k·p float64, and the pooled scatter where there is one."""
        d = self.grid.n_features
        scatter = d * (d + 1) // 2 if self.family.pooled_scatter else 0
        return 8 * (self.n_components * (self.family.width(d) + d) + scatter)


def task_terms(work: Work) -> list[Term]:
    """What one task holds at most; times threads per worker."""
    d, k = work.grid.n_features, work.n_components
    rows, p = work.grid.rows_per_block, work.family.width(d)
    blocks = max(work.grid.n_blocks // max(work.n_tasks, 1), 1)
    held = 2 * math.ceil(math.log2(blocks + 1)) + 2
    tile = tile_rows(p + 2 * k, 8)
    return [
        Term("decoded chunks", BANDS * work.band_bytes, f"{BANDS} bands"),
        Term(
            "block, stored and standardised",
            rows * d * (2 * work.itemsize + 16),
            f"{rows:,} rows x {d} features",
        ),
        Term(
            "tiles",
            tile * 8 * (2 * p + 4 * k + 4 * d) + 8 * d * d,
            f"{tile:,} rows x ({p} products, {k} components, {d} features)",
        ),
        Term(
            "statistics",
            held * work.statistics_bytes * work.n_candidates,
            f"{held} x {k} x {p} float64, {work.n_candidates} start(s)",
        ),
        Term(
            "parameters",
            4 * work.statistics_bytes * work.n_candidates,
            "natural parameters, and a task's message",
        ),
        Term("output chunk", 2 * work.output_chunk_bytes, "collected and encoded"),
    ]


def driver_terms(work: Work, *, hierarchical: bool, report: bool) -> list[Term]:
    """What the driver holds at most, beside its tasks when it runs them itself.

    A prediction (no sample) starts nothing and takes no M-step.
    """
    terms = _fit_terms(work, hierarchical=hierarchical) if work.sample_rows else []
    if report:
        terms.append(Term("report", REPORT_BYTES, "matplotlib and one figure"))
    return terms


def _fit_terms(work: Work, *, hierarchical: bool) -> list[Term]:
    d, k = work.grid.n_features, work.n_components
    sample = work.sample_rows * d * (2 * work.itemsize + 4 * 8)
    tree = math.ceil(math.log2(work.grid.n_blocks + 1)) + 2 * work.n_tasks + 4
    numbers = math.prod(work.family.covariance_shape(k, d))
    terms = [
        Term("sample", sample, f"{work.sample_rows:,} rows x {d} features, four copies"),
        Term("starts", 64 * MIB + work.sample_rows * 8 * 4, "distances, a tile at a time"),
        Term(
            "statistics of a pass",
            tree * work.statistics_bytes * work.n_candidates,
            f"{tree} subtrees",
        ),
        Term("M-step", 80 * numbers * work.n_candidates + 128 * d * d, "factors of covariances"),
    ]
    if hierarchical:
        terms.append(Term("Ward's distances", HIERARCHICAL_BYTES, "5,000 rows"))
    return terms


def tasks_of_a_pass(n_threads: int, grid: BlockGrid) -> int:
    """How many tasks a pass is cut into."""
    return min(n_threads * TASKS_PER_THREAD, grid.n_blocks)
