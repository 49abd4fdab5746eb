"""How time falls with workers, and what a thousand of them would ask of scheduler and driver.

Three parts: passes on one worker and on two; the constants of `scaling_model`; and a simulated
cluster (`crowd`), whose workers do nothing, against which the model is checked. `docs/scaling.md`
says what follows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import zarr
from numpy.typing import NDArray

from benchmarks.crowd import Seconds, crowd
from benchmarks.measuring import alternate
from benchmarks.scaling_limit import speed_up
from benchmarks.scaling_model import Constants, Problem, Shape, predict
from benchmarks.scaling_pages import CHECKED, CONSTANTS, PREDICTED, predict_all
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.data.zarr.dataset import ZarrDataset, open_zarr
from dgmm.execution.dask_cluster import DaskExecutor, local_cluster
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import ProductKernel
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.reduction.map_reduce import map_reduce
from dgmm.runtime.blas_threads import single_blas_thread

if TYPE_CHECKING:
    from benchmarks.results import Results

PART = "scaling"
GOAL = 1.85
BUDGET_SECONDS = 60.0
#: Workers of the simulated cluster; three tasks each.
CROWDS = (30, 100, 300, 1000)
#: Blocks of rows that one thread's E-step is timed on.
BLOCKS = 12
#: (k, p) of the statistics that a task sends: full covariance with d = 8 and d = 32.
SMALL, LARGE = (8, 45), (64, 561)


SHAPES = (
    Shape("full", 500_000, 32, 64),
    Shape("full", 200_000, 64, 64),
    Shape("diag", 500_000, 64, 256),
)


def run(results: Results) -> None:
    """Measure, and check the model against every point."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as clusters:
        one = clusters.enter_context(local_cluster(1))
        two = clusters.enter_context(local_cluster(2))
        passes = [
            _speed_up(results, s, Path(folder) / str(i), one, two) for i, s in enumerate(SHAPES)
        ]
        read_byte = _read_byte(results, Path(folder) / "0")
    crowds = _measure_crowds(results)
    constants = _constants(results, crowds, read_byte)
    _check_crowds(results, crowds, constants)
    for shape, row_seconds, seconds in passes:
        _check_passes(results, shape, row_seconds, seconds, constants)
    for shape in PREDICTED:
        predict_all(results, shape, _row_seconds_of(shape), _m_step_seconds(shape), constants)


Passes = tuple[Shape, float, dict[int, float]]


def _speed_up(
    results: Results, shape: Shape, path: Path, one: DaskExecutor, two: DaskExecutor
) -> Passes:
    """Passes on one worker and on two, alternately; beside them what only computing takes."""
    dataset = _written(shape, path)
    leaves = _leaves(shape, dataset)

    def side(executor: DaskExecutor) -> list[float]:
        begun = time.perf_counter()
        map_reduce(executor, leaves, dataset.grid.n_blocks)
        return [time.perf_counter() - begun]

    for executor in (one, two):
        side(executor)
    alone, both = alternate([lambda: side(one), lambda: side(two)], budget=BUDGET_SECONDS)
    ratio = median(a / b for a, b in zip(alone, both, strict=True))
    note = f"{median(alone):.3f} s and {median(both):.3f} s, {len(alone)} rounds"
    results.measured(PART, f"1 to 2 workers: {shape}", ratio, "×", goal=GOAL, note=note)
    what = f"1 to 2 processes that only compute: {shape}"
    results.measured(PART, what, speed_up(str(path), leaves), "×")
    run = BlockRange(0, min(BLOCKS, dataset.grid.n_blocks))
    held = np.concatenate([block.values for block in dataset.read_blocks(run)])
    row_seconds = _row_seconds(shape, held)
    results.measured(PART, f"one thread's E-step: {shape}", 1e9 * row_seconds, "ns/row")
    return shape, row_seconds, {1: median(alone), 2: median(both)}


def _written(shape: Shape, path: Path) -> ZarrDataset:
    rows = np.random.default_rng(0).standard_normal((shape.n, shape.d), dtype=np.float32)
    zarr.create_array(str(path), data=rows, chunks=(65_536, shape.d), compressors=None)
    return open_zarr(str(path))


