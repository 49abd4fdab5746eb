"""`comparison: true`: what run.json, the report and `dgmm plan` have of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr

from dgmm.config import load_job
from dgmm.errors import StoppedError
from dgmm.events import SilentListener
from dgmm.fitting.comparison import comparing
from dgmm.fitting.selection.folds import Folds
from dgmm.job import run_job
from dgmm.job.plan_table import plan_table
from dgmm.job.planned_passes import comparison_text
from dgmm.job.planning import plan_job
from dgmm.mixture.covariance import family_named
from dgmm.mixture.criteria import n_parameters
from dgmm.run_record import json_schema

PROJECT = Path(__file__).resolve().parents[2]
NAMES = ["full", "tied", "diag", "spherical", "k-means"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of config/compare.yaml on rows of three clusters, one of them narrow."""
    path = tmp_path_factory.mktemp("compared")
    X, labels = gaussian_clusters(9000, 3, 3, seed=2, spread=4.0)
    write_zarr(path / "rows.zarr", X * np.where(labels == 1, 0.3, 1.0)[:, None])
    asked = load_job(
        PROJECT / "config" / "compare.yaml",
        (
            *(f"data.path={path / 'rows.zarr'}", f"output.path={path / 'run'}"),
            *("cluster.kind=threads", "model.n_components=3", "initialisation.sample_rows=4000"),
        ),
    )
    run_job(asked, SilentListener())
    return path


@pytest.fixture(scope="module")
def record(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "run" / "run.json").read_text())["comparison"]
    assert isinstance(found, dict)
    return found


def test_every_method_has_its_figures(record: dict[str, Any]) -> None:
    assert [one["name"] for one in record["methods"]] == NAMES
    assert record["rows"] == 9000
    assert record["held_out_rows"] == (Folds(5).of_rows(np.arange(9000)) == 0).sum()
    assert 3000 < record["fitted_rows"] < 3400  # four fifths of the sample
    for one in record["methods"][:4]:
        p = n_parameters(family_named(one["name"]), 3, 3)
        assert one["n_parameters"] == p
        bic = p * math.log(9000) / 9000 - 2 * one["mean_log_likelihood"]
        assert one["bic_per_row"] == pytest.approx(bic, rel=1e-12)
        assert abs(one["held_out"] - one["mean_log_likelihood"]) < 0.2
    centres = record["methods"][4]
    assert centres["n_parameters"] == 9
    assert {centres[key] for key in ("held_out", "bic_per_row", "standard_error")} == {None}


def test_the_highest_held_out_likelihood_is_that_which_others_are_below(
    record: dict[str, Any],
) -> None:
    levels = {one["name"]: one["held_out"] for one in record["methods"][:4]}
    best = max(levels.values())
    for one in record["methods"][:4]:
        assert one["below_best"] == pytest.approx(best - one["held_out"], abs=1e-12)
        assert (one["standard_error"] == 0) == (one["held_out"] == best)
    # The narrow cluster tells the families apart: one covariance for all does not fit.
    assert min(levels["full"], levels["diag"]) > levels["tied"] + 0.1


def test_agreement_is_symmetric_and_of_separated_clusters_nearly_full(
    record: dict[str, Any],
) -> None:
    for key, own in (("adjusted_rand_index", 1.0), ("moved", 0.0)):
        values = np.array(record[key])
        np.testing.assert_allclose(values, values.T, atol=1e-12)
        assert (np.diag(values) == own).all()
    assert np.array(record["adjusted_rand_index"]).min() > 0.9
    assert np.array(record["moved"]).max() < 0.05


def test_the_report_has_the_methods_and_says_that_k_means_has_no_likelihood(
    folder: Path, record: dict[str, Any]
) -> None:
    page = (folder / "run" / "report.html").read_text()
    assert "k-means has no likelihood: compare it with the spherical mixture" in page
    numbers = json.loads((folder / "run" / "report.json").read_text())
    (section,) = [s for s in numbers["sections"] if s["anchor"] == "comparison"]
    (methods,) = [t for t in section["tables"] if t["title"] == "Methods"]
    assert [row[0] for row in methods["rows"]] == NAMES
    assert [row[4] for row in methods["rows"]] == [one["held_out"] for one in record["methods"]]
    (moved,) = [t for t in section["tables"] if t["title"] == "Rows in another cluster"]
    assert [row[1:] for row in moved["rows"]] == record["moved"]
    figures = {figure["name"]: figure["table"] for figure in section["figures"]}
    assert [row[1:] for row in figures["agreement"]["rows"]] == record["adjusted_rand_index"]
    assert len(figures["held-out-families"]["rows"]) == 4


