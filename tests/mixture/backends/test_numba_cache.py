"""Machine code is found in every place, kept in one that can be written, and its loss is said."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dgmm.estimator.gaussian_mixture import GaussianMixture
from dgmm.mixture import backends

numba = pytest.importorskip("numba")
compiling = pytest.importorskip("dgmm.mixture.backends.numba_cache")
places = pytest.importorskip("dgmm.mixture.backends.cache_places")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module whose code nothing can keep: every folder for it would lie below a file.

    Not by permissions, which do not hold for root.
    """
    file = tmp_path / "file"
    file.touch()
    package = tmp_path / "package"
    package.mkdir()
    (package / "__pycache__").touch()
    path = package / "doubling.py"
    path.write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(file / "cache"))
    for variable in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(file / "user"))
    monkeypatch.setattr(compiling, "FUNCTIONS", [])
    places.can_be_written.cache_clear()
    yield path
    places.can_be_written.cache_clear()


def _compiled(source: Path) -> Any:
    """The module's function, compiled anew."""
    namespace: dict[str, Any] = {"__name__": "doubling"}
    exec(compile(source.read_text(), str(source), "exec"), namespace)  # noqa: S102 - written above
    return compiling.compiled(namespace["twice"])


def test_what_cannot_be_kept_is_computed_and_said(source: Path, tmp_path: Path) -> None:
    function = _compiled(source)
    assert compiling.cache_folder() is None
    found = compiling.why_not_cached()
    assert found is not None
    assert found.endswith(" cannot be written")
    for folder in ("file/cache", "package/__pycache__", "file/user"):
        assert str(tmp_path / folder) in found
    assert function(4) == 8
    assert compiling.compilation() == (1, 1, 0)
    assert _compiled(source)(4) == 8
    assert compiling.compilation() == (2, 2, 0)
    assert compiling.failed_write() is None


def test_code_is_kept_in_the_first_place_that_can_be_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    _compiled(source)(4)
    assert compiling.cache_folder().startswith(str(tmp_path / "cache"))
    assert compiling.why_not_cached() is None
    assert len(list((tmp_path / "cache").rglob("*.nbc"))) == 1


def test_code_in_a_place_that_cannot_be_written_is_found(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container: what the image holds, on a file system that is read-only."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    _compiled(source)(4)
    os.utime(source, (1e9, 1e9))  # as images cut times to seconds
    monkeypatch.setattr(compiling, "can_be_written", lambda _: False)
    compiling.FUNCTIONS.clear()
    assert _compiled(source)(4) == 8
    assert compiling.compilation() == (1, 0, 1)
    assert compiling.cache_folder() is None
    assert compiling.why_not_cached() is None, "there is nothing to compile"


def test_code_for_another_processor_is_none(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    function = _compiled(source)
    function(4)
    place = function._cache.places[0]
    codegen = function.targetctx.codegen()
    other = SimpleNamespace(magic_tuple=lambda: ("x86_64", "another", ""))
    assert places.holds_code(place, codegen)
    assert not places.holds_code(place, other)


def test_a_write_that_fails_is_known(source: Path, tmp_path: Path) -> None:
    function = _compiled(source)
    error = OSError(28, "No space left on device")

    def full(*_: object) -> None:
        raise error

    here = SimpleNamespace(
        cache_path=str(tmp_path), save_overload=full, load_overload=lambda *_: None
    )
    function._cache.places = [here]
    assert function(4) == 8
    assert compiling.failed_write() is error


def test_fits_and_scores_say_that_compiled_code_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.sin(1.7 * np.arange(900.0)).reshape(300, 3)
    lost = pytest.warns(UserWarning, match=r"a cannot be written.*NUMBA_CACHE_DIR.*dgmm warm")
    loaded = backends.compiled_backend()
    assert loaded is not None
    monkeypatch.setattr(compiling, "why_not_cached", lambda: "a cannot be written")
    with lost:
        mixture = GaussianMixture(1, backend="numba").fit(X)
    with lost:
        mixture.score_samples(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numpy_only = GaussianMixture(1, backend="numpy").fit(X)
        numpy_only.score_samples(X)
