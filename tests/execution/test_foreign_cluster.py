"""Clusters that somebody else started, as from a shell."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from distributed import Client
from reduction_examples import Leaves, awkward_values, plain_tree
from shell_cluster import Scheduler, scheduler

from dgmm.errors import UnavailableError, UsageError
from dgmm.execution import ClusterSettings, open_executor
from dgmm.execution.dask_cluster import existing_cluster
from dgmm.execution.scheduler_address import read_address
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import map_reduce, split_ranges

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    with ExitStack() as stack:
        found = stack.enter_context(scheduler(tmp_path_factory.mktemp("dask")))
        for name in ("first", "second"):
            stack.enter_context(found.worker("--name", name))
        yield found


def wait_for_threads(executor: object, n_threads: int) -> None:
    deadline = time.monotonic() + 60
    while executor.n_threads != n_threads:  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def blas_threads(blocks: BlockRange) -> list[int]:
    from dgmm.runtime.blas_threads import blas_report

    return [library["num_threads"] for library in blas_report()]


@pytest.mark.parametrize("by", ["address", "scheduler_file"])
def test_a_cluster_from_a_shell_gives_the_same_bits(two_workers: Scheduler, by: str) -> None:
    values = awkward_values(64)
    where = {"address": two_workers.address, "scheduler_file": str(two_workers.file)}[by]
    with open_executor(ClusterSettings(**{by: where})) as executor:
        wait_for_threads(executor, 2)
        total = map_reduce(executor, Leaves(values), 64)
        threads = [found for _, found in executor.run(blas_threads, split_ranges(4, 4))]
        report = executor.environment()
        assert executor.dashboard is None or "127.0.0.1" in executor.dashboard
    assert total.value.hex() == plain_tree(values).hex()
    assert {count for counts in threads for count in counts} == {1}
    assert sorted(name for group in report["workers"] for name in group["workers"]) == [
        "first",
        "second",
    ]


def test_a_clusters_workers_get_their_blas_threads_back(tmp_path: Path) -> None:
    two = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    with scheduler(tmp_path) as found, found.worker("--no-nanny", environment=two):
        from distributed import Client

        with existing_cluster(found.address) as executor:
            inside = [counts for _, counts in executor.run(blas_threads, split_ranges(2, 2))]
        with Client(found.address, set_as_default=False) as client:
            (after,) = client.run(blas_threads, None).values()
    assert {count for counts in inside for count in counts} == {1}
    assert after == [2] * len(after)


WITHOUT_DGMM = """
import sys
class NoDgmm:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dgmm":
            raise ModuleNotFoundError("No module named 'dgmm'", name="dgmm")
sys.meta_path.insert(0, NoDgmm())
"""
WITHOUT_NUMBA = """
from importlib import metadata
version = metadata.version
def without(name):
    if name == "numba":
        raise metadata.PackageNotFoundError(name)
    return version(name)
metadata.version = without
"""
ANOTHER_DGMM = """
import sys, types
sys.modules["dgmm"] = module = types.ModuleType("dgmm")
module.__version__ = "0.0.1"
module.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("dgmm", None)
"""


@pytest.fixture
def start_up_folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder for PYTHONPATH whose sitecustomize spoils dgmm."""
    folder = tmp_path / "spoilt"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(request.param)
    return folder


@pytest.mark.parametrize(
    ("start_up_folder", "reason"),
    [
        (WITHOUT_DGMM, "dgmm is not installed on tcp://"),
        (ANOTHER_DGMM, r"dgmm 0\.0\.1 instead of "),
    ],
    ids=["absent", "another version"],
    indirect=["start_up_folder"],
)
def test_workers_that_cannot_run_this_dgmm_are_refused_in_one_sentence(
    tmp_path: Path, start_up_folder: Path, reason: str
) -> None:
    spoilt = {"PYTHONPATH": str(start_up_folder)}
    with (
        scheduler(tmp_path) as found,
        found.worker("--no-nanny", environment=spoilt),
        pytest.raises(UnavailableError, match=reason) as caught,
    ):
        existing_cluster(found.address, wait_workers_s=60)
    assert caught.value.exit_code == 69
    assert "pip install dgmm==" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("start_up_folder", "reason"),
    [
        (WITHOUT_DGMM, "dgmm is not installed"),
        (WITHOUT_NUMBA, "it computes with NumPy alone instead of Numba"),
    ],
    ids=["dgmm", "numba"],
    indirect=["start_up_folder"],
)
def test_a_worker_without_what_the_others_have_that_joins_later_is_left_alone_and_named(
    tmp_path: Path, start_up_folder: Path, reason: str
) -> None:
    values = awkward_values(20)
    spoilt = {"PYTHONPATH": str(start_up_folder)}
    with ExitStack() as stack:
        found = stack.enter_context(scheduler(tmp_path))
        stack.enter_context(found.worker("--no-nanny"))
        executor = stack.enter_context(existing_cluster(found.address))
        stack.enter_context(found.worker("--no-nanny", environment=spoilt))
        deadline = time.monotonic() + 60
        while not executor.warnings:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        total = map_reduce(executor, Leaves(values), 20)
        assert executor.n_threads == 1
        assert f"was given no tasks: {reason}" in executor.warnings[0]
    assert total.value.hex() == plain_tree(values).hex()


