"""`dgmm warm` compiles all there is: fits of a later process compile nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dgmm.cli.entry_point import run
from dgmm.errors import OutputFailedError
from dgmm.estimator import warming
from dgmm.mixture import backends

pytest.importorskip("numba")
compiling = pytest.importorskip("dgmm.mixture.backends.numba_cache")

WARM = """
from importlib import import_module
from pathlib import Path
from dgmm.estimator.warming import warm
from dgmm.mixture import backends
from dgmm.mixture.backends import numba_cache
for path in Path(backends.__file__).parent.glob("numba_*.py"):  # whether warm needs it or not
    import_module(f"dgmm.mixture.backends.{path.stem}")
print(warm(lambda line: None).folder)
called = {name for f in numba_cache.FUNCTIONS for name in f.py_func.__code__.co_names}
for f in numba_cache.FUNCTIONS:
    assert f.signatures or f.py_func.__name__ in called, f"{f.py_func.__qualname__} is not warmed"
"""
USE = """
import numpy as np
from dgmm import GaussianMixture
from dgmm.mixture.backends import numba_cache
X = np.random.default_rng(1).normal(size=(500, 5))
gaps = X.copy()
gaps[::7, 1] = gaps[1::7, 2] = gaps[2::9, :3] = np.nan
mapped, weights = X.astype("f4"), np.linspace(1, 2, 500)
mapped.flags.writeable = weights.flags.writeable = False
uses = ((X, "full"), (X[::2].astype("f4"), "tied"), (mapped, "diag"), (gaps, "spherical"))
for rows, family in uses:
    m = GaussianMixture(3, covariance_type=family, backend="numba", missing="marginalise")
    m.fit(rows, sample_weight=weights[: len(rows)])
    m.predict(rows), m.predict_proba(rows), m.score_samples(rows)
many = np.random.default_rng(2).normal(size=(40_000, 5))  # enough for compiled starts
GaussianMixture(1, backend="numba").fit(X)
for k in (60, 256):  # the second: merged seeds
    GaussianMixture(
        k, covariance_type="diag", backend="numba", max_iter=1, n_sample_starts=0
    ).fit(many)
print(numba_cache.compilation())
"""


@pytest.mark.timeout(1800)  # a machine that has compiled nothing yet compiles all of it
def test_after_warming_fits_of_a_new_process_compile_nothing(tmp_path: Path) -> None:
    """In a folder of its own, which begins with what other tests have compiled."""
    cache = tmp_path / "cache"
    kept = Path(backends.__file__).parent / "__pycache__"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONWARNINGS": "ignore"}
    seeded = _output_of(
        "from dgmm.mixture.backends import numba_cache, numba_backend\n"
        "print(numba_cache.cache_folder())",
        environment,
    )
    for path in kept.glob("*.nb[ci]"):
        shutil.copy(path, seeded.strip())
    folder = Path(_output_of(WARM, environment).strip())
    assert folder.is_relative_to(cache)
    before = _sizes(folder)
    assert before
    found = _output_of(USE, environment)
    assert "n_compiled=0, " in found
    assert "n_loaded=0" not in found
    assert _sizes(folder) == before


def _output_of(program: str, environment: dict[str, str]) -> str:
    call = [sys.executable, "-c", program]
    done = subprocess.run(
        call, env=environment, capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nb[ci]")}


def test_the_command_prints_what_it_compiled_where_and_how_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = list(warming._groups())
    assert [title for title, _ in groups][:2] == ["float64 rows", "float64 rows with weights"]
    parameters = [use.args[-1] for use in groups[0][1]]
    assert {each["covariance_type"] for each in parameters} == set(warming.FAMILIES)
    monkeypatch.setattr(warming, "_groups", lambda: groups[1:2])
    assert run(["warm"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("float64 rows with weights: ")
    assert out.rstrip().endswith(" s")
    assert err.startswith("done: ")
    assert f"({compiling.cache_folder()})" in err


@pytest.mark.parametrize("fault", ["no folder", "full"])
def test_a_cache_that_cannot_be_written_is_an_error(
    fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if fault == "full":
        monkeypatch.setattr(warming, "_groups", list)
        monkeypatch.setattr(compiling, "failed_write", lambda: OSError(28, "No space left"))
    else:
        monkeypatch.setattr(compiling, "cache_folder", lambda: None)
        monkeypatch.setattr(compiling, "places", lambda: ["/a", "/b"])
    with pytest.raises(OutputFailedError):
        warming.warm(print)
    assert run(["warm"]) == 74
    last = capsys.readouterr().err.splitlines()[-1]
    assert ("No space left" if fault == "full" else "/a and /b cannot be written") in last
    assert fault == "full" or "NUMBA_CACHE_DIR" in last


def test_without_numba_there_is_nothing_to_warm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backends, "compiled_backend", lambda: None)
    assert run(["warm"]) == 69
    assert "pip install 'dgmm[fast]'" in capsys.readouterr().err
