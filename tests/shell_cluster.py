"""Dask clusters that somebody else started, as from a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Where workers find the functions that tests send them.
_TESTS = Path(__file__).parent
PLACES = os.pathsep.join(str(folder) for folder in (_TESTS.parent, _TESTS, _TESTS / "execution"))


@contextmanager
def started(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """A `dask ...` process, stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env=os.environ | {"PYTHONPATH": PLACES} | dict(environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Scheduler:
    """Where a scheduler started from a shell can be found."""

    file: Path

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text())["address"])

    def worker(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> AbstractContextManager[None]:
        """A context in which a worker process runs."""
        folder = str(self.file.parent)
        common = ("--nthreads", "1", "--no-dashboard", "--local-directory", folder)
        return started("worker", self.address, *common, *arguments, environment=environment)


@contextmanager
def scheduler(folder: Path) -> Iterator[Scheduler]:
    file = folder / "scheduler.json"
    options = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
    with started("scheduler", *options, "--scheduler-file", str(file)):
        deadline = time.monotonic() + 60
        while not (file.exists() and file.read_text().rstrip().endswith("}")):
            assert time.monotonic() < deadline, "dask scheduler did not start"
            time.sleep(0.05)
        yield Scheduler(file)
