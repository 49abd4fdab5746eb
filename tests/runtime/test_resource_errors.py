"""What a machine lacks is reported of the machine, not of the data that were being read."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import zarr

from dgmm.data.zarr import chunk_reading
from dgmm.data.zarr.chunk_reading import opened
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError, UnavailableError
from dgmm.reduction.blocks import BlockRange
from dgmm.runtime.resource_errors import shortage, shortages_named


@pytest.fixture
def path(tmp_path: Path) -> str:
    X = np.random.default_rng(0).normal(size=(90, 3))
    zarr.create_array(str(tmp_path / "rows.zarr"), data=X, chunks=(30, 3))
    opened.cache_clear()
    return str(tmp_path / "rows.zarr")


class Failing:
    """An array of which nothing can be read."""

    fill_value = 0.0

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, _: object) -> None:
        raise self.error


def wrapped(error: Exception) -> Exception:
    outer = ValueError("a library's own words")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("can't start new thread"), "no further thread"),
        (wrapped(RuntimeError("can't start new thread")), "no further thread"),
        (RuntimeError("can't create new thread at interpreter shutdown"), "no further thread"),
        (MemoryError(), "too little memory"),
        (MemoryError("Unable to allocate 3 TiB"), "too little memory"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (OSError(errno.ENFILE, "Too many open files in system"), "Too many open files"),
    ],
    ids=str,
)
def test_no_chunk_is_called_damaged_for_what_the_machine_lacks(
    path: str, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    dataset = open_zarr(path)
    monkeypatch.setattr(chunk_reading, "opened", lambda *_: Failing(error))
    with pytest.raises(UnavailableError, match=words) as raised:
        list(dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks)))
    assert "damaged" not in str(raised.value)


def test_other_errors_of_a_decoder_name_the_chunk_as_damaged(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_zarr(path)
    error = RuntimeError("Zstd decompression error: invalid input data")
    monkeypatch.setattr(chunk_reading, "opened", lambda *_: Failing(error))
    with pytest.raises(DataError, match=r"chunk c/0/0 .* is damaged: RuntimeError: Zstd"):
        list(dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks)))


def test_an_interruption_while_a_chunk_is_decoded_is_passed_on(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_zarr(path)
    reader = dataset.reader
    interrupted = Failing(KeyboardInterrupt())  # type: ignore[arg-type]
    monkeypatch.setattr(chunk_reading, "opened", lambda *_: interrupted)
    with pytest.raises(KeyboardInterrupt):
        reader.rows(0, 30)


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), OSError(errno.EMFILE, "Too many open files")]
)
def test_an_array_that_cannot_be_opened_for_want_of_threads_or_files_is_not_invalid(
    path: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refused(*_: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(zarr, "open_array", refused)
    with pytest.raises(UnavailableError, match="cannot be opened"):
        open_zarr(path)


def test_a_pool_that_gets_no_thread_ends_a_job_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(UnavailableError, match="pids limit"), shortages_named():
        threading.Thread(target=print).start()
    with pytest.raises(RuntimeError, match="another"), shortages_named():
        raise RuntimeError("another")
    assert shortage(ValueError("can't start new thread")) is None


BROKEN = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {name!r}:
            raise {error}
sys.meta_path.insert(0, Broken())
import numpy as np
from dgmm.cli.entry_point import run
sys.exit(run(["run", sys.argv[1]]))
"""


@pytest.mark.parametrize("name", ["numba", "llvmlite"])
@pytest.mark.parametrize(
    "error",
    [
        'OSError("libllvmlite.so: cannot open shared object file")',
        'ImportError("DLL load failed")',
        'RuntimeError("Could not find/load shared object file")',
        'AttributeError("module has no attribute")',
    ],
)
def test_a_numba_that_cannot_be_loaded_gives_way_to_numpy_with_a_word(
    tmp_path: Path, name: str, error: str
) -> None:
    X = np.random.default_rng(0).normal(size=(500_000, 4))  # enough for compiled passes to pay
    zarr.create_array(str(tmp_path / "rows.zarr"), data=X, chunks=(100_000, 4))
    (tmp_path / "job.yaml").write_text(
        "data: {path: rows.zarr}\nmodel: {n_components: 2, max_iter: 1, covariance_type: diag}\n"
        "initialisation: {method: random_from_data, sample_rows: 500, n_sample_starts: 0}\n"
        "cluster: {kind: threads, n_workers: 1}\non_not_converged: ignore\n"
        "output: {path: run, report: false, labels: false, max_posterior: false}\n"
    )
    command = [sys.executable, "-c", BROKEN.format(name=name, error=error), "job.yaml"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Numba is installed but cannot be loaded" in done.stderr
    assert '"backend": "numpy"' in (tmp_path / "run" / "run.json").read_text()
