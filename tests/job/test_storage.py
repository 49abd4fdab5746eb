"""Storage that fails: reads are tried again, damage is named, a full disk harms no old file."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, write_zarr

from dgmm.checkpoint import run_state
from dgmm.cli.entry_point import run
from dgmm.data.zarr import chunk_listing
from dgmm.data.zarr.small_files import SmallFilesStore
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.storage import retry
from dgmm.storage.atomic_files import read_json

pytestmark = pytest.mark.timeout(120)
#: 4 blocks of 8192 rows.
N, D = 30_000, 32


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return gaussian_clusters(N, D, 3, spread=1.5)[0].astype(np.float32)


@pytest.fixture
def data(tmp_path: Path, rows: np.ndarray) -> Path:
    codecs = [zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()]
    return write_zarr(tmp_path / "rows.zarr", rows, chunks=(5_000, D), compressors=codecs)


def job_file(folder: Path, **sections: Any) -> Path:
    job: dict[str, Any] = {
        "data": {"path": str(folder / "rows.zarr")},
        "model": {"n_components": 3, "max_iter": 5, "tol": 0},
        "cluster": {"kind": "threads", "n_workers": 2},
        "output": {"path": str(folder / "run"), "anomaly_quantile": 0.01, "report": False},
        "on_not_converged": "ignore",
        **sections,
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job))
    return path


def bits(folder: Path) -> dict[str, Any]:
    told = read_json(folder / "run" / "run.json")
    model = hashlib.sha256((folder / "run" / "model" / "arrays.npz").read_bytes()).hexdigest()
    return {"model": model, **{n: a["sha256"] for n, a in told["outputs"].items()}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, rows: np.ndarray) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_zarr(folder / "rows.zarr", rows, chunks=(5_000, D))
    assert run(["run", "--quiet", str(job_file(folder))]) == 0
    return bits(folder)


class FailingCalls:
    """Lets some calls of a function fail, and counts all."""

    def __init__(
        self, function: Callable[..., Any], error: int, *, first: int, last: float
    ) -> None:
        self._function, self._error, self._range = function, error, (first, last)
        self.calls = 0

    def __call__(self, *arguments: Any, **words: Any) -> Any:
        self.calls += 1
        if self._range[0] <= self.calls <= self._range[1]:
            raise OSError(self._error, os.strerror(self._error))
        return self._function(*arguments, **words)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8, 11, 15, 20, 26, 33])
def test_a_disk_that_is_full_at_any_write_leaves_a_run_that_goes_on(
    tmp_path: Path,
    data: Path,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    nth: int,
    error: int,
) -> None:
    monkeypatch.setattr(run_state, "EM_EVERY_S", 0.0)
    job = job_file(tmp_path)
    with monkeypatch.context() as patched:
        failing = FailingCalls(os.fsync, error, first=nth, last=np.inf)
        patched.setattr(os, "fsync", failing)
        code = run(["run", "--quiet", str(job)])
    said = capsys.readouterr().err
    assert failing.calls >= nth, "the run has fewer writes than that"
    assert code in {73, 74}, said
    assert os.strerror(error) in said
    assert "Traceback" not in said
    assert run(["run", "--quiet", str(job)]) == 0
    assert bits(tmp_path) == undisturbed
    assert not list((tmp_path / "run").rglob(".*.tmp"))


def test_a_finished_runs_files_survive_a_disk_that_is_full(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["run", "--quiet", str(job_file(tmp_path))]) == 0
    before = bits(tmp_path)
    more = job_file(tmp_path, model={"n_components": 3, "max_iter": 9, "tol": 0})
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", FailingCalls(os.fsync, errno.ENOSPC, first=3, last=np.inf))
        assert run(["run", "--quiet", str(more)]) == 74
    model = hashlib.sha256((tmp_path / "run" / "model" / "arrays.npz").read_bytes()).hexdigest()
    assert model == before["model"]
    assert run(["run", "--quiet", str(more)]) == 0
    assert read_json(tmp_path / "run" / "run.json")["n_iter"] == 9


@pytest.mark.parametrize("kilobytes", [1, 8, 200, 2000])
def test_a_real_limit_of_file_sizes_ends_with_74(
    tmp_path: Path, data: Path, kilobytes: int
) -> None:
    job = job_file(tmp_path)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    command = [sys.executable, "-m", "dgmm", "run", str(job)]
    ended = subprocess.run(
        command, preexec_fn=limit, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode in {73, 74}, ended.stderr
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr


def failing_gets(monkeypatch: pytest.MonkeyPatch, error: int, first: int, last: float) -> list[int]:
    """Let reads of chunks fail as those of a network file system do."""
    get, calls = SmallFilesStore.get, [0]

    async def failing(self: Any, key: str, *arguments: Any, **words: Any) -> Any:
        if "/c/" in f"/{key}" and str(self.root).endswith("rows.zarr"):
            calls[0] += 1
            if first <= calls[0] <= last:
                raise OSError(error, os.strerror(error), key)
        return await get(self, key, *arguments, **words)

    monkeypatch.setattr(SmallFilesStore, "get", failing)
    return calls


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_reads_that_fail_for_a_while_are_tried_again(
    tmp_path: Path,
    data: Path,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    error: int,
) -> None:
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 0.01)
    failing_gets(monkeypatch, error, first=9, last=14)
    assert run(["run", "--quiet", str(job_file(tmp_path))]) == 0
    assert bits(tmp_path) == undisturbed


def test_storage_that_stays_away_ends_the_run_and_the_same_command_goes_on(
    tmp_path: Path,
    data: Path,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = job_file(tmp_path, storage={"retry_s": 0.3})
    with monkeypatch.context() as patched:
        failing_gets(patched, errno.EIO, first=15, last=np.inf)
        assert run(["run", "--quiet", str(job)]) == 69
    said = capsys.readouterr().err
    assert "chunk c/" in said
    assert "storage.retry_s" in said
    assert run(["run", "--quiet", str(job)]) == 0
    assert bits(tmp_path) == undisturbed


@pytest.mark.parametrize("call", ["listdir", "stat"])
def test_listing_that_fails_for_a_while_is_tried_again(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(retry, "_FIRST_WAIT_S", 0.01)
    job = job_file(tmp_path, storage={"retry_s": 20})
    function = FailingCalls(getattr(chunk_listing.os, call), errno.ESTALE, first=2, last=4)
    with monkeypatch.context() as patched:
        patched.setattr(chunk_listing, "os", SimpleNamespace(**{**vars(os), call: function}))
        assert run(["run", "--quiet", str(job)]) == 0
    assert function.calls > 4


def test_a_listing_that_keeps_failing_ends_with_69(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = FailingCalls(os.stat, errno.EIO, first=1, last=np.inf)
    monkeypatch.setattr(chunk_listing, "os", SimpleNamespace(**{**vars(os), "stat": failing}))
    assert run(["run", "--quiet", str(job_file(tmp_path, storage={"retry_s": 0.3}))]) == 69
    assert "storage.retry_s" in capsys.readouterr().err


def test_errors_that_will_not_pass_are_not_tried_again(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = failing_gets(monkeypatch, errno.EACCES, first=15, last=np.inf)
    assert run(["run", "--quiet", str(job_file(tmp_path))]) == 66
    assert calls[0] < 40


def unlink(chunk: Path) -> None:
    chunk.unlink()


def cut(chunk: Path) -> None:
    chunk.write_bytes(chunk.read_bytes()[:-100])


def flip(chunk: Path) -> None:
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 4
    chunk.write_bytes(content)


def empty(chunk: Path) -> None:
    chunk.write_bytes(b"")


@pytest.mark.parametrize("harm", [unlink, cut, flip, empty])
def test_a_chunk_that_is_harmed_during_the_run_is_named_and_fills_nothing(
    tmp_path: Path,
    data: Path,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], None],
) -> None:
    chunk = data / "c" / "4" / "0"
    content, status = chunk.read_bytes(), chunk.stat()
    e_step, passes = EStepTask.__call__, [0]

    def harming(self: EStepTask, part: Any) -> Any:
        passes[0] += 1
        if passes[0] == 4 and chunk.exists():
            harm(chunk)
        return e_step(self, part)

    with monkeypatch.context() as patched:
        patched.setattr(EStepTask, "__call__", harming)
        code = run(["run", "--quiet", str(job_file(tmp_path))])
    said = capsys.readouterr().err
    assert code == 65, said
    assert "c/4/0" in said
    assert not (tmp_path / "run" / "outputs.zarr").exists()
    chunk.write_bytes(content)  # restored as backups do it, times included
    os.utime(chunk, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(["run", "--quiet", str(job_file(tmp_path))]) == 0
    assert bits(tmp_path) == undisturbed


def test_chunks_written_during_the_run_are_found_before_outputs_are_published(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chunk = data / "c" / "1" / "0"
    e_step, passes = EStepTask.__call__, [0]

    def touching(self: EStepTask, part: Any) -> Any:
        passes[0] += 1
        if passes[0] == 4:
            os.utime(chunk)
        return e_step(self, part)

    with monkeypatch.context() as patched:
        patched.setattr(EStepTask, "__call__", touching)
        assert run(["run", "--quiet", str(job_file(tmp_path))]) == 65
    assert "changed during the run" in capsys.readouterr().err
    assert not (tmp_path / "run" / "outputs.zarr").exists()
    assert run(["run", "--quiet", str(job_file(tmp_path))]) == 0
    assert "this one starts over; what the former data gave is now " in capsys.readouterr().err
    assert list((tmp_path / "run" / "checkpoint.replaced-1").glob("em.*.checkpoint"))
