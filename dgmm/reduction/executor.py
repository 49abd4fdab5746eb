"""One protocol for every place where tasks run: threads of this process, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from dgmm.reduction.blocks import BlockRange

T = TypeVar("T")


class Executor(Protocol):
    """Runs tasks somewhere; results come in any order, each range of blocks once."""

    @property
    def n_threads(self) -> int:
        """How many tasks can run at the same time."""

    def environment(self) -> dict[str, Any]:
        """`driver` (a report), `workers` (groups of equal reports) and `mixed`, for run.json."""

    def run(
        self, task: Callable[[BlockRange], T], ranges: Sequence[BlockRange], *, align: int = 1
    ) -> Iterator[tuple[BlockRange, T]]:
        """Yield (range, task(range)) as they complete; an exception of a task is raised here.

        A range that ends its workers may be cut at multiples of `align` blocks, and its parts
        yielded in its place.
        """


class OpenExecutor(Executor, Protocol):
    """What `open_executor` gives: an executor that also reports where it runs."""

    @property
    def dashboard(self) -> str | None:
        """Address of a page that shows progress; None where no page would be served."""

    @property
    def task_memory_limit(self) -> int | None:
        """Bytes one worker may use; None where nothing limits it."""

    @property
    def pause_share(self) -> float | None:
        """Share of that limit above which a worker is given nothing more to do; None: no such."""

    @property
    def threads_per_worker(self) -> int:
        """Most tasks that run at the same time in one process."""

    @property
    def warnings(self) -> list[str]:
        """One sentence for each way in which driver and workers differ."""

    def close(self) -> None:
        """Stop what was started; further runs are refused."""
