"""Sweeps that are killed, with held-out folds and during a refit, leave the bits of a whole run."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr
from killed_anywhere import Killed, check_killed_anywhere

from dgmm.checkpoint.run_state import RunState
from dgmm.config import Job
from dgmm.events import SilentListener
from dgmm.fitting import model_start
from dgmm.fitting.model_start import Starter
from dgmm.fitting.settings import FitSettings
from dgmm.job import run_job
from dgmm.mixture.parameters import Parameters

N_KILLS = 20


class DiesInRefit(SilentListener):
    """Ends the run where a model is fitted again: told so (0), or in an iteration of that."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.n_refits = at, 0

    def note(self, text: str) -> None:
        if "fitted again" in text and self.at == 0:
            raise Killed

    def iteration(self, record: Mapping[str, Any]) -> None:
        if record["start"].startswith("refit"):
            self.n_refits += 1
            if self.n_refits == self.at:
                raise Killed


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)  # three blocks
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(9000, spread=2.0)[0].astype(np.float32)
    return write_zarr(tmp_path_factory.mktemp("rows") / "rows.zarr", rows)


def asked(data: Path, run: Path, max_iter: int = 3, **selection: Any) -> Job:
    model = {"n_components": [2, 3], "covariance_type": "diag", "max_iter": max_iter, "tol": 0.0}
    start = {"n_sample_starts": 1, "sample_rows": 400}
    return job(
        data, run, model=model, selection=selection, initialisation=start,
        cluster={"n_workers": 1}, on_not_converged="ignore",
    )  # fmt: skip


def bits(run: Path) -> dict[str, Any]:
    """Models, outputs, the choice, and metrics without their seconds."""
    record = json.loads((run / "run.json").read_text())
    with (run / "metrics.csv").open() as file:
        lines = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return {
        "models": {p.name: (p / "arrays.npz").read_bytes() for p in (run / "models").iterdir()},
        "outputs": {name: array["sha256"] for name, array in record["outputs"].items()},
        "metrics": sorted(map(str, lines)),
        **{key: record[key] for key in ("selection", "restarts", "model_sha256")},
    }


def test_with_folds_it_is_killed_at_twenty_random_points(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(run: str) -> Job:
        return asked(data, tmp_path / run, max_iter=8, criterion="held_out", folds=2)

    check_killed_anywhere(monkeypatch, own, bits, tmp_path, N_KILLS)


def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of 3 components begin where all are alike, and fall below those of 2."""
    start = Starter.start

    def poor(self: Starter, prepared: Any, settings: FitSettings, identity: Any) -> Any:
        begun, k = start(self, prepared, settings, identity), settings.n_components
        if k != 3:
            return begun
        means = np.repeat(prepared.sample.mean(axis=0)[None], k, axis=0)
        covariances = np.array([prepared.sample.var(axis=0)] * k)
        same = Parameters.of(prepared.family, np.full(k, 1 / k), means, covariances)
        solver = model_start.EMSolver(begun.prepared.problem)
        candidate = solver.init(begun.candidates[0].id, same, is_given=True)
        return model_start.ModelStart(settings, begun.prepared, (candidate,), {}, ())

    monkeypatch.setattr(Starter, "start", poor)


@pytest.mark.parametrize("folds", [False, True])
def test_it_is_killed_while_a_model_is_fitted_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: bool
) -> None:
    """Before the refit's first pass and in its iterations, one run killed three times."""
    alike(monkeypatch)
    keys = {"criterion": "held_out", "folds": 2} if folds else {}
    whole = DiesInRefit()
    run_job(asked(data, tmp_path / "whole", **keys), whole)
    expected = bits(tmp_path / "whole")
    assert [one["n_components"] for one in expected["selection"]["refitted"]] == [3]
    assert whole.n_refits == 3 * (1 + 2 * folds)
    monkeypatch.setattr(RunState, "__exit__", lambda *_: None)
    for at, every_s in ((0, 1.0), (1, 1.0), (2, 0.0), (2, 0.0)):
        monkeypatch.setattr("dgmm.checkpoint.run_state.EM_EVERY_S", every_s)
        with pytest.raises(Killed):
            run_job(asked(data, tmp_path / "run", **keys), DiesInRefit(at))
    run_job(asked(data, tmp_path / "run", **keys), DiesInRefit())
    assert bits(tmp_path / "run") == expected
