"""Out of core: what a pass over rows on disk takes, in time and in memory.

Two workers of one thread may use 1 GB in all. Compared are, alternating, an EM pass of theirs with
the same pass over rows in memory and with a plain Zarr scan, by two processes each (`disk_sides`):
the goal is pass ≤ 1.10 × (in memory + scan). Times in memory are measured on the first 2^24 rows,
which fit, and scaled to all.

One array is larger than 8 GB as stored (zstd, which Zarr takes by default); with it the memory of
the whole process tree is proved, over passes and over a whole `dgmm run`. The codecs, sharded and
not, are compared on arrays of 1.07 GB; there the workers' 1 GB lets them keep about a tenth of the
rows between passes, which is part of what is measured. Two more lines give them memory for half of
the rows and for all. Files lie in the system's page cache: no device is measured.

    DGMM_BENCH_FOLDER    where arrays are written (benchmarks/.data), 12 GB at most at a time
    DGMM_BENCH_KEEP=1    leave them there, and take those that are there
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from benchmarks.disk_driver import COMPONENTS, N_FEATURES
from benchmarks.disk_sides import Driver, Pair, Took, Watched, compute, hold, scan
from benchmarks.measuring import N_THREADS
from dgmm.config import load_job
from dgmm.data.cache_budget import PROCESS_SHARE, SHARE
from dgmm.job import plan_job
from dgmm.job.memory_plan import WORKER_BASE

if TYPE_CHECKING:
    from benchmarks.results import Results

CHUNK_ROWS, SHARD_ROWS = 2**18, 2**20
#: 4 MiB chunks in 64 MiB shards, 16 MiB chunks elsewhere.
INNER_ROWS = 2**16
SMALL_ROWS, LARGE_ROWS = 2**24, 540 * CHUNK_ROWS
TRIAL_ROWS = 2**21
CODECS = {
    "uncompressed": None,
    "lz4": BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
    "zstd": ZstdCodec(level=0),
}
RATIO_GOAL, PEAK_GOAL = 1.10, 1.5e9
LIMIT = 500_000_000
#: Seconds for the rounds of one array.
BUDGET_SMALL, BUDGET_LARGE = 20.0, 60.0
LEAST_ROUNDS, MOST_ROUNDS = 2, 5


@dataclass(frozen=True)
class Stored:
    """One array to be read."""

    codec: str
    is_sharded: bool
    n_rows: int

    @property
    def name(self) -> str:
        """In words."""
        size = f"{self.n_rows * N_FEATURES * 4 / 1e9:.2f} GB"
        return f"{self.codec}{', sharded' if self.is_sharded else ''}, {size}"

    @property
    def rows_per_read(self) -> int:
        """A chunk, or the inner chunk of a shard."""
        return INNER_ROWS if self.is_sharded else CHUNK_ROWS


def run(results: Results) -> None:
    """Measure all arrays, the large one last."""
    is_trial = getattr(results, "is_trial", False)
    n_rows = TRIAL_ROWS if is_trial else SMALL_ROWS
    with Pair() as pair:
        for codec in CODECS:
            for is_sharded in (False, True):
                stored = Stored(codec, is_sharded, n_rows)
                with written(stored) as path:
                    compare(results, pair, stored, path)
                    if codec == "zstd" and not is_sharded:
                        for share in (0.5, 1.0):
                            compare(results, pair, stored, path, kept_share=share)
        stored = Stored("zstd", False, 2 * TRIAL_ROWS if is_trial else LARGE_ROWS)
        with written(stored) as path:
            stored_bytes = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
            results.measured("disk", f"{stored.name}: as stored", stored_bytes / 1e9, "GB")
            compare(results, pair, stored, path, budget=BUDGET_LARGE)
            whole_run(results, stored, path)


@contextmanager
def written(stored: Stored) -> Iterator[Path]:
    """The array on disk, for as long as it is needed."""
    folder = Path(os.environ.get("DGMM_BENCH_FOLDER", Path(__file__).parent / ".data")).absolute()
    kept = bool(os.environ.get("DGMM_BENCH_KEEP"))
    path = folder / f"{stored.name.replace(', ', '-').replace(' ', '')}.zarr"
    if not (kept and path.exists()):
        shutil.rmtree(path, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        write(stored, path)
    try:
        yield path
    finally:
        if not kept:
            shutil.rmtree(path, ignore_errors=True)


def write(stored: Stored, path: Path) -> None:
    """Normal rows about eight centres; the noise is the same in each shard, moved and cut anew."""
    array = zarr.create_array(
        str(path),
        shape=(stored.n_rows, N_FEATURES),
        chunks=(stored.rows_per_read, N_FEATURES),
        shards=(SHARD_ROWS, N_FEATURES) if stored.is_sharded else None,
        dtype="float32",
        compressors=CODECS[stored.codec],
    )
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((SHARD_ROWS, N_FEATURES), dtype=np.float32)
    centres = 3 * rng.normal(size=(8, N_FEATURES)).astype(np.float32)
    for start in range(0, stored.n_rows, SHARD_ROWS):
        size = min(SHARD_ROWS, stored.n_rows - start)
        rows = np.roll(noise, start // 7, axis=0)[:size] + centres[rng.integers(8, size=size)]
        array[start : start + size] = rows
    os.sync()


def compare(
    results: Results,
    pair: Pair,
    stored: Stored,
    path: Path,
    *,
    kept_share: float | None = None,
    budget: float = BUDGET_SMALL,
) -> None:
    """Alternate a pass, the pass in memory and the scan; tell their ratio and the peak."""
    n_held = min(stored.n_rows, SMALL_ROWS)
    scale = stored.n_rows / n_held
    pair.do(hold, str(path), n_held)
    limit = LIMIT if kept_share is None else _limit_that_keeps(kept_share, stored, path)
    with Driver(job_file(path, limit)) as driver:
        driver.pass_over_all("diag")  # keeps rows, loads libraries
        sides = {"scan": lambda: pair.do(scan, str(path), stored.rows_per_read)}
        for family in COMPONENTS:
            pair.do(compute, family)
            sides[f"{family} in memory"] = lambda f=family: pair.do(compute, f).times(scale)
            sides[f"{family} pass"] = lambda f=family: driver.pass_over_all(f)
        took = _alternate(sides, budget)
        kept = N_THREADS * driver.plan["kept"] / (stored.n_rows * N_FEATURES * 4)
    for family in COMPONENTS:
        _tell(results, family, _line(stored, kept_share), took, min(kept, 1.0))
    is_limited = kept_share is None
    results.measured(
        "disk, peak of the process tree",
        _line(stored, kept_share),
        driver.peak / 1e9,
        "GB",
        goal=PEAK_GOAL / 1e9 if is_limited else None,
        at_least=False,
        note=f"resident bytes summed; {N_THREADS} workers of {limit / 1e9:.2f} GB",
    )


def _alternate(sides: dict[str, Callable[[], Took]], budget: float) -> dict[str, list[Took]]:
    """Every side once a round, until the budget is spent; at least twice."""
    took: dict[str, list[Took]] = {name: [] for name in sides}
    begun = time.perf_counter()
    for n_rounds in range(MOST_ROUNDS):
        if n_rounds >= LEAST_ROUNDS and time.perf_counter() - begun > budget:
            break
        for name, side in sides.items():
            took[name].append(side())
    return took


def _tell(
    results: Results, family: str, line: str, took: dict[str, list[Took]], kept: float
) -> None:
    """The ratio of the goal, by the clock, and the same of the processors' seconds."""
    names = (f"{family} pass", f"{family} in memory", "scan")
    for clock in ("wall", "cpu"):
        seconds = [[getattr(t, clock) for t in took[name]] for name in names]
        ratio = median(whole / (a + b) for whole, a, b in zip(*seconds, strict=True))
        whole, in_memory, scanned = (median(s) for s in seconds)
        results.measured(
            f"disk, {family} ({N_FEATURES}, {COMPONENTS[family]})",
            line if clock == "wall" else f"{line}, processor time",
            ratio,
            "×",
            goal=RATIO_GOAL if clock == "wall" else None,
            at_least=False,
            note=f"pass {whole:.2f} s, in memory {in_memory:.2f}, scan {scanned:.2f}; "
            f"{kept:.0%} of the rows cached, {len(seconds[0])} rounds",
        )


