"""`dgmm plan`: what a job will read, hold and write, before anything is started."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from dgmm.config import Job
from dgmm.covariance import family_named
from dgmm.criteria import n_parameters
from dgmm.data.blocks import BlockGrid
from dgmm.data.zarr_dataset import ZarrDataset
from dgmm.errors import JobFileError
from dgmm.execution.machine import available_memory, free_memory
from dgmm.execution.threads import available_cpus
from dgmm.initialisation import METHODS_OVER_ALL_ROWS
from dgmm.initialisation.kmeans_parallel import EXPECTED_CANDIDATES, N_READS
from dgmm.job.stages import open_data, product_names
from dgmm.memory import (
    DRIVER_BASE,
    MIB,
    SHARE,
    WORKER_BASE,
    Term,
    Work,
    driver_terms,
    kept_rows_term,
    task_terms,
    tasks_of_a_pass,
)
from dgmm.model import MixtureModel
from dgmm.model_files import load_model
from dgmm.outputs import chunk_blocks, responsibilities_chunk_rows
from dgmm.rehearsal import n_sample_starts
from dgmm.row_scores import LAYOUT
from dgmm.survey import FitSettings, sample_rows


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and memory of a job; its text is the table that `dgmm plan` prints.

    Attributes
    ----------
    shape, dtype
        Of the data.
    n_workers, threads_per_worker
        Worker processes (0: threads of this process) and threads in each.
    task, driver
        Memory terms of one task and of the driver.
    memory_limit
        Bytes of one worker, or of this process with threads; None for a cluster not asked yet.
    keep_limit
        The same for the purpose of keeping rows between passes: no more than a share of what is
        free, where nobody said how much memory the job may use.
    output_bytes
        Bytes of all output arrays before compression.
    n_passes
        Reads of all rows at most: the summary, EM, the last walk.
    """

    shape: tuple[int, int]
    dtype: str
    n_blocks: int
    n_workers: int
    threads_per_worker: int
    task: tuple[Term, ...]
    driver: tuple[Term, ...]
    memory_limit: int | None
    keep_limit: int | None
    output_bytes: int
    n_passes: int

    @property
    def pass_bytes(self) -> int:
        """Bytes of all rows."""
        return self.shape[0] * self.shape[1] * np.dtype(self.dtype).itemsize

    @property
    def task_bytes(self) -> int:
        """What the tasks of one worker hold at once."""
        return self.threads_per_worker * sum(t.n_bytes for t in self.task)

    @property
    def kept_rows(self) -> Term:
        """What each process that reads keeps of the rows between passes; nothing for one pass."""
        own = 0 if self.n_workers else sum(t.n_bytes for t in self.driver)
        return kept_rows_term(
            limit=(self.keep_limit or 0) if self.n_passes > 1 else 0,
            n_bytes_held=self.task_bytes + own,
            base=WORKER_BASE if self.n_workers else DRIVER_BASE,
            data_bytes=self.pass_bytes,
        )

    @property
    def worker_bytes(self) -> int:
        """One worker process."""
        if not self.n_workers:
            return 0
        return WORKER_BASE + self.task_bytes + self.kept_rows.n_bytes

    @property
    def driver_bytes(self) -> int:
        """The driver process, with its tasks where it runs them itself."""
        own = 0 if self.n_workers else self.task_bytes + self.kept_rows.n_bytes
        return DRIVER_BASE + own + sum(t.n_bytes for t in self.driver)

    @property
    def total_bytes(self) -> int:
        """Driver and all workers."""
        return self.driver_bytes + self.n_workers * self.worker_bytes

    @property
    def fits(self) -> bool:
        """Whether a worker's tasks stay within half of its limit, and the driver in the machine."""
        limit = float("inf") if self.memory_limit is None else SHARE * self.memory_limit
        return self.task_bytes <= limit and self.driver_bytes <= available_memory()

    def found(self, memory_limit: int | None, threads_per_worker: int) -> Plan:
        """The plan for workers as they are, where they are somebody else's and known only now."""
        if self.memory_limit is not None:
            return self
        return replace(
            self,
            memory_limit=memory_limit,
            keep_limit=memory_limit,
            threads_per_worker=threads_per_worker,
        )

    def check(self, memory_limit: int | None) -> None:
        """Refuse a job that does not fit, once a worker's limit is known (None: no limit).

        Raises
        ------
        JobFileError
            With the plan.
        """
        known = replace(self, memory_limit=memory_limit)
        if not known.fits:
            raise JobFileError(f"the job does not fit into memory:\n{known}")

    def __str__(self) -> str:
        """The table, in MiB."""
        n, d = self.shape
        lines = [f"data      {n:,} rows x {d} features, {self.dtype}, {self.n_blocks:,} blocks"]
        lines.append(
            f"reads     {self.pass_bytes / MIB:,.0f} MiB a pass before compression, "
            f"{self.n_passes:,} passes at most"
        )
        where = f"{self.n_workers} workers of" if self.n_workers else "this process with"
        lines.append(f"compute   {where} {self.threads_per_worker} threads")
        lines.append("memory    MiB")
        if self.n_workers:
            lines += _table("one worker", WORKER_BASE, self.task, self.threads_per_worker)
            lines.append(_line(self.kept_rows, 1))
            lines.append(f"  {'sum':<38}{self.worker_bytes / MIB:>10,.0f}")
        own = () if self.n_workers else self.task
        lines += _table("driver", DRIVER_BASE, own, self.threads_per_worker)
        lines += [] if self.n_workers else [_line(self.kept_rows, 1)]
        lines += [_line(t, 1) for t in self.driver]
        lines.append(f"  {'sum':<38}{self.driver_bytes / MIB:>10,.0f}")
        lines.append(f"  {'all processes together':<38}{self.total_bytes / MIB:>10,.0f}")
        limit = "the limit that workers have"
        if self.memory_limit is not None:
            limit = f"{self.memory_limit / MIB:,.0f}"
        share = f"tasks may take {SHARE:.0%} of {limit}"
        verdict = "fits" if self.fits else "does NOT fit: lower n_components, or raise memory_limit"
        lines.append(f"  {share}: {verdict}")
        lines.append(f"outputs   {self.output_bytes / MIB:,.0f} MiB before compression")
        return "\n".join(lines)


