"""A whole job on a cluster whose workers are killed, hang and come back: bit-identical."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from clusters import gaussian_clusters, job, write_zarr

from dgmm.events import SilentListener
from dgmm.execution.scheduling import stragglers
from dgmm.job import run_job
from dgmm.storage.atomic_files import read_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers"),
]
#: 18 blocks of 8192 rows.
N, D = 140_001, 32
MODEL = {"n_components": 8, "max_iter": 25, "tol": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(N, D, 4, spread=1.5)[0].astype(np.float32)
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows, chunks=(10_000, D))


def bits(data: Path, directory: Path, listener: Any, **sections: Any) -> dict[str, Any]:
    wanted = {"output": {"anomaly_quantile": 0.01}, "model": MODEL, "on_not_converged": "ignore"}
    result = run_job(job(data, directory, **wanted, **sections), listener)
    assert result.exit_code == 0
    told = read_json(directory / "run.json")
    model = hashlib.sha256((directory / "model" / "arrays.npz").read_bytes()).hexdigest()
    return {"model": model, **{name: array["sha256"] for name, array in told["outputs"].items()}}


@pytest.fixture(scope="module")
def reference(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return bits(data, tmp_path_factory.mktemp("reference") / "run", SilentListener())


def workers() -> list[psutil.Process]:
    """The worker processes of this process's clusters."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


class Killer(SilentListener):
    """Sends signals to workers while stages and iterations go by."""

    def __init__(self, number: signal.Signals, *, every: bool, at: set[str | int]) -> None:
        self._signal, self._every, self._at = number, every, at
        self.hit: set[str | int] = set()
        self._timers: list[threading.Timer] = []

    def stage(self, name: str, _detail: str) -> None:
        self._arm(name)

    def iteration(self, record: Any) -> None:
        self._arm(record["iteration"])

    def _arm(self, moment: str | int) -> None:
        if moment in self._at - self.hit:
            timer = threading.Timer(0.05, self._strike, (moment,))
            self._timers.append(timer)
            timer.start()

    def _strike(self, moment: str | int) -> None:
        for worker in workers()[: None if self._every else 1]:
            try:
                os.kill(worker.pid, self._signal)
                self.hit.add(moment)
            except ProcessLookupError:
                continue

    def wake(self) -> None:
        for timer in self._timers:
            timer.join()
        for worker in workers():
            os.kill(worker.pid, signal.SIGCONT)


@pytest.mark.parametrize("every", [False, True], ids=["one", "all-at-once"])
def test_workers_killed_in_every_stage_and_again_and_again_change_no_bit(
    tmp_path: Path, data: Path, reference: dict[str, Any], every: bool
) -> None:
    moments: set[str | int] = {"summary", "em", 2, 3, 9, 15, 21, "scoring"}
    killer = Killer(signal.SIGKILL, every=every, at=moments)
    local = {"kind": "local", "n_workers": 2}
    assert bits(data, tmp_path / "run", killer, cluster=local) == reference
    assert killer.hit >= moments - {"scoring"}, "too few workers were killed"


def test_a_worker_that_hangs_in_the_middle_of_em_is_overtaken(
    tmp_path: Path, data: Path, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stragglers, "LATE_S", 1.0)
    killer = Killer(signal.SIGSTOP, every=False, at={4})
    try:
        local = {"kind": "local", "n_workers": 2}
        assert bits(data, tmp_path / "run", killer, cluster=local) == reference
    finally:
        killer.wake()
    assert killer.hit == {4}
