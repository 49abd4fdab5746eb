"""What an iteration costs beyond computing and reading, and how soon `dgmm run` begins.

The overhead of an iteration is defined as

    wall time of the iteration − (compute + scan),

where *compute* is the E-step of the same rows held in the same two workers' memory, and *scan* a
plain read of the same chunks by the same two workers, `array[start:stop]` of Zarr half each. Both
are measured inside the workers, so that neither contains a message. An iteration that reads ahead
hides part of one behind the other; the overhead is then negative. Three more figures show what that
hides: the iteration with one spherical component, which computes next to nothing; the iteration on
rows that workers kept from the one before, less compute alone; and the pass whose tasks neither
read nor compute but return statistics of the true size: messages, scheduler, merging and M-step.

Rows are proportional to chunks, so that 30 ms can be told from the rest: 256 rows of 8 float32
features (8 kB) a chunk, uncompressed.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.data.zarr.dataset import ZarrDataset, open_zarr
from dgmm.execution.dask_cluster import DaskExecutor, local_cluster
from dgmm.fitting.em.data_pass import EStepTask, PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import ProductKernel
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import map_reduce, tasks_per_thread

if TYPE_CHECKING:
    from benchmarks.results import Results

PART = "overhead"
ROWS_PER_CHUNK, N_FEATURES, N_COMPONENTS = 256, 8, 8
CHUNKS = (10, 1_000, 10_000, 100_000)
#: Seconds beyond compute and scan, by number of chunks.
GOALS = {1_000: 0.030, 100_000: 0.5}
REPEATS = {10: 25, 1_000: 25, 10_000: 7, 100_000: 3}
START_GOAL, STARTS = 3.0, 5
N_WORKERS = 2
#: What a worker may keep: more than it reads.
KEPT_BYTES = 2**30


def run(results: Results) -> None:
    """Measure every size on one cluster of two workers, then the start of the command."""
    for kind in ("local", "threads"):
        seconds = [_start_of_run(kind) for _ in range(STARTS)]
        results.measured(
            PART,
            f"dgmm run, cluster.kind {kind}: process start to first iteration, 20,000 rows",
            statistics.median(seconds),
            "s",
            goal=START_GOAL,
            at_least=False,
            note=f"{min(seconds):.2f} to {max(seconds):.2f} in {STARTS} runs",
        )
    with local_cluster(N_WORKERS) as executor, tempfile.TemporaryDirectory() as folder:
        for n_chunks in CHUNKS:
            _measure(results, executor, Path(folder) / f"{n_chunks}.zarr", n_chunks)


@dataclass(frozen=True)
class Times:
    """Medians in seconds of one number of chunks.

    `overhead` is the median of what each round gave, not a difference of medians: neighbours slow
    all of a round down, and rounds differ by half.
    """

    iteration: float
    scan: float
    compute: float
    trivial: float
    kept: float
    empty: float
    overhead: float

    @classmethod
    def of(cls, rounds: dict[str, list[float]]) -> Times:
        """From the seconds of each figure in each round."""
        parts = zip(rounds["iteration"], rounds["scan"], rounds["compute"], strict=True)
        beyond = statistics.median(whole - scan - compute for whole, scan, compute in parts)
        medians = {name: statistics.median(taken) for name, taken in rounds.items()}
        return cls(**medians, overhead=beyond)


def _measure(results: Results, executor: DaskExecutor, path: Path, n_chunks: int) -> None:
    write_chunks(path, n_chunks)
    times = measure(executor, path, REPEATS[n_chunks])
    results.measured(
        PART,
        f"{n_chunks:,} chunks: iteration beyond compute and scan",
        times.overhead,
        "s",
        goal=GOALS.get(n_chunks),
        at_least=False,
        note=f"iteration {times.iteration:.3f}, scan {times.scan:.3f}, compute {times.compute:.3f}",
    )
    results.measured(
        PART, f"{n_chunks:,} chunks: iteration of one spherical component", times.trivial, "s"
    )
    results.measured(
        PART,
        f"{n_chunks:,} chunks: iteration on cached rows beyond compute",
        times.kept - times.compute,
        "s",
        note=f"iteration {times.kept:.3f}",
    )
    results.measured(
        PART, f"{n_chunks:,} chunks: pass that neither reads nor computes", times.empty, "s"
    )


def measure(executor: DaskExecutor, path: Path, repeats: int) -> Times:
    """All figures of one array, each alternating with the others."""
    dataset = open_zarr(str(path))
    holding = dataset.with_cache(KEPT_BYTES)
    full, round_one = _kernel("full", N_COMPONENTS), _kernel("spherical", 1)
    figures: dict[str, Callable[[], float]] = {
        "iteration": _Iteration(executor, _pass(dataset, full), dataset, full),
        "scan": lambda: _on_workers(executor, scan_half, str(path)),
        "compute": lambda: _on_workers(executor, compute_half, str(path), full),
        "trivial": _Iteration(executor, _pass(dataset, round_one), dataset, round_one),
        "kept": _Iteration(executor, _pass(holding, full), holding, full),
        "empty": _Iteration(executor, EmptyPass(full), dataset, full),
    }
    seconds: dict[str, list[float]] = {name: [] for name in figures}
    for repeat in range(repeats + 1):
        for name, figure in figures.items():
            taken = figure()
            if repeat > 0:  # the first fills the page cache and the workers' memory
                seconds[name].append(taken)
    return Times.of(seconds)


@dataclass(frozen=True)
class EmptyPass:
    """Leaves that cost nothing and return statistics of the true size."""

    kernel: ProductKernel

    def __call__(self, run: BlockRange) -> Iterator[tuple[int, PassStatistics]]:
        """One value for each block."""
        p = self.kernel.family.width(N_FEATURES)
        ones = Statistics(1, 0.0, np.ones((self.kernel.n_components, p)))
        for block in range(run.start, run.stop):
            yield block, PassStatistics(1, 0, (ones,))


def _pass(dataset: ZarrDataset, kernel: ProductKernel) -> EStepTask:
    return EStepTask(
        dataset, (EStepRequest(kernel, _units()),), "numba", MissingPolicy.NONE_MISSING
    )


class _Iteration:
    """One pass and its M-step, as EM does them; called, it tells the wall time."""

    def __init__(
        self, executor: DaskExecutor, leaves: Any, dataset: ZarrDataset, kernel: ProductKernel
    ) -> None:
        self._executor, self._leaves = executor, leaves
        self._n_blocks, self._family = dataset.grid.n_blocks, kernel.family
        self._last_s = math.inf

    def __call__(self) -> float:
        begun = time.perf_counter()
        tasks = tasks_per_thread(self._last_s)
        total = map_reduce(self._executor, self._leaves, self._n_blocks, tasks=tasks)
        m_step(self._family, total.candidates[0]).regularised(np.full(N_FEATURES, 1e-6))
        self._last_s = time.perf_counter() - begun
        return self._last_s


def _kernel(covariance_type: str, k: int) -> ProductKernel:
    """Some parameters; which ones does not matter to time."""
    family = family_named(covariance_type)
    means = np.random.default_rng(0).normal(size=(k, N_FEATURES))
    one = {"full": np.eye(N_FEATURES), "spherical": 1.0}[covariance_type]
    covariances = np.stack([np.asarray(one, dtype=np.float64)] * k)
    return ProductKernel.of(Parameters.of(family, np.full(k, 1 / k), means, covariances))


def _units() -> Standardisation:
    sample = np.random.default_rng(1).normal(size=(1000, N_FEATURES)).astype(np.float32)
    return Standardisation.from_sample(sample, common_scale=False)


def write_chunks(path: Path, n_chunks: int) -> None:
    """An uncompressed array of random rows; its chunk files are written as plain bytes.

    Zarr would take a minute for 100,000 of them; that it reads them back is checked.
    """
    n_rows = n_chunks * ROWS_PER_CHUNK
    array = zarr.create_array(
        str(path),
        shape=(n_rows, N_FEATURES),
        chunks=(ROWS_PER_CHUNK, N_FEATURES),
        dtype="float32",
        compressors=None,
    )
    rng = np.random.default_rng(2)
    for i in range(n_chunks):
        file = path / "c" / str(i) / "0"
        file.parent.mkdir(parents=True)
        rows = rng.standard_normal((ROWS_PER_CHUNK, N_FEATURES), dtype=np.float32)
        file.write_bytes(rows.astype("<f4").tobytes())
    if not np.array_equal(array[-ROWS_PER_CHUNK:], rows):
        raise RuntimeError(f"{path}: Zarr does not read what was written")


def _on_workers(executor: DaskExecutor, work: Callable[..., float], *arguments: Any) -> float:
    """The slower of both workers' own times for one half each."""
    client = executor._client  # the very workers, but none of dgmm's way to them
    addresses = sorted(client.scheduler_info()["workers"])
    futures = [
        client.submit(work, i, *arguments, workers=[address], pure=False)
        for i, address in enumerate(addresses)
    ]
    return max(client.gather(futures))


