"""Jobs that choose by held-out rows: the record, any chunking and any workers, the job file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, job, write_zarr
from test_run_record import faults

from dgmm.cli.progress import iteration_words
from dgmm.config import Job, load_job
from dgmm.errors import JobFileError
from dgmm.events import SilentListener
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.job import plan_job, plan_table, run_job
from dgmm.job.accepted_cost import require_few_models
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.report import write_report
from dgmm.report.convergence import convergence
from dgmm.report.figure import ReportFigure
from dgmm.report.run_data import RunRecord
from dgmm.run_record import json_schema

TESTS = Path(__file__).resolve().parent.parent
QUIET = SilentListener()
SECTIONS: dict[str, Any] = {
    "model": {"n_components": [2, 3, 4], "covariance_type": "diag", "max_iter": 8},
    "selection": {"criterion": "held_out", "folds": 3},
    "initialisation": {"n_sample_starts": 1},
    "output": {"report": False},
    "on_not_converged": "ignore",
}


def rows(n: int = 1500) -> np.ndarray:
    return gaussian_clusters(n, spread=4.0)[0]


def record(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "run.json").read_text())
    return found


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("held-out")
    data = write_zarr(folder / "rows.zarr", rows())
    run_job(job(data, folder / "run", **SECTIONS), QUIET)
    return folder / "run"


def test_the_record_has_means_paired_differences_and_the_choice(held_out: Path) -> None:
    told = record(held_out)
    assert faults(told, json_schema()) == []
    selection = told["selection"]
    found = selection["held_out"]
    assert sum(found["rows"]) == 1500
    assert len(found["rows"]) == 3
    keys = [(m["n_components"], m["covariance_type"]) for m in found["models"]]
    assert keys == [(m["n_components"], m["covariance_type"]) for m in selection["models"]]
    best = max(found["models"], key=lambda m: m["mean_log_likelihood"])
    assert found["best"].items() <= best.items()
    for one in found["models"]:
        level = np.average(one["by_fold"], weights=found["rows"])
        assert one["mean_log_likelihood"] == pytest.approx(level, rel=1e-12)
        below = best["mean_log_likelihood"] - one["mean_log_likelihood"]
        assert one["below_best"] == pytest.approx(below, abs=1e-12)
    near = [m for m in found["models"] if m["below_best"] <= max(0.01, m["standard_error"])]
    assert selection["chosen"]["n_components"] == min(m["n_components"] for m in near) == 3
    assert (
        "held-out log-likelihood is within 0.01 nats per row or one standard" in selection["rule"]
    )
    assert selection["passes"] < selection["passes_alone"] / 4


def test_metrics_name_the_fold_and_the_report_shows_all_rows_and_held_out(held_out: Path) -> None:
    with (held_out / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["fold"] for line in lines} == {"", "0", "1", "2"}
    drawn = convergence(RunRecord.open(held_out))  # the chosen model's, of all rows
    assert isinstance(drawn, ReportFigure)
    chosen = {key: str(value) for key, value in record(held_out)["selection"]["chosen"].items()}
    own = [line for line in lines if chosen.items() <= line.items() and line["step"] != "tried"]
    assert len(drawn.table.rows) == len([line for line in own if line["fold"] == ""]) < len(own)
    page = write_report(held_out).read_text(encoding="utf-8")
    assert "Held-out log-likelihood" in page
    assert "every model was fitted without each part" in page
    assert "The shaded band" not in page
    numbers = json.loads((held_out / "report.json").read_text())
    text = json.dumps(numbers)
    assert "mean held-out log-likelihood" in text


def test_any_chunking_and_any_workers_have_the_same_folds_and_bits(
    tmp_path: Path, held_out: Path
) -> None:
    array = zarr.create_array(
        str(tmp_path / "other.zarr"), shape=(1500, 3), chunks=(101, 2), dtype="float64"
    )
    array[...] = rows()
    run_job(
        job(tmp_path / "other.zarr", tmp_path / "run", cluster={"n_workers": 1}, **SECTIONS), QUIET
    )
    assert record(tmp_path / "run")["selection"] == record(held_out)["selection"]


def test_the_job_file_for_held_out_rows_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_zarr(tmp_path / "rows.zarr", rows(900))
    small = (f"data.path={data}", "cluster.kind=threads", "initialisation.n_sample_starts=1")
    path = TESTS.parent / "config" / "choose-held-out.yaml"
    run_job(load_job(path, (*small, "selection.fold_rows=8", "output.report=false")), QUIET)
    found = record(tmp_path / "runs" / "choose-held-out")["selection"]["held_out"]
    assert len(found["models"]) == 6


def test_the_plan_counts_fits_of_folds_and_many_ask_for_acceptance(
    tmp_path: Path, held_out: Path
) -> None:
    data = held_out.parent / "rows.zarr"
    whole = job(data, tmp_path / "run", **(SECTIONS | {"selection": {}}))
    plain, plan = plan_job(whole), plan_job(job(data, tmp_path / "run", **SECTIONS))
    text = plan_table(plan)
    assert "diag with 2, 3, 4 components, each without 3 folds too, in one group" in text
    assert "samples of folds" in text
    assert plan.n_passes == plain.n_passes + 2
    assert plan.needed_bytes > plain.needed_bytes
    many: Job = job(data, tmp_path / "many", **(SECTIONS | {
        "model": {"n_components": [*range(1, 30)]}}))  # fmt: skip
    with pytest.raises(JobFileError, match=r"ask for 116 models with those of selection\.folds"):
        require_few_models(many, is_accepted=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"path": "run"}}, "selection.criterion: contradicts model.path: it is of a fit"),
        (
            {"model": {"path": "run"}, "selection": {"stability": True}},
            "selection.stability: contradicts model.path: it is of a fit",
        ),
        ({"model": {"n_components": 3}}, "held_out compares models; give several in model.n_comp"),
        ({"selection": {"folds": 7}}, "selection.folds: belongs to held-out rows; write criterion"),
        ({"selection": {"fold_rows": 7}}, "selection.fold_rows: belongs to held-out rows"),
        ({"selection": {"criterion": "held_out", "folds": 1}}, "selection.folds"),
        (
            {"initialisation": {"method": "kmeans_parallel"}},
            "contradicts selection.criterion: held_out, as it reads all rows",
        ),
    ],
)
def test_what_folds_cannot_be_used_with_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    tree = {
        "data": {"path": "rows.zarr"},
        "output": {"path": "run"},
        "model": {"n_components": [2, 3]},
        "selection": {"criterion": "held_out"},
    }
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(tree | change))
    with pytest.raises(JobFileError) as refused:
        load_job(path)
    assert message in str(refused.value)


def test_metrics_of_a_fold_are_taken_back_by_its_own_iterations(tmp_path: Path) -> None:
    keys = {"several_models": True, "has_folds": True}
    with RecordingListener(tmp_path, [], {}, QUIET, **keys) as listener:
        for fold in (None, 0, 1):
            own = {} if fold is None else {"fold": fold}
            for i in (1, 2, 3):
                listener.iteration(
                    {"iteration": i, "restart": 0, "start": "sd 0", "n_components": 2}
                    | {"covariance_type": "diag", **own}
                )
        reached = {None: 3, 0: 1, 1: 2}
        listener.rewind({CandidateId(0, "sd 0", 2, "diag", f): n for f, n in reached.items()})
    with (tmp_path / "metrics.csv").open() as file:
        lines = [(line["fold"], line["iteration"]) for line in csv.DictReader(file)]
    assert lines == [("", "1"), ("", "2"), ("", "3"), ("0", "1"), ("1", "1"), ("1", "2")]


def test_the_command_line_names_the_fold_of_an_iteration() -> None:
    line = {"iteration": 2, "mean_log_likelihood": -1.5, "rows": 10, "n_components": 4}
    words = iteration_words({**line, "covariance_type": "tied", "restart": 0, "fold": 0})
    assert words.startswith("4 tied components without fold 0, iteration 2")
