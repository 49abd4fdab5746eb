"""Jobs with a prior: what they record, and that their bits are as any other job's."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr
from killed_anywhere import check_killed_anywhere
from numpy.typing import NDArray

from dgmm import GaussianMixture
from dgmm.config import Job
from dgmm.errors import DataError
from dgmm.events import SilentListener
from dgmm.job import plan_job, plan_table, predict_job, run_job
from dgmm.job.earlier_identities import in_former_names, in_todays_names
from dgmm.job.identity import identity
from dgmm.model.model_files import load_model

QUIET = SilentListener()
N, D = 9000, 3
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class _Dies(SilentListener):
    """Ends the run in the fourth iteration of EM over all rows."""

    def iteration(self, record: Mapping[str, Any]) -> None:
        if record["iteration"] == 4:
            raise RuntimeError("killed")


class _Hears(SilentListener):
    """Remembers the stages of a job."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, detail: str) -> None:
        self.stages.append(name)


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)  # three blocks
        yield


def _rows() -> NDArray[np.float64]:
    X = gaussian_clusters(N, D, 3, spread=2.0)[0]
    X[np.random.default_rng(0).random((N, D)) < 0.1] = np.nan
    return X


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    write_zarr(folder / "gaps.zarr", _rows())
    write_zarr(folder / "rows.zarr", np.nan_to_num(_rows()))
    return folder


def _job(data: Path, run: Path, *, gaps: bool = False, n_workers: int = 2, **model: Any) -> Job:
    sections: dict[str, Any] = {
        "model": {"inference": "map", "max_iter": 6, "tol": 0.0, **model},
        "initialisation": {"n_sample_starts": 1},
        "cluster": {"n_workers": n_workers},
        "on_not_converged": "ignore",
    }
    if gaps:
        sections["data"] = {"missing": "marginalise"}
    return job(data / ("gaps.zarr" if gaps else "rows.zarr"), run, **sections)


def _record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def _metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def _bits(run: Path) -> tuple[Any, ...]:
    record = _record(run)
    outputs = {name: array["sha256"] for name, array in record["outputs"].items()}
    return record["model_sha256"], outputs, record["inference"], record["log_likelihood"]


@pytest.mark.parametrize(
    ("inference", "family", "gaps"),
    [("map", "full", True), ("map", "tied", False), ("variational", "full", False)],
)
def test_killed_and_resumed_it_leaves_the_same_bits_with_any_workers(
    data: Path, tmp_path: Path, inference: str, family: str, gaps: bool
) -> None:
    asked = {"gaps": gaps, "covariance_type": family, "inference": inference}
    run_job(_job(data, tmp_path / "whole", **asked), QUIET)
    with pytest.raises(RuntimeError, match="killed"):
        run_job(_job(data, tmp_path / "killed", n_workers=1, **asked), _Dies())
    run_job(_job(data, tmp_path / "killed", n_workers=1, **asked), QUIET)
    assert len(_record(tmp_path / "killed")["attempts"]) == 1
    assert _bits(tmp_path / "killed") == _bits(tmp_path / "whole")


@pytest.mark.parametrize(("inference", "family"), [("map", "diag"), ("variational", "full")])
def test_killed_at_ten_random_points_it_leaves_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inference: str, family: str
) -> None:
    def asked(run: str) -> Job:
        own = _job(
            data, tmp_path / run, n_workers=1, inference=inference, covariance_type=family,
            max_iter=9,
        )  # fmt: skip
        return own.model_copy(update={"output": own.output.model_copy(update={"report": False})})

    check_killed_anywhere(monkeypatch, asked, _bits, tmp_path, 10)


def test_the_record_names_it_and_its_objective_and_the_plan_too(data: Path, tmp_path: Path) -> None:
    asked = _job(data, tmp_path / "run", mean_prior=[1.0, 2.0, 3.0], weight_concentration_prior=3)
    assert "maximum a posteriori" in plan_table(plan_job(asked))
    run_job(asked, QUIET)
    record = _record(tmp_path / "run")
    found = record["inference"]
    assert found["name"] == "map"
    assert found["prior"]["mean_prior"] == pytest.approx([1.0, 2.0, 3.0], rel=1e-12)
    assert found["prior"]["weight_concentration_prior"] == 3.0
    assert found["prior"]["degrees_of_freedom_prior"] == D + 2
    X = np.nan_to_num(_rows())
    variances = np.var(X, axis=0, ddof=1) / 3 ** (2 / D)
    assert found["prior"]["covariance_prior_variances"] == pytest.approx(variances, rel=1e-5)
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    events = [e for e in map(json.loads, lines) if e["event"] == "iteration"]
    assert events[-1]["objective"] == found["objective"] < events[-1]["mean_log_likelihood"]
    lines = _metrics(tmp_path / "run")
    assert float(lines[-1]["mean_log_likelihood"]) == events[-1]["mean_log_likelihood"]
    assert [float(line["objective"]) for line in lines if line["step"] != "tried"] == [
        event["objective"] for event in events
    ]
    for before, line in pairwise(lines):
        if line["change"] and line["start"] == before["start"]:
            own = float(line["objective"]) - float(before["objective"])
            assert float(line["change"]) == pytest.approx(own, rel=1e-9)