def _halves(path: str, which: int) -> tuple[Any, range, int]:
    """The array, where the pieces of one half begin, and their length: a block's rows."""
    array = zarr.open_array(path, mode="r")
    step = open_zarr(path).grid.rows_per_block
    pieces = range(0, array.shape[0], step)
    middle = len(pieces) // 2
    return array, pieces[:middle] if which == 0 else pieces[middle:], step


def scan_half(which: int, path: str) -> float:
    """Seconds that a plain read of half the array takes; runs in a worker."""
    array, pieces, step = _halves(path, which)
    begun = time.perf_counter()
    for start in pieces:
        array[start : start + step]
    return time.perf_counter() - begun


#: Rows that this worker holds for `compute_half`: the last array's only.
_held: dict[tuple[str, int], np.ndarray[Any, Any]] = {}


def compute_half(which: int, path: str, kernel: ProductKernel) -> float:
    """Seconds of the E-step on half the rows, read beforehand; runs in a worker."""
    if (path, which) not in _held:
        array, pieces, _ = _halves(path, which)
        _held.clear()
        _held[path, which] = (
            array[pieces.start : pieces.stop] if len(pieces) else np.empty((0, N_FEATURES), "f4")
        )
    rows = _held[path, which]
    if len(rows) == 0:
        return 0.0
    dataset = ArrayDataset(rows)
    leaves = EStepTask(
        dataset, (EStepRequest(kernel, _units()),), "numba", MissingPolicy.NONE_MISSING
    )
    begun = time.perf_counter()
    for _ in leaves(BlockRange(0, dataset.grid.n_blocks)):
        pass
    return time.perf_counter() - begun


