"""A job of several models: one read feeds all, each as its job alone; one is chosen and scored."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, job, write_zarr
from test_run_record import faults

from dgmm import load_model
from dgmm.cli.progress import iteration_words
from dgmm.config import load_job
from dgmm.events import SilentListener
from dgmm.job import plan_job, plan_table, predict_job, run_job
from dgmm.report import write_report
from dgmm.report.run_data import RunRecord
from dgmm.report.tables import starts_table
from dgmm.run_record import json_schema

TESTS = Path(__file__).resolve().parent.parent
QUIET = SilentListener()
FAMILIES = ("full", "spherical")
SIZES = (2, 3, 4)
MODEL = {"n_components": [*SIZES], "covariance_type": [*FAMILIES], "max_iter": 12, "tol": 1e-5}
SECTIONS: dict[str, Any] = {
    "model": MODEL,
    "initialisation": {"n_sample_starts": 2},
    "output": {"anomaly_quantile": 0.01},
    "on_not_converged": "ignore",
}


def record(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "run.json").read_text())
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(3000, spread=4.0)[0].astype(np.float32)
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    directory = tmp_path_factory.mktemp("swept") / "run"
    run_job(job(data, directory, **SECTIONS), QUIET)
    return directory


def bits(directory: Path) -> dict[str, Any]:
    """All models, outputs, the choice and the metrics without their seconds."""
    told = record(directory)
    with (directory / "metrics.csv").open() as file:
        lines = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return {
        "models": {
            path.name: (path / "arrays.npz").read_bytes()
            for path in sorted((directory / "models").iterdir())
        },
        "model": (directory / "model" / "arrays.npz").read_bytes(),
        "outputs": {name: array["sha256"] for name, array in told["outputs"].items()},
        "selection": told["selection"],
        "restarts": told["restarts"],
        "metrics": lines,
    }


def test_each_model_is_that_of_its_job_alone(tmp_path: Path, data: Path) -> None:
    swept = tmp_path / "swept"
    run_job(job(data, swept, **SECTIONS, selection={"split_starts": False}), QUIET)
    for k, family in ((2, "full"), (4, "full"), (3, "spherical")):
        own = {**SECTIONS, "model": {**MODEL, "n_components": k, "covariance_type": family}}
        run_job(job(data, tmp_path / f"{family}-{k}", **own), QUIET)
        alone = load_model(tmp_path / f"{family}-{k}" / "model")
        found = load_model(swept / "models" / f"{family}-{k}")
        for name in ("weights", "means", "covariances"):
            assert getattr(found, name).tobytes() == getattr(alone, name).tobytes()


def test_the_chosen_model_is_the_one_that_rows_are_scored_by(data: Path, swept: Path) -> None:
    told = record(swept)
    chosen = told["selection"]["chosen"]
    assert chosen == {"n_components": 3, "covariance_type": "spherical"}
    model, kept = load_model(swept / "model"), load_model(swept / "models" / "spherical-3")
    assert model.means.tobytes() == kept.means.tobytes()
    labels = np.asarray(zarr.open_group(swept / "outputs.zarr", mode="r")["labels"][:])
    rows = np.asarray(zarr.open_array(data, mode="r")[:])
    np.testing.assert_array_equal(labels, model.predict(rows))
    assert sum(told["label_counts"]) == 3000
    assert [r["selected"] for r in told["restarts"]].count(True) == 1


def test_the_chosen_model_is_described_alike_in_both_places(tmp_path: Path) -> None:
    """But for what the scoring pass adds: the likelihood of its parameters, threshold, clusters."""
    rows = gaussian_clusters(600, spread=4.0)[0]
    group = zarr.open_group(str(tmp_path / "data.zarr"), mode="w")
    stored = group.create_array("rows", data=rows)
    stored.attrs.update({"feature_names": ["a", "b", "c"], "units": {"a": "m", "c": "s"}})
    group.create_array("w", data=np.linspace(0.5, 1.5, 600))
    weights = {"array": "w", "kind": "importance"}
    data = {"array": "rows", "weights": weights}
    several = {**SECTIONS, "output": {"anomaly_quantile": 0.01, "clusters": True}}
    own = {**several, "data": data, "preprocess": [{"standardise": {}}]}
    run_job(job(tmp_path / "data.zarr", tmp_path / "run", **own), QUIET)
    chosen = record(tmp_path / "run")["selection"]["chosen"]
    name = f"{chosen['covariance_type']}-{chosen['n_components']}"
    found = [
        json.loads((tmp_path / "run" / place / "model.json").read_text())
        for place in ("model", f"models/{name}")
    ]
    assert found[0]["feature_units"] == {"a": "m", "c": "s"}
    assert found[0]["row_weights"]["n_eff"] > 0
    for key in ("anomaly_threshold", "anomaly_quantile", "clusters", "mean_log_likelihood"):
        for one in found:
            one.pop(key, None)
    assert found[0] == found[1]


def test_the_record_has_every_model_and_the_reads_that_were_saved(swept: Path) -> None:
    assert faults(record(swept), json_schema()) == []
    told = record(swept)["selection"]
    keys = [(m["n_components"], m["covariance_type"]) for m in told["models"]]
    assert keys == [(k, family) for family in FAMILIES for k in SIZES]
    lowest = min(told["models"], key=lambda m: m["bic"])
    assert told["lowest_bic"].items() <= lowest.items()
    chosen = next(m for m in told["models"] if told["chosen"].items() <= m.items())
    above = (chosen["bic"] - lowest["bic"]) / (2 * told["rows"])
    assert told["given_up"] == pytest.approx(above, abs=1e-12)
    longest: dict[tuple[int, str], int] = {}
    for one in record(swept)["restarts"]:
        key = one["n_components"], one["covariance_type"]
        longest[key] = max(longest.get(key, 0), one["n_iter"])
    assert told["passes_alone"] == sum(longest.values())
    assert max(longest.values()) <= told["passes"] < told["passes_alone"]
    # The scoring pass has the entropy of the saved parameters, one M-step later.
    assert chosen["entropy"] == pytest.approx(record(swept)["entropy"], rel=0.05)
    assert all((swept / m["path"] / "model.json").is_file() for m in told["models"])


def test_metrics_name_the_model_of_each_line(swept: Path) -> None:
    with (swept / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    found = {(int(line["n_components"]), line["covariance_type"]) for line in lines}
    assert found == {(k, family) for family in FAMILIES for k in SIZES}


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform == "win32", reason="kills processes")
def test_a_sweep_that_is_killed_anywhere_goes_on_with_the_same_bits(
    tmp_path: Path, data: Path, swept: Path
) -> None:
    tree = json.loads(job(data, tmp_path / "run", **SECTIONS).model_dump_json(exclude_unset=True))
    tree["checkpoint"] = {"every_s": 1e-6}
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(tree))
    draws = np.random.default_rng(7)
    points = ("before the state of EM is kept", "before a file gets its name", "after a reduce")
    command = [sys.executable, str(TESTS / "killed_run.py")]
    for point in points:
        nth = str(draws.integers(2, 7))
        ended = subprocess.run(
            [*command, point, nth, str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=200,
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL
    run_job(load_job(path), QUIET)
    assert len(record(tmp_path / "run")["attempts"]) == len(points)
    assert bits(tmp_path / "run") == bits(swept)


def test_a_finished_sweep_has_nothing_to_do_and_another_rule_is_another_job(
    data: Path, swept: Path
) -> None:
    again = run_job(job(data, swept, **SECTIONS), QUIET)
    assert again.was_finished
    with pytest.raises(Exception, match=r"selection\.tolerance is 0\.01 there, 0\.5 here"):
        run_job(job(data, swept, **SECTIONS, selection={"tolerance": 0.5}), QUIET)


def test_outputs_are_written_again_from_the_chosen_model(
    tmp_path: Path, data: Path, swept: Path
) -> None:
    run_job(job(data, tmp_path / "run", **SECTIONS), QUIET)
    (tmp_path / "run" / "outputs.zarr").rename(tmp_path / "aside")
    run_job(job(data, tmp_path / "run", **SECTIONS), QUIET, rebuild=True)
    assert bits(tmp_path / "run")["outputs"] == bits(swept)["outputs"]


def test_the_plan_has_models_groups_and_reads(tmp_path: Path, data: Path) -> None:
    plan = plan_job(job(data, tmp_path / "run", **SECTIONS))
    table = plan_table(plan)
    assert "models    6: full, spherical with 2, 3, 4 components, in one group" in table
    assert plan.n_passes == 14
    assert "one by one they would take 84 passes at most: 70 reads saved" in table


def test_models_are_parted_into_groups_where_memory_is_short(tmp_path: Path, data: Path) -> None:
    large = {"n_components": [900, 1000, 1100], "max_iter": 10}
    rich = plan_job(job(data, tmp_path / "run", model=large))
    limit = rich.needed_bytes - 1
    poor = plan_job(job(data, tmp_path / "run", model=large, cluster={"memory_limit": limit}))
    assert (rich.n_groups, poor.n_groups) == (1, 2)
    assert poor.needed_bytes <= limit
    assert "2 groups" in plan_table(poor)
    assert (rich.n_passes, poor.n_passes) == (12, 22)


def test_the_report_shows_criteria_the_choice_and_the_chosen_model_alone(swept: Path) -> None:
    page = write_report(swept).read_text(encoding="utf-8")
    assert "Criteria of all models" in page
    assert "spherical 3 (chosen) (lowest BIC)" in page
    assert "BIC alone chooses spherical 3" in page
    table = starts_table(RunRecord.open(swept))
    assert table is not None
    assert len(table.folded_rows) > 4
    summary = f"<summary>{len(table.folded_rows)} more rows</summary>"
    assert page.count(summary) == 1
    assert all(f">{row[4]}<" in page for row in table.rows)
    assert "passes of EM over all rows, in place of" in page


def test_the_job_file_for_choosing_runs_and_its_models_predict(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("data.path=" + str(data), "cluster.kind=threads", "initialisation.n_sample_starts=2")
    fitted = load_job(TESTS.parent / "config" / "choose.yaml", (*small, "output.report=false"))
    assert len(fitted.models) == 12
    run_job(fitted, QUIET)
    assert (tmp_path / "runs" / "choose" / "models" / "tied-8" / "model.json").is_file()
    told = record(tmp_path / "runs" / "choose")
    merging = told["merging"]
    events = (tmp_path / "runs" / "choose" / "events.jsonl").read_text(encoding="utf-8")
    for k, kind in fitted.models:  # each line on the starts says of which model
        assert f'"detail": "{kind}-{k}: kmeans ' in events
    assert len(told["stability"]["jaccard"]) == told["selection"]["chosen"]["n_components"]
    second, runner_up = told["stability"]["runner_up"], told["selection"]["runner_up"]
    assert {key: second[key] for key in runner_up} == runner_up
    assert len(second["jaccard"]) == runner_up["n_components"]
    assert second["jaccard"] != told["stability"]["jaccard"]
    assert faults(told, json_schema()) == []
    page = write_report(tmp_path / "runs" / "choose").read_text(encoding="utf-8")
    name = f"{runner_up['covariance_type']} {runner_up['n_components']}"
    assert f"Stability of components of the runner-up, {name}" in page
    clusters = zarr.open_array(str(tmp_path / "runs" / "choose" / "outputs.zarr" / "clusters"))
    assert set(clusters[...].tolist()) <= set(merging["clusters"])
    assert merging["entropy"] is not None
    other = job(data, tmp_path / "other", model={"path": "runs/choose/models/full-4"})
    predict_job(other, QUIET)
    assert len(record(tmp_path / "other")["label_counts"]) == 4


def test_the_command_line_names_the_model_of_an_iteration() -> None:
    line = {"iteration": 2, "mean_log_likelihood": -1.5, "rows": 10, "n_components": 4}
    words = iteration_words({**line, "covariance_type": "tied", "restart": 0})
    assert words.startswith("4 tied components, iteration 2: mean log-likelihood -1.5")
    words = iteration_words({**line, "n_components": 1, "covariance_type": "tied", "restart": 0})
    assert words.startswith("1 tied component, iteration 2: ")