def test_metrics_have_an_objective_where_a_prior_is_used_and_models_where_several(
    data: Path, tmp_path: Path
) -> None:
    """Columns of jobs without a prior are what they were; resumed runs keep their lines."""
    asked: dict[str, Any] = {"n_components": [2, 3], "max_iter": 5}
    with pytest.raises(RuntimeError, match="killed"):
        run_job(_job(data, tmp_path / "both", **asked), _Dies())
    before = [line for line in _metrics(tmp_path / "both") if line["step"] != "tried"]
    run_job(_job(data, tmp_path / "both", **asked), QUIET)
    run_job(_job(data, tmp_path / "plain", inference="maximum_likelihood", max_iter=2), QUIET)
    lines = _metrics(tmp_path / "both")
    plain, own = list(_metrics(tmp_path / "plain")[0]), list(lines[0])
    assert plain[-3:] == ["rows", "step", "start"]
    assert own == [*plain, "objective", "n_components", "covariance_type"]
    assert all(line["objective"] for line in lines if line["step"] != "tried")
    kept = [line for line in before if int(line["iteration"]) < 3]
    assert kept
    assert all(line in lines for line in kept)


def test_an_estimator_is_the_job(data: Path, tmp_path: Path) -> None:
    run_job(_job(data, tmp_path / "run", mean_precision_prior=2.0), QUIET)
    own = GaussianMixture(
        3, inference="map", mean_precision_prior=2.0, max_iter=6, tol=0.0, n_sample_starts=1,
        reg_covar=0.0, reg_covar_relative=1e-6, random_state=0,
    ).fit(np.nan_to_num(_rows()))  # fmt: skip
    assert np.array_equal(own.means_, load_model(tmp_path / "run" / "model").means)
    assert own.lower_bound_ == _record(tmp_path / "run")["inference"]["objective"]


def test_jobs_of_earlier_versions_keep_their_identity(data: Path, tmp_path: Path) -> None:
    plain = identity(_job(data, tmp_path, inference="maximum_likelihood"))
    former = in_former_names(plain)
    assert not {key for key in former["model"] if key == "inference" or key.endswith("_prior")}
    assert in_todays_names(former) == plain
    assert in_former_names(identity(_job(data, tmp_path)))["model"]["inference"] == "map"
    predicted = {"data": plain["data"], "model": {"path": "/m"}, "compute": plain["compute"]}
    predicted["outputs"] = plain["outputs"]
    assert in_todays_names(in_former_names(predicted))["model"] == {"path": "/m"}


def test_a_variational_mixture_is_refused_before_rows_that_lack_values_are_read(
    data: Path, tmp_path: Path
) -> None:
    """What its components expect is of whole rows."""
    run_job(_job(data, tmp_path / "run", inference="variational"), QUIET)
    own = {"model": {"path": str(tmp_path / "run")}, "data": {"missing": "marginalise"}}
    predicted = job(data / "gaps.zarr", tmp_path / "predicted", **own)
    words = "data.missing is marginalise, model.path .*drop such rows, or fit by maximum"
    heard = _Hears()
    with pytest.raises(DataError, match=words):
        predict_job(predicted, heard)
    assert heard.stages == []
    assert _record(tmp_path / "predicted")["exit_code"] == 65
    with pytest.raises(DataError, match=words):
        plan_job(predicted)
    model = load_model(tmp_path / "run")
    with pytest.raises(DataError, match="variational mixture cannot score"):
        GaussianMixture.from_model(model, missing="marginalise")
    mixture = GaussianMixture.from_model(model).set_params(missing="marginalise")
    with pytest.raises(DataError, match="variational mixture cannot score"):
        mixture.predict(_rows()[:10])
    for predict in (model.predict, model.predict_proba, model.score_samples):
        with pytest.raises(DataError, match=r"Drop such rows first$"):
            predict(_rows()[:10])
