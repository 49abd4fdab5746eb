"""What a job will hold in memory, term by term, known before it starts.

Every term is a function of sizes alone. The constants are what a process holds once its libraries
are imported: measured and rounded up (docs/memory.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dgmm.data.cache_budget import BANDS
from dgmm.fitting.initialisation.kmeans_plus_plus import n_trials
from dgmm.fitting.initialisation.merged_seeds import SURPLUS, are_worth_merging, merging_bytes
from dgmm.mixture.backends.sparse_sizes import pays, sparse_widths
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
#: The report in the driver: rows of its histograms, its images, and the page.
REPORT_BYTES = 120 * MIB
#: Rows that Ward's tree is made of, where there are not more components.
WARD_ROWS = 5_000
#: Components, and rows of φ, that compiled products take together at most; rows of a panel.
_GROUP, _ROW_PANEL = 16, 96
#: Forms of φ that compiled code also makes of rows with missing values.
_MASKED_FORMS = ("squares", "norm")
#: Bytes of a row that is taken by its own bound: norm, mask and its negation, place, weight.
_OF_SPLIT_ROW = 8 + 2 + 8 + 8
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
    n_folds
        Parts of the rows that are held out in turn; 0 where none is.
    n_most_anomalous
        Rows of lowest log density that are listed.
    others, waiting
        Of a job of several models: those that share passes with this one, the largest, and those of
        other groups.
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
    n_folds: int = 0
    n_most_anomalous: int = 0
    others: tuple[Work, ...] = ()
    waiting: tuple[Work, ...] = ()

    @property
    def together(self) -> tuple[Work, ...]:
        """The models of one pass."""
        return (self, *self.others)

    @property
    def shared_bytes(self) -> int:
        """Statistics of all candidates of one pass."""
        return sum(one.statistics_bytes * one.n_candidates for one in self.together)

    @property
    def statistics_bytes(self) -> int:
        """One candidate's statistics: k·p float64, and the family's scatter."""
        d = self.grid.n_features
        scatter = self.family.scatter_width(d)
        return 8 * (self.n_components * (self.family.width(d) + d) + scatter)


def task_terms(work: Work) -> list[Term]:
    """What one task holds at most; times threads per worker."""
    d, k = work.grid.n_features, work.n_components
    rows, p = work.grid.rows_per_block, work.family.width(d)
    n_leaves = work.grid.in_parts().n_blocks
    leaves = max(n_leaves * TASKS_PER_THREAD // max(work.n_tasks, 1), 1)
    held = 2 * math.ceil(math.log2(leaves + 1)) + 2
    terms = [
        Term("decoded chunks", BANDS * work.band_bytes, f"{BANDS} bands"),
        Term(
            "block, stored and standardised",
            rows * d * (2 * work.itemsize + 16),
            f"{rows:,} rows x {d} features",
        ),
        Term(
            "rows far out",
            rows * (d * work.itemsize + _OF_SPLIT_ROW),
            f"{rows:,} rows x {d} features, copied: near ones, and those that go centred",
        ),
        max(map(_tiles_term, work.together), key=_n_bytes),
        max(map(_products_term, work.together), key=_n_bytes),
        Term(
            "statistics",
            held * work.shared_bytes,
            f"{held} x {k} x {p} float64, {work.n_candidates} start(s){_and_others(work)}",
        ),
        Term(
            "parameters",
            4 * work.shared_bytes,
            "natural parameters, and a task's message",
        ),
        Term("output chunk", 2 * work.output_chunk_bytes, "collected and encoded"),
    ]
    if work.marginalises:
        patterns = Term("patterns of missing values", MOST_BYTES, "those kept for a task")
        terms.append(patterns)
    if work.n_most_anomalous:
        terms.append(_anomalies_term(work, held))
    return terms + _candidates_terms(work)


def _anomalies_term(work: Work, held: int) -> Term:
    """The rows of lowest log density, with their values, of so many subtrees."""
    n, d = work.n_most_anomalous, work.grid.n_features
    formula = f"{held} x {n:,} rows x {d} features"
    return Term("most anomalous rows", held * n * 8 * (d + 3), formula)


def _n_bytes(term: Term) -> int:
    return term.n_bytes


def _and_others(work: Work) -> str:
    n = len(work.others)
    return f", and {n:,} smaller model{'s' * (n != 1)}" if n else ""


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
    """What compiled products of one thread need beside a tile: parameters and sums of a block.

    Where moments may be taken component by component, sums in that form are held as well.
    """
    k, d, family = work.n_components, work.grid.n_features, work.family
    p, n_products = family.width(d), family.quadratic_width(d)
    if work.marginalises and family.form in _MASKED_FORMS:
        p += d  # the mask of what is there is summed, too
    n_numbers, width = 2 * (p + _GROUP) * (k + _GROUP), 2 * p
    if pays(k, p, n_products, d):
        pairs, others = sparse_widths(p, n_products, d)
        n_numbers += (pairs + others) * (k + _GROUP) + others * _ROW_PANEL
        width += pairs + others
    formula = f"{k} x {width} float64, in whole groups"
    return Term("products of a block", 8 * n_numbers, formula)


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
    if work.n_most_anomalous:
        terms.append(_anomalies_term(work, _subtrees(work)))
    if report:
        terms.append(Term("report", REPORT_BYTES, "the page and its figures"))
    return terms


def _m_step_bytes(work: Work, numbers: int) -> int:
    """Parameters of every start, and one M-step's intermediates."""
    d, k = work.grid.n_features, work.n_components
    one = math.prod(work.family.covariance_shape(1, d))
    return _parameters_bytes(work) + 80 * numbers + 128 * k * d + 128 * one