def test_results_are_those_of_the_job_without_it_and_the_plan_says_what_it_takes(
    folder: Path, tmp_path: Path
) -> None:
    plain = {"model": {"n_components": 3}, "initialisation": {"sample_rows": 4000}}
    asked = job(folder / "rows.zarr", tmp_path / "run", **plain)
    run_job(asked, SilentListener())
    both = [json.loads((d / "run" / "run.json").read_text()) for d in (folder, tmp_path)]
    assert both[0]["outputs"] == both[1]["outputs"]
    assert both[0]["log_likelihood"] == both[1]["log_likelihood"]
    assert "comparison" not in both[1]
    assert both[0]["job_fingerprint"] != both[1]["job_fingerprint"]
    text = plan_table(plan_job(asked))
    compared = plan_table(plan_job(asked.model_copy(update={"comparison": True})))
    assert "comparing" not in text
    names = "full, tied, diag, spherical, k-means"
    assert f"comparing {names}: 15 fits: each method once to at most 20,000 rows" in compared
    assert "203 passes at most" in compared
    assert "202 passes at most" in text


@pytest.mark.parametrize(
    ("family", "noise", "expected"),
    [
        ("full", False, "full, tied, diag, spherical, k-means: 15 fits:"),
        ("tied_diag", False, "full, tied, diag, spherical, tied_diag, k-means: 18 fits:"),
        ("diag", True, "full, tied, diag, spherical, diag with noise, k-means: 18 fits:"),
        (["full", "diag"], False, "full, tied, diag, spherical, k-means: 15 fits:"),
        (
            ["full", "tied_diag"],
            False,
            "full, tied, diag, spherical, k-means and the chosen family: 18 fits at most:",
        ),
        (
            ["full", "diag"],
            True,
            "full, tied, diag, spherical, k-means and the chosen family with noise: 18 fits:",
        ),
    ],
)
def test_the_plan_counts_the_fits_of_the_job(
    tmp_path: Path, family: str | list[str], noise: bool, expected: str
) -> None:
    model = {"n_components": 3, "covariance_type": family, "noise": noise}
    asked = job(tmp_path / "rows.zarr", tmp_path / "run", model=model, comparison=True)
    assert comparison_text(asked).startswith(expected)
    assert comparison_text(asked.model_copy(update={"comparison": False})) == ""


def test_one_component_is_compared_with_nothing(folder: Path, tmp_path: Path) -> None:
    asked = job(folder / "rows.zarr", tmp_path / "run", model={"n_components": 1}, comparison=True)
    run_job(asked, SilentListener())
    found = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "comparison" not in found
    assert any("comparison takes 2 to 128" in text for text in found["warnings"])


def test_the_record_is_what_its_schema_says(record: dict[str, Any]) -> None:
    schema = json_schema()["properties"]["comparison"]
    assert set(record) == set(schema["properties"])
    (methods,) = [schema["properties"]["methods"]["items"]]
    assert all(set(one) == set(methods["properties"]) for one in record["methods"])


def test_a_run_that_is_stopped_in_the_comparison_ends_with_the_same_figures(
    folder: Path, tmp_path: Path, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = job(
        folder / "rows.zarr",
        tmp_path / "run",
        model={"n_components": 3},
        initialisation={"sample_rows": 4000},
        comparison=True,
        checkpoint={"every_s": 1e-6},
    )

    def stopped(*_: Any) -> None:
        raise StoppedError("stopped by a signal")

    monkeypatch.setattr(comparing, "require_all_rows", stopped)
    with pytest.raises(StoppedError):
        run_job(asked, SilentListener())
    monkeypatch.undo()
    assert run_job(asked, SilentListener()).exit_code == 0
    found = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(found["attempts"]) == 1
    assert without_times(found["comparison"]) == without_times(record)


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    methods = [{k: v for k, v in m.items() if k != "seconds_per_row"} for m in record["methods"]]
    return {k: v for k, v in record.items() if k != "seconds"} | {"methods": methods}


def test_without_a_row_that_is_held_out_there_is_no_held_out_likelihood(tmp_path: Path) -> None:
    X, _ = gaussian_clusters(12, 2, 2, seed=2, spread=4.0)
    write_zarr(tmp_path / "rows.zarr", X)
    rows = Folds(5, 100, 1).of_rows(np.arange(12))
    assert rows.all()  # no row is in fold 0, which is held out
    keys = {"model": {"n_components": 2}, "comparison": True, "selection": {"fold_rows": 100}}
    run_job(job(tmp_path / "rows.zarr", tmp_path / "run", seed=1, **keys), SilentListener())
    found = json.loads((tmp_path / "run" / "run.json").read_text())["comparison"]
    assert found["held_out_rows"] == 0
    for one in found["methods"]:
        assert (one["held_out"], one["below_best"], one["standard_error"]) == (None, None, None)
