"""Jobs say that compiled code is lost with its process, `dgmm predict` as well as `dgmm run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr

from dgmm.events import SilentListener
from dgmm.job import predict_job, run_job

compiling = pytest.importorskip("dgmm.mixture.backends.numba_cache")

WARNING = "compiled code cannot be kept (/a and /b cannot be written)"


@pytest.fixture(scope="module", params=["fit", "classify"])
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows, and the model of a run that compiles nothing, of either task."""
    folder = tmp_path_factory.mktemp("uncached")
    rows, labels = gaussian_clusters(400, d=3)
    write_zarr(folder / "rows.zarr", rows)
    np.save(folder / "classes.npy", labels % 2)
    data = {"classes": str(folder / "classes.npy")} if request.param == "classify" else {}
    run_job(_job(folder, "fit", "numpy", data, task=request.param), SilentListener())
    return folder


def _job(folder: Path, name: str, backend: str, data: dict[str, Any], **more: Any) -> Any:
    sections = {
        "data": data,
        "model": {"n_components": 1},
        "compute": {"backend": backend},
        "cluster": {"kind": "threads"},
        "output": {"report": False},
        "on_not_converged": "ignore",
    }
    return job(folder / "rows.zarr", folder / name, **(sections | more))


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_prediction_says_that_compiled_code_is_lost(
    fitted: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    if not is_kept:
        monkeypatch.setattr(compiling, "cache_folder", lambda: None)
        monkeypatch.setattr(compiling, "places", lambda: ["/a", "/b"])
        monkeypatch.setattr(compiling, "holds_code", lambda *_: False)
    name = f"predicted-{is_kept}"
    asked = _job(fitted, name, "numba", {}, model={"path": str(fitted / "fit/model")})
    predict_job(asked, SilentListener())
    record = json.loads((fitted / name / "run.json").read_text())
    assert record["backend"] == "numba"
    found = [text for text in record["warnings"] if WARNING in text]
    assert len(found) == (not is_kept)
