"""What many tests share: one small cluster for all that do not break it."""

from __future__ import annotations

import compileall
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import dgmm
from dgmm.execution.dask_cluster import DaskExecutor, local_cluster


@pytest.fixture(scope="session")
def dask_executor() -> Iterator[DaskExecutor]:
    """Two worker processes, for every test that leaves them as they are."""
    with local_cluster(2) as executor:
        yield executor


@pytest.fixture(scope="session", autouse=True)
def _heed_interrupts() -> None:
    """A shell lets commands in the background ignore Ctrl-C, which tests send."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _bytecode_for_processes() -> None:
    """Containers often set PYTHONDONTWRITEBYTECODE, and each process then compiles all of dgmm.

    With bytecode a run of `dgmm run` on two worker processes takes 27 % less CPU time. Where it is
    absent or its source is newer, as where nothing can be written, Python compiles as before.
    """
    compileall.compile_dir(Path(dgmm.__file__).parent, quiet=2)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """`os.fsync` of this process checks its descriptor and returns: a run waits 70 times for 3 ms.

    Only a failure of the whole machine shows whether rows have reached the disk. What is flushed,
    and what an error of it does, is tested with calls in its place (tests/storage, tests/job/
    test_storage.py); processes that tests start, and kill, call the real one.
    """

    def checked(descriptor: int) -> None:
        os.fstat(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", checked)
        yield