def test_a_scheduler_that_goes_is_unavailable_not_a_traceback_of_dask(tmp_path: Path) -> None:
    with ExitStack() as stack:
        processes = stack.enter_context(ExitStack())
        found = processes.enter_context(scheduler(tmp_path))
        processes.enter_context(found.worker("--no-nanny"))
        executor = stack.enter_context(existing_cluster(found.address))
        results = executor.run(lambda blocks: time.sleep(0.2), split_ranges(50, 50))
        next(results)
        processes.close()
        with pytest.raises(UnavailableError, match=r"scheduler at tcp://.* was lost"):
            list(results)


def test_no_scheduler_at_an_address_is_unavailable() -> None:
    with pytest.raises(
        UnavailableError, match=r"no Dask scheduler answered at tcp://127\.0\.0\.1:9"
    ):
        existing_cluster("tcp://127.0.0.1:9", timeout=1)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x:1", "127.0.0.1:no"])
def test_a_client_that_found_no_scheduler_is_closed_there_and_then(address: str) -> None:
    # Left to the garbage collector it closes itself, at worst inside another client's start: a
    # deadlock in distributed 2026.8.
    with pytest.raises(UnavailableError) as caught:  # its frames refer to the client
        existing_cluster(address, timeout=0.5)
    clients = [c for c in gc.get_objects() if isinstance(c, Client)]
    assert caught.value.__cause__ is not None
    assert all(c.status in {"closed", "running"} for c in clients), [c.status for c in clients]


@pytest.mark.parametrize("address", ["nonsense://x:1", "127.0.0.1:no", "no-such-host.invalid:8786"])
def test_an_address_that_is_none_is_unavailable(address: str) -> None:
    with pytest.raises(UnavailableError, match="no Dask scheduler answered at"):
        existing_cluster(address, timeout=1)


def test_a_missing_scheduler_file_is_waited_for_and_then_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"there is no scheduler file .*missing\.json"):
        existing_cluster(scheduler_file=str(tmp_path / "missing.json"), timeout=0.2)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"tcp://127.0.0.1:8786"'])
def test_a_malformed_scheduler_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(text)
    with pytest.raises(UnavailableError, match=r"scheduler\.json is not a scheduler file"):
        existing_cluster(scheduler_file=str(file), timeout=1)


IRREGULAR = {
    "a FIFO; expected a regular file": os.mkfifo,
    "a character device; expected a regular file": lambda path: path.symlink_to("/dev/zero"),
    "Is a directory": lambda path: path.mkdir(),
    "Too many levels of symbolic links": lambda path: path.symlink_to(path),
    "Not a directory": lambda path: path.parent.joinpath("file").write_text("x"),
    "larger than 16,777,216 bytes": lambda path: path.write_bytes(bytes(2**24 + 1)),
}


@pytest.mark.parametrize("words", IRREGULAR)
def test_what_is_no_file_is_not_waited_for(
    tmp_path: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scheduler.json"
    IRREGULAR[words](path)
    if words == "Not a directory":
        path = tmp_path / "file" / "scheduler.json"
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    with pytest.raises(UnavailableError, match=rf"is not a scheduler file \(.*{words}"):
        read_address(path, timeout=50)


def test_a_scheduler_without_workers_is_unavailable_after_the_wait(tmp_path: Path) -> None:
    with (
        scheduler(tmp_path) as found,
        pytest.raises(UnavailableError, match=r"had no workers for 0\.5 s"),
    ):
        existing_cluster(found.address, wait_workers_s=0.5)


def test_settings_that_name_two_places_are_refused() -> None:
    with pytest.raises(UsageError, match="one of kind, address and scheduler_file"):
        open_executor(ClusterSettings(kind="threads", address="tcp://127.0.0.1:9"))


def test_settings_count_threads_as_workers_times_threads() -> None:
    settings = ClusterSettings(kind="threads", n_workers=2, threads_per_worker=3)
    with open_executor(settings) as executor:
        assert executor.n_threads == 6