def _units(d: int) -> Standardisation:
    sample = np.random.default_rng(1).standard_normal((1000, d), dtype=np.float32)
    return Standardisation.from_sample(sample, common_scale=False)


def kernel_of(shape: Shape) -> ProductKernel:
    """Some parameters; which ones does not matter to time."""
    family, (k, d) = family_named(shape.covariance_type), (shape.k, shape.d)
    means = np.random.default_rng(2).normal(size=(k, d))
    one = {"full": np.eye(d), "diag": np.ones(d), "spherical": 1.0}[shape.covariance_type]
    covariances = np.stack([np.asarray(one)] * k)
    return ProductKernel.of(Parameters.of(family, np.full(k, 1 / k), means, covariances))


def _leaves(shape: Shape, dataset: Dataset) -> EStepTask:
    return EStepTask(
        dataset,
        (EStepRequest(kernel_of(shape), _units(shape.d)),),
        "numba",
        MissingPolicy.NONE_MISSING,
    )


def _row_seconds_of(shape: Shape) -> float:
    """For rows that are not on disk: as many as are needed."""
    n = BLOCKS * BlockGrid(shape.n, shape.d).rows_per_block
    return _row_seconds(
        shape, np.random.default_rng(0).standard_normal((n, shape.d), dtype=np.float32)
    )


def _row_seconds(shape: Shape, rows: NDArray[np.float32]) -> float:
    """One row's E-step on one thread of this process, over rows in memory."""
    held, taken = ArrayDataset(rows), []
    leaves = _leaves(shape, held)
    with single_blas_thread():
        for _ in range(4):
            begun = time.perf_counter()
            for _ in leaves(BlockRange(0, held.grid.n_blocks)):
                pass
            taken.append(time.perf_counter() - begun)
    return median(taken[1:]) / len(rows)


def _read_byte(results: Results, path: Path) -> float:
    """Seconds a byte of a plain read of uncompressed chunks that the page cache holds."""
    array = zarr.open_array(str(path), mode="r")
    taken = []
    for _ in range(4):
        begun = time.perf_counter()
        for start in range(0, array.shape[0], array.chunks[0]):
            array[start : start + array.chunks[0]]
        taken.append(time.perf_counter() - begun)
    rate = array.nbytes / median(taken[1:])
    results.measured(PART, "plain read, uncompressed, one process", rate / 1e9, "GB/s")
    return 1.0 / float(rate)


Crowds = dict[int, dict[tuple[int, int], Seconds]]


def _measure_crowds(results: Results) -> Crowds:
    found: Crowds = {}
    for n_workers in CROWDS:
        with crowd(n_workers) as there:
            there.run_pass(*SMALL)
            found[n_workers] = {
                size: _median_of([there.run_pass(*size) for _ in range(3)])
                for size in (SMALL, LARGE)
            }
        for (k, p), taken in found[n_workers].items():
            what = (
                f"{taken.n_tasks:,} tasks on {n_workers:,} idle workers, {8 * k * p:,} bytes each"
            )
            note = f"wall {taken.wall:.2f} s with the workers on the same cores"
            results.measured(PART, f"{what}: driver", taken.driver, "s", note=note)
            results.measured(PART, f"{what}: scheduler", taken.scheduler, "s")
    return found


def _median_of(passes: Sequence[Seconds]) -> Seconds:
    return Seconds(
        median(one.wall for one in passes),
        median(one.driver for one in passes),
        median(one.scheduler for one in passes),
        passes[0].n_tasks,
    )


