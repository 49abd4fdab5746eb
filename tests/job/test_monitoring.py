"""Jobs that compare an earlier run's model with their rows: alarms, exit codes, the last run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import job, write_zarr
from sklearn.metrics import adjusted_rand_score, confusion_matrix
from test_run_record import faults

from dgmm.errors import DataError, InputNotFoundError, JobFileError, OutputExistsError
from dgmm.events import SilentListener
from dgmm.job import RunResult, plan_job, plan_table, run_job
from dgmm.model.model_files import load_model
from dgmm.report import write_report
from dgmm.report.drift import drift_table
from dgmm.report.run_data import RunRecord
from dgmm.run_record import json_schema

QUIET = SilentListener()
CENTRES = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
NAMES = {"feature_names": ["width", "height"]}


def rows(seed: int, n: int = 6000, move: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = CENTRES + np.array([[0.0, 0.0], [move, 0.0], [0.0, 0.0]])
    return centres[rng.integers(3, size=n)] + rng.standard_normal((n, 2))


def night(folder: Path, name: str, X: np.ndarray, /, **sections: Any) -> RunResult:
    """One of scheduled runs: rows and run directory bear the date."""
    path = folder / f"{name}.zarr"
    if not path.exists():
        write_zarr(path, X, attributes=sections.pop("attributes", NAMES))
    own = {
        "monitor": {"against": "last", "on_drift": "error"},
        "output": {"anomaly_quantile": 0.01},
    } | sections
    return run_job(job(path, folder / "runs" / name, **own), QUIET)


def record(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / "runs" / name / "run.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RunResult]]:
    """The first night, one without drift, and one with a mean moved by half an sd."""
    folder = tmp_path_factory.mktemp("scheduled")
    moves = (0.0, 0.0, 0.5)
    return folder, [
        night(folder, f"2026-01-0{i + 1}", rows(i, move=move)) for i, move in enumerate(moves)
    ]


def test_the_first_night_has_no_earlier_run_and_says_so(
    nights: tuple[Path, list[RunResult]],
) -> None:
    folder, results = nights
    found = record(folder, "2026-01-01")
    assert results[0].exit_code == 0
    assert found["drift"]["against"] is None
    assert "no finished run of these features" in found["drift"]["reason"]
    assert found["earlier_run"]["path"] is None


def test_the_second_night_is_compared_with_the_first_without_alarm(
    nights: tuple[Path, list[RunResult]],
) -> None:
    folder, results = nights
    found = record(folder, "2026-01-02")["drift"]
    assert results[1].exit_code == 0
    assert found["against"] == str(folder / "runs" / "2026-01-01")
    assert found["alarms"] == []
    assert found["rows"] == found["fitted_rows"] == 6000
    assert max(c["hellinger"] for c in found["components"]) < 0.06
    assert found["anomalies"]["rate"] == 0.01


def labels_by(model: Path, X: np.ndarray) -> np.ndarray:
    return load_model(model).predict(X)


def test_the_second_night_has_the_label_matrix_of_both_models(
    nights: tuple[Path, list[RunResult]],
) -> None:
    folder, _ = nights
    found, X = record(folder, "2026-01-02")["drift"]["labels"], rows(1)
    runs = [folder / "runs" / f"2026-01-0{i}" for i in (1, 2)]
    one, other = (labels_by(run, X) for run in runs)
    assert found["rows"] == len(X)  # the sample is all of them
    cells = confusion_matrix(one, other)[np.ix_(found["first"], found["second"])]
    assert found["matrix"] == cells.tolist()
    assert found["n_pairs"] == 3
    assert found["moved"] == pytest.approx(1 - np.trace(cells) / len(X))
    assert found["adjusted_rand_index"] == pytest.approx(adjusted_rand_score(one, other))
    assert faults(record(folder, "2026-01-02"), json_schema()) == []
    write_report(runs[1])
    report = json.loads((runs[1] / "report.json").read_text("utf-8"))
    (drift,) = [s for s in report["sections"] if s["anchor"] == "drift"]
    (figure,) = [f for f in drift["figures"] if f["name"] == "label-matrix"]
    assert [row[1:] for row in figure["table"]["rows"]] == found["matrix"]


def test_the_earlier_model_may_have_noise_other_sizes_and_another_order_of_features(
    tmp_path: Path,
) -> None:
    X, Y = rows(0, 3000), rows(1, 3000)
    X[:60] = np.random.default_rng(2).uniform(-30.0, 40.0, size=(60, 2))
    Y[:60] = np.random.default_rng(3).uniform(-30.0, 40.0, size=(60, 2))
    night(tmp_path, "a", X, model={"n_components": 3, "noise": True})
    turned = {"feature_names": ["height", "width"]}
    night(tmp_path, "b", Y[:, ::-1], attributes=turned, model={"n_components": 5})
    found = record(tmp_path, "b")["drift"]["labels"]
    assert (found["n_labels"], found["noise"]) == ([4, 5], [3, None])
    one = labels_by(tmp_path / "runs" / "a", Y)
    assert (one == 3).sum() > 20
    assert dict(zip(found["first"], found["first_rows"], strict=True)) == {
        j: int((one == j).sum()) for j in range(4)
    }
    assert found["n_pairs"] == 3
    assert 3 not in found["first"][:3]  # noise is no cluster to be matched with


def test_labels_of_more_components_than_a_matrix_has_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgmm.job.earlier_labels.MOST_COMPONENTS", 2)
    night(tmp_path, "a", rows(0, 1000))
    night(tmp_path, "b", rows(1, 1000))
    drift = record(tmp_path, "b")["drift"]
    assert len(drift["components"]) > 2
    assert "labels" not in drift


def test_the_third_night_alarms_once_everything_is_written(
    nights: tuple[Path, list[RunResult]],
) -> None:
    folder, results = nights
    found = record(folder, "2026-01-03")
    assert results[2].exit_code == found["exit_code"] == 20
    assert found["status"] == "done"
    assert found["drift"]["against"] == str(folder / "runs" / "2026-01-02")
    moved = max(found["drift"]["components"], key=lambda c: c["shift"])
    assert moved["alarms"] == ["component"]
    assert moved["shift"] == pytest.approx(0.5, abs=0.1)
    assert f"component {moved['component']} is at a Hellinger distance" in found["message"]
    assert any(text.startswith("drift: component") for text in found["warnings"])
    assert set(found["outputs"]) == {"labels", "max_posterior", "log_density", "anomaly"}
    load_model(folder / "runs" / "2026-01-03")
    events = (folder / "runs" / "2026-01-03" / "events.jsonl").read_text().splitlines()
    logged = [e for e in map(json.loads, events) if e["event"] == "drift"]
    assert [len(e["components"]) for e in logged] == [3]


def test_the_same_command_on_the_finished_run_exits_20_again(
    nights: tuple[Path, list[RunResult]],
) -> None:
    folder, _ = nights
    again = night(folder, "2026-01-03", rows(2))
    assert (again.exit_code, again.was_finished) == (20, True)
    assert "finished before" in again.message
    warned = night(folder, "2026-01-03", rows(2), monitor={"against": "last"})
    assert warned.exit_code == 0


def test_thresholds_of_the_job_say_what_an_alarm_is(
    nights: tuple[Path, list[RunResult]], tmp_path: Path
) -> None:
    folder, _ = nights
    first = str(folder / "runs" / "2026-01-01")
    keys = {"against": first, "on_drift": "error"}
    shown = night(tmp_path, "a", rows(2, move=0.5), monitor=keys | {"hellinger": 0.3})
    assert shown.exit_code == 0
    assert record(tmp_path, "a")["drift"]["against"] == first
    strict = {"hellinger": 0.001, "weight": 0.001, "significance": 0.001}
    assert night(tmp_path, "b", rows(1), monitor=keys | strict).exit_code == 20


def test_an_alarm_goes_before_an_end_without_convergence(
    nights: tuple[Path, list[RunResult]], tmp_path: Path
) -> None:
    folder, _ = nights
    ends = {"model": {"max_iter": 1, "tol": 0.0}, "on_not_converged": "error"}
    keys = {"against": str(folder / "runs" / "2026-01-01"), "on_drift": "error"}
    assert night(tmp_path, "a", rows(2, move=0.5), monitor=keys, **ends).exit_code == 20
    assert night(tmp_path, "b", rows(1), monitor=keys, **ends).exit_code == 10


def test_last_is_the_run_that_ended_last_of_those_with_these_features(
    nights: tuple[Path, list[RunResult]], tmp_path: Path
) -> None:
    other = {"feature_names": ["width", "depth"]}
    night(tmp_path, "one", rows(0))
    night(tmp_path, "other", rows(0), attributes=other, monitor={})
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text("{")
    (tmp_path / "runs" / "latest").symlink_to("other")
    edited = record(tmp_path, "one")
    shutil.copytree(tmp_path / "runs" / "one", tmp_path / "runs" / "unfinished")
    (tmp_path / "runs" / "unfinished" / "run.json").write_text(
        json.dumps(edited | {"status": "running", "ended": "2999-01-01"})
    )
    shutil.copytree(tmp_path / "runs" / "one", tmp_path / "runs" / "damaged")
    (tmp_path / "runs" / "damaged" / "run.json").write_text(json.dumps(edited | {"data": 3}))
    night(tmp_path, "two", rows(1))
    assert record(tmp_path, "two")["earlier_run"]["path"] == str(tmp_path / "runs" / "one")
    night(tmp_path, "third", rows(1), attributes={"feature_names": ["a", "b"]})
    reason = record(tmp_path, "third")["drift"]["reason"]
    assert reason.endswith("; 4 there have other features")


@pytest.mark.parametrize("text", ["{", '{"schema_version": 999}'])
def test_a_newer_run_whose_record_cannot_be_read_is_named_in_a_warning(
    tmp_path: Path, text: str
) -> None:
    night(tmp_path, "one", rows(0))
    assert not any("cannot be read" in w for w in record(tmp_path, "one")["warnings"])
    shutil.copytree(tmp_path / "runs" / "one", tmp_path / "runs" / "newer")
    (tmp_path / "runs" / "newer" / "run.json").write_text(text)
    night(tmp_path, "two", rows(1))
    told = record(tmp_path, "two")
    assert told["earlier_run"]["path"] == str(tmp_path / "runs" / "one")
    assert any("run.json of newer in" in w and "cannot be read" in w for w in told["warnings"])


def test_features_of_the_earlier_model_are_taken_by_name(
    nights: tuple[Path, list[RunResult]], tmp_path: Path
) -> None:
    folder, _ = nights
    keys = {"against": str(folder / "runs" / "2026-01-01")}
    turned = {"feature_names": ["height", "more", "width"]}
    X = rows(1)
    wide = np.column_stack([X[:, 1], np.zeros(len(X)), X[:, 0]])
    night(tmp_path, "turned", wide, attributes=turned, monitor=keys)
    same = [c["shift"] for c in record(folder, "2026-01-02")["drift"]["components"]]
    found = [c["shift"] for c in record(tmp_path, "turned")["drift"]["components"]]
    assert found == pytest.approx(same, rel=1e-6)
    with pytest.raises(DataError, match=r"monitor.against .*2026-01-01.*height"):
        night(tmp_path, "absent", X, attributes={"feature_names": ["width", "h"]}, monitor=keys)


def test_a_path_without_a_model_and_other_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no model at"):
        night(tmp_path, "a", rows(0), monitor={"against": str(tmp_path / "absent")})
    night(tmp_path, "plain", rows(0))
    steps = [{"asinh": {"scale": 1}}]
    keys = {"against": str(tmp_path / "runs" / "plain")}
    with pytest.raises(JobFileError, match="behind the steps None, the job's preprocess is"):
        night(tmp_path, "b", rows(0), preprocess=steps, monitor=keys)
    night(tmp_path, "c", rows(0), preprocess=steps, monitor={})
    keys = {"against": str(tmp_path / "runs" / "c")}
    night(tmp_path, "d", rows(1), preprocess=steps, monitor=keys)
    assert record(tmp_path, "d")["drift"]["alarms"] == []


def test_a_run_without_a_monitor_is_another_job(tmp_path: Path) -> None:
    night(tmp_path, "a", rows(0), monitor={})
    with pytest.raises(OutputExistsError, match=r"monitor\.against"):
        night(tmp_path, "a", rows(0))


def test_the_plan_counts_the_pass(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "x.zarr", rows(0))
    without = plan_job(job(path, tmp_path / "runs" / "a"))
    plan = plan_job(job(path, tmp_path / "runs" / "a", monitor={"against": "last"}))
    assert plan.n_passes == without.n_passes + 1
    assert "earlier   1 pass more before the fit: monitor" in plan_table(plan)


def test_a_warm_refit_starts_from_the_last_run_and_the_first_from_kmeans(tmp_path: Path) -> None:
    keys = {"initialisation": {"model": "last"}, "monitor": {}}
    first = night(tmp_path, "a", rows(0), **keys)
    assert (first.outcome, record(tmp_path, "a")["earlier_run"]["path"]) == ("CONVERGED", None)
    night(tmp_path, "b", rows(1), **keys)
    found = record(tmp_path, "b")
    assert found["earlier_run"]["path"] == str(tmp_path / "runs" / "a")
    assert found["restarts"][0]["start"].startswith("given")
    one, two = (load_model(tmp_path / "runs" / name) for name in "ab")
    assert np.abs(one.means - two.means).max() < 0.2  # component by component: no relabelling


@pytest.mark.parametrize("parameters", [["means"], ["weights", "means", "covariances"]])
def test_an_adapted_model_moves_towards_the_rows_by_its_share(
    tmp_path: Path, parameters: list[str]
) -> None:
    keys = {"initialisation": {"model": "last"}, "adapt": {"relevance": 1000}}
    keys["adapt"]["parameters"] = parameters
    night(tmp_path, "a", rows(0), **keys)
    result = night(tmp_path, "b", rows(1, move=0.5), **keys)
    assert (result.outcome, result.exit_code) == ("ADAPTED", 20)
    old, new = (load_model(tmp_path / "runs" / name) for name in "ab")
    j = int(np.argmin(np.abs(old.means - [9.0, 0.0]).sum(axis=1)))
    share = record(tmp_path, "b")["adaptation"]["shares"][j]
    assert share == pytest.approx(2 / 3, abs=0.02)  # 2000 of 3000
    assert new.means[j, 0] - old.means[j, 0] == pytest.approx(0.5 * share, abs=0.05)
    assert (new.weights == old.weights).all() == (parameters == ["means"])


def test_the_expected_rate_of_a_fixed_density_is_that_of_the_earlier_run(tmp_path: Path) -> None:
    rule = {"output": {}, "anomalies": {"log_density": -6.0}}
    night(tmp_path, "a", rows(0), **rule)
    night(tmp_path, "b", rows(1), **rule)
    flagged = record(tmp_path, "a")["anomaly"]["n_anomalies"]
    assert flagged > 10
    found = record(tmp_path, "b")["drift"]["anomalies"]
    assert found["rate"] == flagged / 6000
    assert found["new_rate"] == pytest.approx(found["rate"], rel=0.5)


def test_a_component_that_moved_names_the_feature(nights: tuple[Path, list[RunResult]]) -> None:
    folder, _ = nights
    drift = record(folder, "2026-01-03")["drift"]
    (alarmed,) = [one for one in drift["components"] if one["alarms"]]
    first, second = alarmed["features"]
    assert (first["feature"], second["feature"]) == ("width", "height")
    assert (
        first["shift"] == pytest.approx(alarmed["shift"], abs=0.02) == pytest.approx(0.5, abs=0.1)
    )
    assert abs(second["shift"]) < 0.1
    assert [one["scale"] for one in (first, second)] == pytest.approx([1.0, 1.0], abs=0.1)
    table = drift_table(RunRecord.open(folder / "runs" / "2026-01-03"))
    assert table is not None
    cells = [row[-1] for row in table.rows]
    assert cells.count("—") == 2
    assert any(cell.startswith("width: mean +0.") for cell in cells)


@pytest.mark.parametrize("rule", [{"log_density": -6.0}, {"quantile": 0.02}])
def test_rates_of_both_runs_are_shares_of_the_weight(tmp_path: Path, rule: dict[str, Any]) -> None:
    X = rows(0)
    weights = np.where(X[:, 0] > X[:, 1], 5.0, 1.0)
    zarr.save_array(str(tmp_path / "w.zarr"), weights)
    for name in "ab":
        data = {"path": str(tmp_path / f"{name}.zarr"),
                "weights": {"array": "w.zarr", "kind": "importance"}}  # fmt: skip
        night(tmp_path, name, X, data=data, output={}, anomalies=rule)
    flags = zarr.open_array(str(tmp_path / "runs" / "a" / "outputs.zarr" / "anomaly"))[:] == 1
    share = weights[flags].sum() / weights.sum()
    assert abs(share - flags.mean()) > 1e-3  # by rows it is another
    found = record(tmp_path, "b")["drift"]["anomalies"]
    assert found["rate"] == pytest.approx(share, abs=5.1 / weights.sum())  # of a row
    assert found["new_rate"] == pytest.approx(share, rel=1e-9)


def test_rows_below_a_fixed_density_alarm_where_the_earlier_run_had_none(tmp_path: Path) -> None:
    rule = {"output": {}, "anomalies": {"log_density": -40.0}}
    night(tmp_path, "a", rows(0), **rule)
    assert record(tmp_path, "a")["anomaly"]["n_anomalies"] == 0
    far = rows(1)
    far[:60] += 60.0
    night(tmp_path, "b", far, **rule)
    found = record(tmp_path, "b")["drift"]["anomalies"]
    assert (found["rate"], found["new_rate"]) == (0.0, 0.01)
    assert found["is_alarm"]
