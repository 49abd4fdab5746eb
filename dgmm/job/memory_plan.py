"""What a job will hold in memory, term by term, known before it starts.

Every term is a function of sizes alone. The constants are what a process holds once its libraries
are imported: measured and rounded up (docs/memory.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dgmm.data.cache_budget import BANDS
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.transformed_rows import TransformedRows
from dgmm.data.summary.missing_patterns import MOST_PATTERNS
from dgmm.mixture.covariance import Family
from dgmm.mixture.kernels.tiling import Tiling
from dgmm.mixture.marginal.prepared_parts import MOST_BYTES
from dgmm.reduction.blocks import BlockGrid
from dgmm.reduction.map_reduce import TASKS_PER_THREAD

MIB = 1024 * 1024

#: Dask ends a worker at this share of its limit. (That of a local cluster; see
#: execution/dask_configuration.py.)
TERMINATE_SHARE = 0.95
#: Resident bytes of a worker before any data; compiled code (Numba) is 120 MiB of it.
WORKER_BASE = 250 * MIB
#: matplotlib and one figure in the driver.
REPORT_BYTES = 120 * MIB
#: Rows that Ward's tree is made of, where there are not more components.
WARD_ROWS = 5_000
#: Components, and rows of φ, that compiled products take together at most.
_GROUP = 16
#: Rows of a tile of distances to very many points.
_DISTANCE_ROWS = 256


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
    start_candidates
        Rows that a start over all rows draws for each start; 0 for other starts.
    n_sample_starts, n_threads_here
        Starts of all restarts that EM on the sample compares, and threads of the driver that do so.
    marginalises
        Whether rows may lack values.
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
    start_candidates: int = 0
    n_sample_starts: int = 0
    n_threads_here: int = 1
    marginalises: bool = False

    @property
    def statistics_bytes(self) -> int:
        """One candidate's statistics: k·p float64, and the family's scatter."""
        d = self.grid.n_features
        scatter = self.family.scatter_width(d)
        return 8 * (self.n_components * (self.family.width(d) + d) + scatter)


#: Chunks of prepared rows that a task holds at most: of three groups, whose rows at both edges it
#: joins to one, and that one encoded.
_EDGE_CHUNKS = 8
#: A part in the driver: its name, and its places in the lists of parts and groups.
_PART_BYTES = 600


@dataclass(frozen=True, slots=True)
class Preparation:
    """What preparing a source's rows reads, writes and holds.

    Attributes
    ----------
    kind, n_parts
        Of the source.
    n_bytes
        Of the prepared rows before compression.
    task, driver
        Memory terms of one task that prepares, and of the driver.
    notes
        What the source says of how it is read.
    n_reads
        How often the source is read: once, and once for each pass that fits `preprocess`.
    """

    kind: str
    n_parts: int
    n_bytes: int
    task: tuple[Term, ...]
    driver: Term
    notes: tuple[str, ...]
    n_reads: int = 1

    @classmethod
    def of(cls, dataset: SourceDataset) -> Preparation:
        """From the source's own metadata."""
        chunk, n_parts = dataset.read_bytes, len(dataset.parts)
        rows = min(dataset.chunk_rows, dataset.n_samples)
        source = dataset.source
        steps = source if isinstance(source, TransformedRows) else None
        return cls(
            kind=dataset.kind,
            n_parts=n_parts,
            n_bytes=dataset.n_samples * dataset.row_bytes,
            task=(
                Term("one read of the source", dataset.source.read_bytes, "as the source says"),
                Term("prepared rows", _EDGE_CHUNKS * chunk, f"{_EDGE_CHUNKS} chunks"),
                _counting_term(rows, dataset.n_features),
                *(() if steps is None else (_statistics_of_steps(steps),)),
            ),
            driver=Term("parts of the source", _PART_BYTES * n_parts, f"{n_parts:,} parts"),
            notes=dataset.description.notes,
            n_reads=1 if steps is None else 1 + steps.n_passes,
        )


#: Lists of patterns that a task of 16 groups holds: of a subtree of each size, and two merged.
_HELD_PATTERNS = 16


