"""Executors on Dask: worker processes started here, or a cluster that somebody else started."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from distributed import Client

from dgmm.errors import UnavailableError
from dgmm.execution.dask_logging import quiet_dask, quiet_version_warnings
from dgmm.execution.dask_pass import DaskPass
from dgmm.execution.local_processes import start_processes
from dgmm.execution.membership import Membership
from dgmm.execution.scheduler_address import exposure, read_address
from dgmm.execution.scheduling.affinity import BlockLocations
from dgmm.execution.scheduling.balance import Balance
from dgmm.execution.threads import available_cpus
from dgmm.execution.versions import require_scheduler
from dgmm.reduction.blocks import BlockRange
from dgmm.runtime.blas_threads import single_blas_thread
from dgmm.runtime.environment import compare_environments, group_reports, process_environment
from dgmm.runtime.machine import available_memory

T = TypeVar("T")
#: Seconds between two messages to the scheduler. Dask waits 10 ms, which is for drivers that submit
#: thousands of tasks; a pass has a few, and the first would wait for the last one's release.
_SEND_S = 0.001


class DaskExecutor:
    """Runs tasks on the workers of a Dask cluster; made by `local_cluster` and `existing_cluster`.

    A context manager. While it is open, BLAS has one thread in the driver and in every worker.
    """

    def __init__(
        self,
        client: Any,
        members: Membership,
        resources: ExitStack,
        dashboard: str | None,
        notice: str | None = None,
    ) -> None:
        self._client = client
        self._members = members
        self._resources = resources
        self._driver = process_environment()
        self._dashboard = dashboard
        self._notices = [] if notice is None else [notice]
        #: By number of blocks: passes over other data sets are apart.
        self._locations: dict[int, BlockLocations] = {}

    @property
    def n_threads(self) -> int:
        """How many tasks can run at the same time; changes as workers join and leave."""
        return max(1, self._members.ready_threads())

    @property
    def dashboard(self) -> str | None:
        """Address of Dask's dashboard; None where it could not serve a page (no Bokeh)."""
        return self._dashboard

    @property
    def task_memory_limit(self) -> int | None:
        """The smallest memory limit of any worker, in bytes; None where none has one."""
        return min(self._members.memory_limits(), default=None)

    @property
    def pause_share(self) -> float | None:
        """The smallest share of its limit at which Dask pauses a worker; None: it never does."""
        return min(self._members.pause_shares(), default=None)

    @property
    def threads_per_worker(self) -> int:
        """Threads of the worker that has most."""
        return max(self._members.threads().values(), default=1)

    @property
    def warnings(self) -> list[str]:
        """One sentence for each way in which workers differ from the driver, or were refused, and
        one where others may reach a scheduler that a file named.
        """
        return [*self._notices, *self._compare()[1], *self._members.warnings]

    def environment(self) -> dict[str, Any]:
        """`driver` (a report), `workers` (groups of equal reports) and `mixed`, for run.json."""
        return {
            "driver": self._driver,
            "workers": group_reports(self._members.environments()),
            "mixed": self._compare()[0],
        }

    def _compare(self) -> tuple[bool, list[str]]:
        return compare_environments(self._driver, self._members.environments())

    def run(
        self, task: Callable[[BlockRange], T], ranges: Sequence[BlockRange], *, align: int = 1
    ) -> Generator[tuple[BlockRange, T], None, None]:
        """Yield (range, task(range)) as they complete, each block once though workers die.

        A range that ends its workers again and again is cut at multiples of `align` blocks.

        Raises
        ------
        UnavailableError
            If the scheduler is lost or no worker is there for `wait_workers_s`.
        DgmmError
            If blocks end their workers again and again; they are named.
        """
        n_blocks = max((blocks.stop for blocks in ranges), default=0)
        locations = self._locations.setdefault(n_blocks, BlockLocations())
        balance = Balance(ranges, locations, align=align)
        dask_pass = DaskPass(self._client, self._members, task, balance)
        with closing(dask_pass.results()) as results:
            yield from results

    def close(self) -> None:
        """Disconnect, and stop what was started here."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def local_cluster(
    n_workers: int | None = None,
    threads_per_worker: int = 1,
    memory_limit: int | Literal["auto"] | None = "auto",
    *,
    wait_workers_s: float = 60.0,
) -> DaskExecutor:
    """Start worker processes on this machine, reachable from it alone.

    Parameters
    ----------
    n_workers : int, optional
        Worker processes; by default one for each CPU this process may use.
    threads_per_worker : int
        Tasks at a time in one worker.
    memory_limit : int, "auto" or None
        Of one worker: bytes, an equal share of the machine, or no limit.
    wait_workers_s : float
        Seconds to wait for workers, at the start and when all have gone.

    Raises
    ------
    UnavailableError
        If the processes do not start.
    """
    n_workers = n_workers or max(1, available_cpus() // threads_per_worker)
    limit = _bytes_per_worker(memory_limit, n_workers)
    with ExitStack() as resources:
        started = start_processes(n_workers, threads_per_worker, limit, resources)
        return _open(
            started.client, resources, wait_workers_s, n_workers, started.dashboard, started.notice
        )


def _bytes_per_worker(memory_limit: int | Literal["auto"] | None, n_workers: int) -> int | None:
    if memory_limit is None:
        return None
    return available_memory() // n_workers if memory_limit == "auto" else memory_limit


def existing_cluster(
    address: str | None = None,
    scheduler_file: str | None = None,
    *,
    timeout: float = 10.0,
    wait_workers_s: float = 60.0,
) -> DaskExecutor:
    """Connect to a running Dask cluster; its workers are left as they were found.

    Parameters
    ----------
    address : str, optional
        Of the scheduler, such as "tcp://10.0.0.1:8786".
    scheduler_file : str, optional
        What `dask scheduler --scheduler-file` wrote; used where no address is given.
    timeout : float
        Seconds to wait for the file and for the connection.
    wait_workers_s : float
        Seconds to wait for workers, at the start and when all have gone.

    Raises
    ------
    UnavailableError
        If no scheduler answers, no worker comes, or a worker cannot run this version of dgmm.
    """
    notice = None
    if address is None:
        address = read_address(Path(scheduler_file or ""), timeout)
        notice = exposure(address)  # of an address that was given, whoever reads the job warns
    with ExitStack() as resources:
        resources.enter_context(quiet_dask())
        client = resources.enter_context(closing(_connect(address, timeout)))
        require_scheduler(client)
        return _open(client, resources, wait_workers_s, 1, _foreign_dashboard(client), notice)


def _connect(address: str, timeout: float) -> Any:
    # A client whose constructor fails stays half open and closes itself when it is collected; in
    # the middle of another client's start that waits for a lock for ever. So it is ours from the
    # first moment, and closed here.
    client = Client.__new__(Client)
    try:
        with quiet_version_warnings():
            client.__init__(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError) as error:
        _discard(client)
        raise UnavailableError(
            f"no Dask scheduler answered at {address} within {timeout:g} s ({error}); see whether "
            "it runs, and whether address and port can be reached from here"
        ) from error
    return client


def _discard(client: Any) -> None:
    """Close a client that never connected, and leave nothing for the garbage collector to do."""
    with suppress(Exception):  # whatever state it is in
        client.close(timeout=1)
    with suppress(Exception):
        if client.status != "closed":
            client.status = "closed"
            client._loop_runner.stop()  # noqa: SLF001 - close() does it only where it succeeds


def _foreign_dashboard(client: Any) -> str | None:
    """The dashboard of a scheduler whose environment has Bokeh; without it the page is a notice."""
    probe = "__import__('importlib.util').util.find_spec('bokeh') is not None"
    with suppress(Exception):  # a locked-down scheduler may refuse: then there is no address
        if client.run_on_scheduler(eval, probe):
            return str(client.dashboard_link)
    return None


def _open(
    client: Any,
    resources: ExitStack,
    wait_workers_s: float,
    expected_workers: int,
    dashboard: str | None,
    notice: str | None = None,
) -> DaskExecutor:
    """Check the workers and set them up; the executor takes over what there is to close."""
    members = Membership(client, wait_workers_s)
    resources.callback(members.close)
    members.open(expected_workers)
    with suppress(AttributeError):  # an attribute that is not documented
        client.scheduler_comm.interval = _SEND_S
    resources.enter_context(single_blas_thread())
    return DaskExecutor(client, members, resources.pop_all(), dashboard, notice)
