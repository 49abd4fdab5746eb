"""The sizes and memory of a job, and whether they fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dgmm.data.cache_budget import DRIVER_BASE, PAUSE_SHARE, cache_budget
from dgmm.job.memory_plan import (
    TERMINATE_SHARE,
    WORKER_BASE,
    Term,
    cached_rows_term,
)
from dgmm.job.preparing_plan import Preparation
from dgmm.runtime.machine import available_memory


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and memory of a job; `plan_table` is its text.

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
    cache_limit
        The same for the purpose of caching rows between passes: no more than a share of what is
        free, where nobody said how much memory the job may use.
    output_bytes
        Bytes of all output arrays before compression.
    n_passes
        Reads of all rows at most: the summary, EM, the scoring pass.
    pause_share
        The share of its limit at which Dask pauses a worker; None where it never does.
    is_elsewhere
        Whether the workers are those of a cluster that runs already.
    preparation
        What preparing a source's rows takes; None where rows are read in place.
    missing
        What is known of missing values that are marginalised over, in words; empty where none are.
    has_fewer_features
        Whether there may be fewer features than `shape` has: `pca` with a share of the variance.
    models, n_groups
        Of a job of several models what is said of them, line by line, and in how many groups they
        are fitted; the models of a group share every pass.
    inference
        What is maximised, in words; empty where it is the likelihood.
    monitor
        What a model of an earlier run is read against, in words; empty where none is.
    comparison
        What comparing methods takes, in words; empty where none are.
    classes
        Of a job that classifies how many classes are counted, in words; empty for others.
    kind, why
        The `cluster.kind` that it runs on, None on a cluster that runs already; and why it is this
        one where the job has `auto`, else empty.
    """

    shape: tuple[int, int]
    dtype: str
    n_blocks: int
    n_workers: int
    threads_per_worker: int
    task: tuple[Term, ...]
    driver: tuple[Term, ...]
    memory_limit: int | None
    cache_limit: int | None
    output_bytes: int
    n_passes: int
    pause_share: float | None = PAUSE_SHARE
    is_elsewhere: bool = False
    preparation: Preparation | None = None
    missing: str = ""
    has_fewer_features: bool = False
    models: tuple[str, ...] = ()
    n_groups: int = 1
    inference: str = ""
    monitor: str = ""
    comparison: str = ""
    classes: str = ""
    kind: str | None = None
    why: str = ""

    @property
    def n_places(self) -> int:
        """What `cluster.n_workers` counts: worker processes, or threads of this process."""
        return self.n_workers or self.threads_per_worker

    @property
    def pass_bytes(self) -> int:
        """Bytes of all rows."""
        return self.shape[0] * self.shape[1] * np.dtype(self.dtype).itemsize

    @property
    def task_bytes(self) -> int:
        """What the tasks of one worker hold at once: of preparing, or of a pass."""
        of_pass = sum(t.n_bytes for t in self.task)
        return self.threads_per_worker * max(of_pass, self._preparing_bytes)

    @property
    def _preparing_bytes(self) -> int:
        """What one task of preparing holds."""
        return 0 if self.preparation is None else sum(t.n_bytes for t in self.preparation.task)

    @property
    def cache_budget(self) -> int:
        """Bytes of rows that each process that reads may cache between passes; 0 for one pass."""
        own = 0 if self.n_workers else sum(t.n_bytes for t in self.driver)
        return cache_budget(
            limit=(self.cache_limit or 0) if self.n_passes > 1 else 0,
            n_bytes_held=self.task_bytes + own,
            base=WORKER_BASE if self.n_workers else DRIVER_BASE,
            usable_share=self.usable_share,
        )

    @property
    def cached_rows(self) -> Term:
        """Rows that each process that reads caches between passes."""
        return cached_rows_term(self.cache_budget, self.pass_bytes)

    @property
    def worker_bytes(self) -> int:
        """One worker process."""
        if not self.n_workers:
            return 0
        return WORKER_BASE + self.task_bytes + self.cached_rows.n_bytes

    @property
    def driver_bytes(self) -> int:
        """The driver process, with its tasks where it runs them itself."""
        own = 0 if self.n_workers else self.task_bytes + self.cached_rows.n_bytes
        return DRIVER_BASE + own + sum(t.n_bytes for t in self.driver)

    @property
    def total_bytes(self) -> int:
        """Driver and all workers."""
        return self.driver_bytes + self.n_workers * self.worker_bytes

    @property
    def usable_share(self) -> float:
        """The share of its limit that a process may use before Dask pauses or ends it."""
        if not self.n_workers:
            return 1.0
        return self.pause_share or TERMINATE_SHARE

    @property
    def usable_bytes(self) -> float:
        """The same in bytes; infinite where there is no limit."""
        return float("inf") if self.memory_limit is None else self.usable_share * self.memory_limit

    @property
    def needed_bytes(self) -> int:
        """What the process that runs tasks needs at most, before it caches any rows."""
        if self.n_workers:
            return WORKER_BASE + self.task_bytes
        return DRIVER_BASE + self.task_bytes + sum(t.n_bytes for t in self.driver)

    @property
    def least_total_bytes(self) -> int:
        """What all processes on this machine need at most, before any caches rows."""
        own = 0 if self.is_elsewhere else self.n_workers * self.needed_bytes
        driver = self.driver_bytes if self.n_workers else self.needed_bytes
        return driver + own

    @property
    def machine_bytes(self) -> int:
        """Memory of this machine, or of the container."""
        return available_memory()

    @property
    def fits_its_limit(self) -> bool:
        """Whether libraries, tasks and cached rows stay below what pauses a worker."""
        return self.needed_bytes + self.cached_rows.n_bytes <= self.usable_bytes

    @property
    def fits_the_machine(self) -> bool:
        """Whether all processes on this machine fit into it."""
        return self.least_total_bytes <= self.machine_bytes

    @property
    def fits(self) -> bool:
        """Whether the job can run as planned."""
        return self.fits_its_limit and self.fits_the_machine

    def found(
        self, memory_limit: int | None, threads_per_worker: int, pause_share: float | None = None
    ) -> Plan:
        """The plan for workers as they are, where they are somebody else's and known only now."""
        if not self.is_elsewhere:
            return self
        return replace(
            self,
            memory_limit=memory_limit,
            cache_limit=memory_limit,
            threads_per_worker=threads_per_worker,
            pause_share=pause_share,
        )