def _parameters_bytes(work: Work) -> int:
    """Three generations of the parameters of every start."""
    d, k = work.grid.n_features, work.n_components
    numbers = math.prod(work.family.covariance_shape(k, d))
    return (112 * numbers + 32 * k * d) * work.n_candidates


def _subtrees(work: Work) -> int:
    """Subtrees that the driver holds at most: those of one level each, and of tasks."""
    return math.ceil(math.log2(work.grid.in_parts().n_blocks + 1)) + 2 * work.n_tasks + 4


def _starts_term(work: Work) -> Term:
    """Distances a tile at a time, and those of the rows that the next seed is one of, twice.

    Of many components the seeds that are merged besides, for each start of a thread.
    """
    k = work.n_components
    each = 2 * (n_trials(k) + _GROUP)
    n_bytes = 64 * MIB + work.sample_rows * 8 * (4 + each)
    formula = f"distances of a tile; {each} for each row of the sample"
    if are_worth_merging(work.sample_rows, k):
        at_once = max(min(work.n_sample_starts, work.n_threads_here), 1)
        n_bytes += at_once * merging_bytes(k, work.grid.n_features)
        formula += f"; {at_once} times {SURPLUS * k:,} seeds and their neighbours"
    return Term("starts", n_bytes, formula)


def _fit_terms(work: Work, *, hierarchical: bool) -> list[Term]:
    d, k = work.grid.n_features, work.n_components
    sample = work.sample_rows * d * (2 * work.itemsize + 4 * 8)
    tree = _subtrees(work)
    numbers = math.prod(work.family.covariance_shape(k, d))
    terms = [
        Term("sample", sample, f"{work.sample_rows:,} rows x {d} features, four copies"),
        _starts_term(work),
        Term(
            "statistics of a pass",
            tree * work.shared_bytes,
            f"{tree} subtrees{_and_others(work)}",
        ),
        Term("M-step", _m_step_bytes(work, numbers), "factors of covariances, acceleration"),
    ]
    if work.n_folds:
        own = work.n_folds * work.sample_rows * d * (work.itemsize + 2 * 8)
        terms.append(Term("samples of folds", own, f"{work.n_folds} folds, in two unit systems"))
    if others := (*work.others, *work.waiting):
        n_bytes = sum(_parameters_bytes(one) for one in others)
        terms.append(Term("other models", n_bytes, f"parameters of {len(others):,}"))
    terms += _candidates_terms(work) + _sample_em_terms(work)
    if hierarchical:
        m = min(max(WARD_ROWS, k), work.sample_rows)
        terms.append(Term("Ward's distances", 8 * m * m + 64 * m, f"{m:,} rows, condensed, twice"))
    return terms


def tasks_of_a_pass(n_threads: int, grid: BlockGrid) -> int:
    """How many tasks a pass is cut into, at most."""
    return min(n_threads * TASKS_PER_THREAD, grid.in_parts().n_blocks)
