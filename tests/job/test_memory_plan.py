"""Every term of the memory plan, from sizes that are prime, by arithmetic of its own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dgmm.job.memory_plan import (
    Term,
    Work,
    cached_rows_term,
    driver_terms,
    task_terms,
    tasks_of_a_pass,
)
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.kernels.tiling import Tiling
from dgmm.reduction.blocks import BlockGrid

N, D, K, ITEMSIZE, BAND, CHUNK = 10_000_019, 7, 11, 5, 1_000_003, 10_007
CANDIDATES, TASKS, SAMPLE, DRAWN, STARTS, THREADS = 3, 23, 104_729, 503, 13, 17
#: Of Σ, and of x xᵀ: the numbers on and under the diagonal.
TRIANGLE = 28


def work(family: str = "full", d: int = D, **sizes: int) -> Work:
    return replace(
        Work(
            BlockGrid(N, d), ITEMSIZE, BAND, FAMILIES[family], K, CANDIDATES, TASKS, SAMPLE, CHUNK
        ),
        **sizes,
    )


def by_name(terms: list[Term]) -> dict[str, int]:
    assert len({term.name for term in terms}) == len(terms)
    return {term.name: term.n_bytes for term in terms}


def of_task(found: Work) -> dict[str, int]:
    return by_name(task_terms(found))


def of_driver(found: Work, *, hierarchical: bool = False, report: bool = False) -> dict[str, int]:
    return by_name(driver_terms(found, hierarchical=hierarchical, report=report))


#: Numbers of one component's statistics: of 1, x and x xᵀ, and d more.
WIDTH = 1 + D + TRIANGLE
STATISTICS = {"full": 8 * K * (WIDTH + D), "tied": 8 * K * (1 + D + D) + 8 * TRIANGLE}


@pytest.mark.parametrize("family", ["full", "tied"])
def test_statistics_are_those_of_every_component_and_one_scatter(family: str) -> None:
    assert work(family).statistics_bytes == STATISTICS[family]


@pytest.mark.parametrize("family", ["full", "tied"])
def test_a_task_holds_what_its_blocks_its_tiles_and_its_candidates_take(family: str) -> None:
    found = work(family, start_candidates=DRAWN)
    rows = found.grid.rows_per_block
    blocks = 3 * found.grid.n_blocks // TASKS  # three tasks are in flight for each thread
    subtrees = 2 * blocks.bit_length() + 2
    terms = of_task(found)
    p = {"full": WIDTH, "tied": 1 + D}[family]
    assert terms.pop("tiles") > 0
    assert terms == {
        "decoded chunks": 4_000_012,
        "block, stored and standardised": rows * 7 * 5 * 2 + rows * 7 * 8 * 2,
        "rows far out": rows * (7 * 5 + 26),
        "products of a block": 16 * (p + 16) * (11 + 16),
        "statistics": subtrees * STATISTICS[family] * 3,
        "parameters": 12 * STATISTICS[family],
        "output chunk": 20_014,
        "candidates of k-means||": 503 * 7 * 8 * 3 * 3 + 503 * 256 * 8 + 1_048_576,
    }


@pytest.mark.parametrize("d", [1, 7, 24, 25, 33, 64, 128, 300])
@pytest.mark.parametrize("k", [2, 11, 255, 256, 1024])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("marginalises", [False, True])
def test_products_of_a_block_are_what_compiled_code_allocates(
    name: str, k: int, d: int, marginalises: bool
) -> None:
    """Natural parameters, sums, and sums by component, which most shapes have not."""
    buffers = pytest.importorskip("dgmm.mixture.backends.sparse_buffers", reason="it needs Numba")
    fused = pytest.importorskip("dgmm.mixture.backends.fused_products", reason="it needs Numba too")
    family, dtype = FAMILIES[name], np.dtype(np.float64)
    form = f"masked {family.form}" if marginalises else family.form
    if form not in fused.FORMS:
        form = family.form
    if name == "full" and k * d > 300 * 256:
        k = 255  # a GiB of buffers shows no more
    own = replace(work(name), n_components=k, grid=BlockGrid(100, d), marginalises=marginalises)
    made = fused.factors(form, d)
    planned, p = of_task(own)["products of a block"], len(made.order)
    one_row = fused.linear_rows(form, d)
    eta, wide, _ = fused.allocate_buffers(lambda _, n: np.empty(n), one_row, k, p, dtype)
    found = buffers.SparseBuffers.of(k, made, d, dtype)
    held = sum(array.nbytes for array in (eta, wide, found.sums, found.transposed))
    # Groups of 16 components, and of rows of φ, are planned.
    assert held <= planned <= 1.3 * held * (k + 16) / k + 2**20


def test_a_start_from_the_sample_draws_no_candidates() -> None:
    assert "candidates of k-means||" not in of_task(work()) | of_driver(work())


@pytest.mark.parametrize(("n_blocks", "subtrees"), [(1, 4), (31, 12), (32, 14), (63, 14), (64, 16)])
def test_a_task_holds_two_subtrees_for_each_level_of_its_tree(n_blocks: int, subtrees: int) -> None:
    one = work()
    grid = BlockGrid(n_blocks * one.grid.rows_per_block, D)
    found = replace(one, grid=grid, n_tasks=3, n_candidates=1)
    assert of_task(found)["statistics"] == subtrees * STATISTICS["full"]


@pytest.mark.parametrize(("n_blocks", "n_leaves"), [(2, 8), (3, 6), (5, 10)])
def test_few_blocks_are_counted_by_their_parts(n_blocks: int, n_leaves: int) -> None:
    one = work()
    grid = BlockGrid(n_blocks * one.grid.rows_per_block, D)
    assert tasks_of_a_pass(100, grid) == grid.in_parts().n_blocks == n_leaves
    found = replace(one, grid=grid, n_tasks=3, n_candidates=1)
    subtrees, levels = 2 * n_leaves.bit_length() + 2, n_leaves.bit_length()
    assert of_task(found)["statistics"] == subtrees * STATISTICS["full"]
    assert of_driver(found)["statistics of a pass"] == (levels + 2 * 3 + 4) * STATISTICS["full"]


def test_a_task_has_at_least_one_block_whatever_the_number_of_tasks() -> None:
    several = work(n_candidates=1)
    for n_tasks in (4 * several.grid.n_blocks, 7 * several.grid.n_blocks):
        assert of_task(replace(several, n_tasks=n_tasks))["statistics"] == 4 * STATISTICS["full"]
    levels = (3 * several.grid.n_blocks).bit_length()
    for n_tasks in (0, 1):
        found = of_task(replace(several, n_tasks=n_tasks))
        assert found["statistics"] == (2 * levels + 2) * STATISTICS["full"]


@pytest.mark.parametrize(
    ("d", "rows", "products"), [(7, 4096, 36), (53, 256, 1024 + 53 + 53 + 1)], ids=["all", "cut"]
)
def test_tiles_hold_products_log_densities_and_rows(d: int, rows: int, products: int) -> None:
    found = work(d=d)
    assert Tiling.of(found.family.width(d), K, 8).tile_rows == rows
    per_row = 8 * (products + products) + 8 * (4 * 11) + 8 * (4 * d)
    assert of_task(found)["tiles"] == rows * per_row + 8 * d * d


@pytest.mark.parametrize("family", ["full", "tied"])
def test_the_driver_holds_the_sample_the_starts_a_tree_and_an_m_step(family: str) -> None:
    found = work(family, start_candidates=DRAWN)
    numbers = {"full": 11 * 49, "tied": 49}[family]
    held = found.grid.n_blocks.bit_length() + 46 + 4
    assert of_driver(found) == {
        "sample": 104_729 * 7 * 5 * 2 + 104_729 * 7 * 32,
        "starts": 67_108_864 + 104_729 * 8 * (4 + 2 * (4 + 16)),  # a seed of 11 is the best of 4
        "statistics of a pass": held * STATISTICS[family] * 3,
        "M-step": (336 + 80) * numbers + 7 * 11 * (96 + 128) + 128 * 49,
        "candidates of k-means||": 503 * 7 * 8 * 3 * 3 + 503 * 256 * 8 + 1_048_576,
    }


@pytest.mark.parametrize(
    ("k", "n_starts", "more"),
    [(255, 5, 0), (256, 1, 512 * 8 * (6 * 7 + 64)), (2049, 5, 3 * 4098 * 8 * (6 * 7 + 64))],
)
def test_starts_of_many_components_hold_their_seeds_and_lists_of_neighbours(
    k: int, n_starts: int, more: int
) -> None:
    found = replace(work(n_sample_starts=n_starts, n_threads_here=3), n_components=k)
    own = 67_108_864 + 104_729 * 8 * (4 + 2 * (2 + int(math.log(k)) + 16))
    assert of_driver(found)["starts"] == own + more


@pytest.mark.parametrize(("n_blocks", "held"), [(255, 8), (256, 9)])
def test_the_driver_holds_one_subtree_for_each_level_of_the_tree(n_blocks: int, held: int) -> None:
    grid = BlockGrid(n_blocks * work().grid.rows_per_block, D)
    found = of_driver(replace(work(n_candidates=1), grid=grid))
    assert found["statistics of a pass"] == (held + 50) * STATISTICS["full"]


@pytest.mark.parametrize("family", ["full", "tied"])
def test_em_on_the_sample_holds_its_share_of_rows_for_each_thread(family: str) -> None:
    found = work(family, n_sample_starts=STARTS, n_threads_here=THREADS)
    task = of_task(found)
    rows = 104_729 * 7 * 4 + 17 * 104_729 * 7 * 4
    of_threads = 17 * (task["tiles"] + task["products of a block"])
    held = 104_729 // found.grid.rows_per_block + 1 + 34
    of_start = held * STATISTICS[family] + 80 * {"full": 11 * 49, "tied": 49}[family]
    assert of_driver(found)["EM on the sample"] == rows + of_threads + 13 * of_start
    assert "EM on the sample" not in of_driver(work(family))


def test_rows_that_lack_values_take_a_task_their_patterns() -> None:
    added = of_task(work(marginalises=True)).items() - of_task(work()).items()
    assert added == {("patterns of missing values", 67_108_864)}


def test_the_driver_holds_a_sample_of_each_fold_twice() -> None:
    added = of_driver(work(n_folds=3)).items() - of_driver(work()).items()
    assert added == {("samples of folds", 3 * 104_729 * 7 * (5 + 16))}


def test_models_share_a_pass_with_statistics_of_all_and_wait_with_their_parameters() -> None:
    """2 and 5 components; 49 numbers of a covariance, 112 bytes each, and 7 of a mean, 32 each."""
    small, middle = replace(work(), n_components=2), replace(work(), n_components=5)
    alone, found = work(), replace(work(), others=(middle,), waiting=(small,))
    task, driver = of_task(found), of_driver(found)
    ratio = (11 + 5) / 11
    for name in ("statistics", "parameters"):
        assert task[name] == pytest.approx(ratio * of_task(alone)[name], rel=1e-12)
    tree = "statistics of a pass"
    assert driver[tree] == pytest.approx(ratio * of_driver(alone)[tree], rel=1e-12)
    added = driver.items() - of_driver(alone).items() - {(tree, driver[tree])}
    assert added == {("other models", (2 + 5) * (49 * 112 + 7 * 32) * 3)}


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [({}, 5000), ({"n_components": 5003}, 5003), ({"sample_rows": 4999}, 4999)],
)
def test_wards_tree_holds_distances_of_some_thousand_rows(sizes: dict[str, int], rows: int) -> None:
    found = of_driver(work(**sizes), hierarchical=True)
    assert found["Ward's distances"] == 8 * rows**2 + 64 * rows
    assert "Ward's distances" not in of_driver(work(**sizes))


def test_a_report_takes_its_page_and_a_prediction_nothing_else() -> None:
    assert of_driver(work(sample_rows=0), hierarchical=True, report=True) == {"report": 125_829_120}
    assert of_driver(work(), report=True)["report"] == 125_829_120
    assert of_driver(work(sample_rows=0)) == {}


@pytest.mark.parametrize(
    ("budget", "kept", "share"), [(101, 101, "50%"), (202, 202, "100%"), (211, 202, "100%")]
)
def test_no_more_rows_are_cached_than_there_are(budget: int, kept: int, share: str) -> None:
    expected = Term("rows cached between passes", kept, f"{share} of all rows")
    assert cached_rows_term(budget, 202) == expected
    assert cached_rows_term(budget, 0).n_bytes == 0


def test_a_pass_has_three_tasks_a_thread_but_no_more_than_blocks() -> None:
    grid = work().grid
    assert tasks_of_a_pass(17, grid) == 51
    assert tasks_of_a_pass(1009, grid) == grid.n_blocks
