"""An output array that a test registers is planned, written, described and resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, write_zarr
from extra_outputs import EXTRA, posteriors_of

from dgmm.cli.entry_point import run
from dgmm.config import load_job
from dgmm.job.stages import product_names
from dgmm.scoring.output_registry import ROW_OUTPUTS, RowOutput

SCRIPT = Path(__file__).parents[1] / "extra_outputs.py"


def written(folder: Path) -> Path:
    X = gaussian_clusters(600)[0]
    X[17, 0] = np.nan
    folder.mkdir(exist_ok=True)
    tree = {
        "data": {"path": str(write_zarr(folder / "rows.zarr", X)), "missing": "drop"},
        "model": {"n_components": 3, "max_iter": 5, "tol": 1e-3},
        "cluster": {"kind": "threads", "n_workers": 2},
        "output": {"path": str(folder / "run"), "report": False},
        "on_not_converged": "ignore",
    }
    (folder / "job.yaml").write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML
    return folder / "job.yaml"


def outputs_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))["outputs"]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for output in EXTRA:
        monkeypatch.setitem(ROW_OUTPUTS, output.name, output)


@pytest.mark.usefixtures("registered")
def test_a_registered_output_is_written_and_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", "--quiet", str(written(tmp_path))]) == 0
    group = zarr.open_group(str(tmp_path / "run" / "outputs.zarr"), mode="r")
    entropy, ranks, labels = (np.asarray(group[n][...]) for n in ("entropy", "ranks", "labels"))
    assert entropy.dtype == np.float32
    assert ranks.shape == (600, 3)
    assert (entropy[17], labels[17], *ranks[17]) == (-9.0, -1, -1, -1, -1)
    complete = np.delete(np.arange(600), 17)
    np.testing.assert_array_equal(ranks[complete].argmin(axis=1), labels[complete])
    assert (entropy[complete] >= 0).all()
    assert set(outputs_of(tmp_path)) == {
        *("labels", "max_posterior", "log_density", "entropy", "ranks"),
    }
    assert outputs_of(tmp_path)["ranks"]["dtype"] == "int16"
    assert group["entropy"].attrs["long_name"] == "entropy"
    assert run(["plan", str(tmp_path / "job.yaml")]) == 0
    assert "outputs" in capsys.readouterr().out


@pytest.mark.usefixtures("registered")
@pytest.mark.timeout(120)
def test_a_registered_output_is_resumed_after_a_kill(tmp_path: Path) -> None:
    job, whole = written(tmp_path / "killed"), written(tmp_path / "whole")
    command = [sys.executable, str(SCRIPT), "between outputs", "4", str(job)]
    assert subprocess.run(command, check=False, timeout=100).returncode == -signal.SIGKILL
    assert run(["run", "--quiet", str(job)]) == 0
    assert run(["run", "--quiet", str(whole)]) == 0
    ours, theirs = (outputs_of(tmp_path / name) for name in ("killed", "whole"))
    assert {n: o["sha256"] for n, o in ours.items()} == {n: o["sha256"] for n, o in theirs.items()}


@pytest.mark.parametrize("name", ["report", "path", "if_exists", "zarr_format"])
def test_no_key_of_another_meaning_switches_a_registered_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(ROW_OUTPUTS, name, RowOutput(name, "float64", 0.0, posteriors_of, "x"))
    job = load_job(written(tmp_path))
    off = {"report": False, "path": "", "if_exists": "", "zarr_format": 0}
    job = job.model_copy(update={"output": job.output.model_copy(update=off)})
    assert product_names(job, anomaly=False) == (
        *("labels", "max_posterior", "log_density"),
        name,
    )