def _constants(results: Results, crowds: Crowds, read_byte: float) -> Constants:
    """A task's and a byte's cost: from small and large results of the largest crowd."""
    small, large = crowds[CROWDS[-1]][SMALL], crowds[CROWDS[-1]][LARGE]
    few, many = (8 * k * p for k, p in (SMALL, LARGE))
    sent = small.n_tasks * (many - few)
    driver_byte = max(large.driver - small.driver, 0.0) / sent
    scheduler_byte = max(large.scheduler - small.scheduler, 0.0) / sent
    constants = Constants(
        driver_task=small.driver / small.n_tasks - few * driver_byte,
        scheduler_task=small.scheduler / small.n_tasks - few * scheduler_byte,
        driver_byte=driver_byte,
        scheduler_byte=scheduler_byte,
        read_byte=read_byte,
        latency=_latency(),
    )
    for name, (unit, scale, words) in CONSTANTS.items():
        value = scale * getattr(constants, name)
        results.measured(PART, words, value, unit, detail={"constant": name})
    _merge_rate(results)
    for shape in SHAPES:
        results.measured(PART, f"M-step: {shape}", _m_step_seconds(shape), "s")
    return constants


def _latency() -> float:
    """A pass of one block that is nothing."""
    from benchmarks.crowd import Ones  # noqa: PLC0415 - it travels to workers by its module

    with local_cluster(2) as executor:
        taken = []
        for _ in range(25):
            begun = time.perf_counter()
            map_reduce(executor, Ones(*SMALL), 1)
            taken.append(time.perf_counter() - begun)
    return median(taken[5:])


def _merge_rate(results: Results) -> None:
    """Bytes of statistics merged a second, on one thread."""
    one, other = (Statistics(1, 0.0, np.ones((1024, 1000))) for _ in range(2))
    taken = []
    for _ in range(9):
        begun = time.perf_counter()
        one.merge(other)
        taken.append(time.perf_counter() - begun)
    results.measured(PART, "merging statistics", one.sums.nbytes / median(taken) / 1e9, "GB/s")


def _m_step_seconds(shape: Shape) -> float:
    """M-step and the natural parameters of the next pass, on the driver."""
    family, rng = family_named(shape.covariance_type), np.random.default_rng(3)
    sums = np.zeros((shape.k, family.width(shape.d)))
    q = family.quadratic_width(shape.d)
    Y = rng.normal(size=(shape.d, 4 * shape.d))
    sums[:, :q] = family.second_moment(Y, np.ones(4 * shape.d))
    sums[:, q:-1], sums[:, -1] = Y.sum(axis=1), 4 * shape.d
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        estimate = m_step(family, Statistics(shape.n, 0.0, sums))
        ProductKernel.of(estimate.regularised(np.full(shape.d, 1e-6)))
        taken.append(time.perf_counter() - begun)
    return median(taken)


def _check_crowds(results: Results, crowds: Crowds, constants: Constants) -> None:
    """What the model says of each simulated pass but the one it is from, over what was measured."""
    for n_workers, sizes in list(crowds.items())[:-1]:
        for (k, p), taken in sizes.items():
            n_bytes = taken.n_tasks * 8 * k * p
            driver = taken.n_tasks * constants.driver_task + n_bytes * constants.driver_byte
            scheduler = taken.n_tasks * constants.scheduler_task
            scheduler += n_bytes * constants.scheduler_byte
            for role, said, measured in (
                ("driver", driver, taken.driver),
                ("scheduler", scheduler, taken.scheduler),
            ):
                what = f"{role}, {n_workers:,} workers, {8 * k * p:,} bytes a task"
                note = f"{said:.2f} s and {measured:.2f} s"
                results.measured(CHECKED, what, said / measured, "×", note=note)


def _check_passes(
    results: Results,
    shape: Shape,
    row_seconds: float,
    seconds: dict[int, float],
    constants: Constants,
) -> None:
    """The same for the passes on one worker and on two."""
    width = family_named(shape.covariance_type).width(shape.d)
    for n_workers, measured in seconds.items():
        sizes = (shape.n, shape.d, shape.k, width)
        problem = Problem(*sizes, row_seconds, 0.0, n_workers)
        predicted = predict(problem, constants).total
        what = f"whole pass, {n_workers} worker(s): {shape}"
        note = f"{predicted:.3f} s and {measured:.3f} s"
        results.measured(CHECKED, what, predicted / measured, "×", note=note)