def _start_of_run(kind: str) -> float:
    """Seconds from the start of a fresh process to its first line about an iteration."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(3)
        rows = (rng.normal(size=(20_000, 4)) + 5 * rng.integers(2, size=(20_000, 1))).astype("f4")
        zarr.create_array(f"{folder}/x.zarr", data=rows, chunks=(5_000, 4))
        job = {
            "data": {"path": "x.zarr"},
            "model": {"n_components": 4},
            "cluster": {"kind": kind, "n_workers": N_WORKERS},
            "output": {"path": "out", "report": False},
        }
        Path(folder, "job.yaml").write_text(json.dumps(job))  # JSON is YAML
        command = [sys.executable, "-m", "dgmm", "run", "job.yaml"]
        begun = time.perf_counter()
        with subprocess.Popen(
            command, cwd=folder, stderr=subprocess.PIPE, text=True, env=_environment()
        ) as process:
            return _first_iteration(process.stderr or (), begun)


def _first_iteration(lines: Iterator[str] | Sequence[str], begun: float) -> float:
    taken, said = 0.0, []
    for line in lines:  # to the end: a process whose reader leaves would be another measurement
        said.append(line)
        if not taken and line.startswith("iteration 1:"):
            taken = time.perf_counter() - begun
    if not taken:
        raise RuntimeError("dgmm run told of no iteration:\n" + "".join(said))
    return taken


def _environment() -> dict[str, str]:
    """Ours, with the package found where we found it, and BLAS left to itself."""
    root = str(Path(__file__).resolve().parent.parent)
    forced = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"}
    return {k: v for k, v in os.environ.items() if k not in forced} | {"PYTHONPATH": root}