def _counting_term(rows: int, d: int) -> Term:
    """What counting the missing values of a chunk holds: masks, words of their bits, patterns."""
    words = -(-d // 64)
    n_bytes = rows * (d + 48 * words + 32) + _HELD_PATTERNS * MOST_PATTERNS * 8 * (words + 1)
    return Term("missing values counted", n_bytes, f"{rows:,} rows, {MOST_PATTERNS:,} patterns")


#: Statistics of steps that a task of 16 groups holds: of a subtree of each size, and two merged.
_HELD_OF_STEPS = 8


def _statistics_of_steps(source: TransformedRows) -> Term:
    """What fitting the steps of `preprocess` holds."""
    n_bytes = _HELD_OF_STEPS * source.statistics_bytes
    return Term("fitting preprocess", n_bytes, f"{_HELD_OF_STEPS} samples or scatters")


def task_terms(work: Work) -> list[Term]:
    """What one task holds at most; times threads per worker."""
    d, k = work.grid.n_features, work.n_components
    rows, p = work.grid.rows_per_block, work.family.width(d)
    blocks = max(work.grid.n_blocks * TASKS_PER_THREAD // max(work.n_tasks, 1), 1)
    held = 2 * math.ceil(math.log2(blocks + 1)) + 2
    terms = [
        Term("decoded chunks", BANDS * work.band_bytes, f"{BANDS} bands"),
        Term(
            "block, stored and standardised",
            rows * d * (2 * work.itemsize + 16),
            f"{rows:,} rows x {d} features",
        ),
        _tiles_term(work),
        _products_term(work),
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
    if work.marginalises:
        patterns = Term("patterns of missing values", MOST_BYTES, "those kept for a task")
        terms.append(patterns)
    return terms + _candidates_terms(work)


def _tiles_term(work: Work) -> Term:
    """A tile's products, log densities and rows, of one thread."""
    d, k = work.grid.n_features, work.n_components
    p = work.family.width(d)
    tiling = Tiling.of(p, k, 8)
    tile, made = tiling.tile_rows, min(p, tiling.design_rows + 2 * d + 1)
    return Term(
        "tiles",
        tile * 8 * (2 * made + 4 * k + 4 * d) + 8 * math.prod(work.family.covariance_shape(1, d)),
        f"{tile:,} rows x ({made} products, {k} components, {d} features)",
    )


def _products_term(work: Work) -> Term:
    """What compiled products of one thread need beside a tile: parameters and sums of a block."""
    k, p = work.n_components, work.family.width(work.grid.n_features)
    n_bytes = 2 * 8 * (p + _GROUP) * (k + _GROUP)
    return Term("products of a block", n_bytes, f"2 x {k} x {p} float64, in whole groups")


def _sample_em_terms(work: Work) -> list[Term]:
    """EM on the sample: a share of its rows, again for each thread; tiles, statistics, starts."""
    if work.n_sample_starts == 0:
        return []
    d, k = work.grid.n_features, work.n_components
    share = work.sample_rows * d * 8 // 2 * (1 + work.n_threads_here)
    tiles = work.n_threads_here * (_tiles_term(work).n_bytes + _products_term(work).n_bytes)
    held = work.sample_rows // work.grid.rows_per_block + 1 + 2 * work.n_threads_here
    numbers = math.prod(work.family.covariance_shape(k, d))
    each = held * work.statistics_bytes + 80 * numbers
    formula = f"{work.n_sample_starts} starts on {work.n_threads_here} threads"
    return [Term("EM on the sample", share + tiles + each * work.n_sample_starts, formula)]


def _candidates_terms(work: Work) -> list[Term]:
    """Candidates of k-means‖ and those of a round as they are merged; a tile of distances."""
    drawn, d = work.start_candidates, work.grid.n_features
    if drawn == 0:
        return []
    n_bytes = 8 * drawn * (3 * d * work.n_candidates + _DISTANCE_ROWS) + MIB
    formula = f"{drawn:,} rows x {d} features, {work.n_candidates} start(s)"
    return [Term("candidates of k-means||", n_bytes, formula)]


def cached_rows_term(budget: int, data_bytes: int) -> Term:
    """Decoded rows that a process caches for the next pass: all rows, or what its budget allows."""
    cached = min(budget, data_bytes)
    share = f"{cached / max(data_bytes, 1):.0%} of all rows"
    return Term("rows cached between passes", cached, share)


def driver_terms(work: Work, *, hierarchical: bool, report: bool) -> list[Term]:
    """What the driver holds at most, beside its tasks when it runs them itself.

    A prediction (no sample) starts nothing and takes no M-step.
    """
    terms = _fit_terms(work, hierarchical=hierarchical) if work.sample_rows else []
    if report:
        terms.append(Term("report", REPORT_BYTES, "matplotlib and one figure"))
    return terms


def _m_step_bytes(work: Work, numbers: int) -> int:
    """Parameters of every start, three generations of them, and one M-step's intermediates."""
    d, k = work.grid.n_features, work.n_components
    kept = (112 * numbers + 32 * k * d) * work.n_candidates
    return kept + 80 * numbers + 128 * k * d + 128 * math.prod(work.family.covariance_shape(1, d))


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
        Term("M-step", _m_step_bytes(work, numbers), "factors of covariances, acceleration"),
    ]
    terms += _candidates_terms(work) + _sample_em_terms(work)
    if hierarchical:
        m = min(max(WARD_ROWS, k), work.sample_rows)
        terms.append(Term("Ward's distances", 8 * m * m + 64 * m, f"{m:,} rows, condensed, twice"))
    return terms


def tasks_of_a_pass(n_threads: int, grid: BlockGrid) -> int:
    """How many tasks a pass is cut into."""
    return min(n_threads * TASKS_PER_THREAD, grid.n_blocks)