def _line(stored: Stored, kept_share: float | None) -> str:
    return stored.name if kept_share is None else f"{stored.name}, memory for {kept_share:.0%}"


def _limit_that_keeps(share: float, stored: Stored, path: Path) -> int:
    """A worker's memory limit at which it keeps its part of this share of the rows."""
    wanted = share * stored.n_rows * N_FEATURES * 4 / N_THREADS
    task = plan_job(load_job(job_file(path, LIMIT))).task_bytes
    return int(max((wanted + task) / SHARE, (wanted + task + WORKER_BASE) / PROCESS_SHARE)) + 1


def job_file(path: Path, limit: int, **model: object) -> Path:
    """A job over the array on two workers of one thread."""
    job = {
        "data": {"path": str(path)},
        "model": {"n_components": 32, "covariance_type": "full"} | model,
        "cluster": {"kind": "local", "n_workers": N_THREADS, "memory_limit": limit},
        "output": {"path": f"{path}.run"},
    }
    file = path.with_suffix(".yaml")
    file.write_text(json.dumps(job), encoding="utf-8")  # JSON is YAML
    return file


def whole_run(results: Results, stored: Stored, path: Path) -> None:
    """Peak of `dgmm run` from its first process to its last: summary, EM, outputs, report."""
    file = job_file(path, LIMIT, n_components=4, covariance_type="diag", max_iter=2)
    begun = time.perf_counter()
    command = Watched(["-m", "dgmm", "run", str(file)], path.parent)
    try:
        command.wait()
    finally:
        shutil.rmtree(f"{path}.run", ignore_errors=True)
    results.measured(
        "disk, peak of the process tree",
        f"{stored.name}, dgmm run",
        command.peak / 1e9,
        "GB",
        goal=PEAK_GOAL / 1e9,
        at_least=False,
        note=f"diag, k = 4, two iterations, outputs, report; {time.perf_counter() - begun:.0f} s",
    )