def _table(title: str, base: int, terms: tuple[Term, ...], times: int) -> list[str]:
    first = Term("interpreter and libraries", base, "measured")
    return [f"  {title}", _line(first, 1), *(_line(t, times) for t in terms)]


def _line(term: Term, times: int) -> str:
    factor = f"{times} x " if times > 1 else ""
    size = f"{times * term.n_bytes / MIB:>10,.1f}"
    return f"    {term.name:<36}{size}   {factor}{term.formula}"


def plan_job(job: Job) -> Plan:
    """Reckon a job from its file and the metadata of its data."""
    model = None if job.model.path is None else load_model(job.model.path)
    return plan_for(job, open_data(job), model)


def plan_for(job: Job, dataset: ZarrDataset, model: MixtureModel | None = None) -> Plan:
    """Reckon a job whose data are open."""
    n_workers, threads = _places(job)
    work = _work(job, dataset, model, max(n_workers, 1) * threads)
    driver = driver_terms(
        work,
        hierarchical=job.initialisation.method == "hierarchical",
        report=job.output.report is not False,
    )
    names = product_names(job, anomaly=job.output.anomaly_quantile is not None)
    row_bytes = sum(_row_bytes(name, work.n_components) for name in names)
    return Plan(
        shape=(dataset.n_samples, dataset.n_features),
        dtype=str(dataset.dtype),
        n_blocks=dataset.grid.n_blocks,
        n_workers=n_workers,
        threads_per_worker=threads,
        task=tuple(task_terms(work)),
        driver=tuple(driver),
        memory_limit=_memory_limit(job, n_workers),
        keep_limit=_keep_limit(job, n_workers),
        output_bytes=row_bytes * dataset.n_samples,
        n_passes=1 if model is not None else job.model.max_iter + 2 + _reads_of_start(job),
    )


def _places(job: Job) -> tuple[int, int]:
    """Workers (0: this process) and threads in each."""
    c = job.cluster
    count = available_cpus() if c.n_workers == "auto" else int(c.n_workers)
    if c.address is None and c.scheduler_file is None and c.kind == "threads":
        return 0, count
    return count, c.threads_per_worker


def _memory_limit(job: Job, n_workers: int) -> int | None:
    """Bytes of one worker; None where somebody else's cluster decides."""
    c = job.cluster
    if c.address is not None or c.scheduler_file is not None:
        return None
    if c.memory_limit == "auto":
        return available_memory() // max(n_workers, 1)
    return int(c.memory_limit)


def _keep_limit(job: Job, n_workers: int) -> int | None:
    """The memory limit, cut by what is free where it is the machine's own."""
    limit = _memory_limit(job, n_workers)
    if limit is None:
        return None
    if job.cluster.memory_limit != "auto":
        return min(limit, available_memory() // max(n_workers, 1))
    return min(limit, free_memory() // max(n_workers, 1))


def _work(job: Job, dataset: ZarrDataset, model: MixtureModel | None, n_threads: int) -> Work:
    m = job.model
    k = model.n_components if model is not None else m.n_components or 1
    name = model.covariance_type if model is not None else m.covariance_type
    settings = _sizes(job, k)
    rows = 0 if model is not None else sample_rows(settings, dataset.n_features)
    grid = dataset.grid
    per_row = sum(_row_bytes(name, 1) for name in LAYOUT if name != "responsibilities")
    chunk = chunk_blocks(grid) * grid.rows_per_block * per_row
    if job.output.responsibilities:
        block = grid.rows_per_block * k * 4
        chunk += block + responsibilities_chunk_rows(grid, k) * k * 4
    return Work(
        grid=grid,
        itemsize=dataset.dtype.itemsize,
        band_bytes=dataset.read_bytes,
        family=family_named(name),
        n_components=k,
        n_candidates=1 if model is not None else m.n_init,
        n_tasks=tasks_of_a_pass(n_threads, grid),
        sample_rows=min(rows, dataset.n_samples),
        output_chunk_bytes=chunk,
        start_candidates=_most(EXPECTED_CANDIDATES * k) if _reads_of_start(job) else 0,
        n_rehearsed=0 if model is not None else _n_rehearsed(settings, grid, rows),
        n_threads_here=n_threads if job.cluster.kind == "threads" else available_cpus(),
    )


def _sizes(job: Job, k: int) -> FitSettings:
    """What sizes follow from, of all that is asked for."""
    m, start = job.model, job.initialisation
    return FitSettings(
        k,
        m.covariance_type,
        max_iter=m.max_iter,
        n_init=m.n_init,
        method=start.method,
        sample_rows=None if start.sample_rows == "auto" else int(start.sample_rows),
        sample_starts=None if start.sample_starts == "auto" else int(start.sample_starts),
    )


def _n_rehearsed(settings: FitSettings, grid: BlockGrid, n_sampled: int) -> int:
    """Starts of all restarts that EM is rehearsed from."""
    family = family_named(settings.covariance_type)
    n_free = n_parameters(family, settings.n_components, grid.n_features)
    m = min(n_sampled, grid.n_samples)
    return settings.n_init * n_sample_starts(settings, grid.n_samples, m, n_free)


def _most(expected: int) -> int:
    """What a sum of independent draws with that mean stays below, by five standard deviations."""
    return expected + 5 * math.isqrt(expected) + 6


def _reads_of_start(job: Job) -> int:
    """Reads of all rows before EM, beside the summary's."""
    over_all = job.command == "run" and job.initialisation.method in METHODS_OVER_ALL_ROWS
    return N_READS if over_all else 0


def _row_bytes(name: str, k: int) -> int:
    """Bytes of one row of an output array."""
    return np.dtype(LAYOUT[name][0]).itemsize * (k if name == "responsibilities" else 1)
