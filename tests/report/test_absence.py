from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fabricated_runs import facts, mixture, run_directory
from page_reading import Page

from dgmm.errors import DataError, InputNotFoundError, OutputFailedError
from dgmm.report import write_report
from dgmm.report.convergence import convergence
from dgmm.report.figure import ReportFigure
from dgmm.report.run_data import RunRecord
from dgmm.storage.atomic_files import read_json, write_json


def test_a_run_that_failed_early_has_a_report_of_its_end(tmp_path: Path) -> None:
    message = "data/x.zarr: feature x0 holds 3 NaN; set data.missing: drop"
    write_json(tmp_path / "run.json", {"status": "failed", "exit_code": 65, "message": message})
    page = Page(write_report(tmp_path))
    assert "The run failed" in page.text
    assert message in page.text
    assert page.attributes("figure") == []
    assert "the run directory holds no model" in page.text


def test_an_empty_record_still_makes_a_page(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {})
    assert "Outcome unknown" in Page(write_report(tmp_path)).text


@pytest.mark.parametrize(
    ("absent", "figures", "reason"),
    [
        ("metrics.csv", {"convergence"}, "no iterations in metrics.csv"),
        ("sample.npz", {"projection", "pair-plot", "overlap"}, "sample.npz holds no rows"),
        ("outputs.zarr", {"posterior", "log-density"}, "did not write output.log_density"),
        (
            "model",
            {"weights", "profiles", "profile-heatmap", "projection", "pair-plot", "overlap"},
            "the run directory holds no model",
        ),
    ],
)
def test_what_a_run_directory_lacks_is_left_out_and_named(
    tmp_path: Path, absent: str, figures: set[str], reason: str
) -> None:
    run = run_directory(tmp_path / "run", mixture(3, 2), 500, 100)
    write_report(run)
    whole = {path.stem for path in (run / "report").glob("*.svg")}
    path = run / absent
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = Page(write_report(run))
    assert whole - {path.stem for path in (run / "report").glob("*.svg")} == figures
    assert reason in page.text


@pytest.mark.parametrize("values", [["-2.5"], ["-2.5", "-2.5"]])
def test_convergence_without_a_change_has_one_panel_and_speaks_of_one(
    tmp_path: Path, values: list[str]
) -> None:
    rows = [f"0,{i},{value}\n" for i, value in enumerate(values)]
    text = "restart,iteration,mean_log_likelihood\n" + "".join(rows)
    (tmp_path / "metrics.csv").write_text(text, encoding="utf-8")
    figure = convergence(RunRecord(tmp_path, facts()))
    assert isinstance(figure, ReportFigure)
    assert "Left" not in figure.caption
    assert "ight" not in figure.caption.replace("higher", "")
    assert "No iteration after the first changed it." in figure.caption
    assert "|change|" not in figure.drawing.body
    (tmp_path / "metrics.csv").write_text(text + "0,7,-2.4\n", encoding="utf-8")
    changed = convergence(RunRecord(tmp_path, facts()))
    assert isinstance(changed, ReportFigure)
    assert "Right: how much it changed" in changed.caption
    assert "|change|" in changed.drawing.body


def test_convergence_is_that_of_the_objective_where_the_run_had_one(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", mixture(3, 2), 500, 100)
    plain = convergence(RunRecord.open(run))
    assert isinstance(plain, ReportFigure)
    assert plain.title == "Mean log-likelihood per iteration"
    heading, *lines = (run / "metrics.csv").read_text().splitlines()
    lines = [f"{line},{-40.0 + i}" for i, line in enumerate(lines)]
    (run / "metrics.csv").write_text("\n".join([f"{heading},objective", *lines, ""]))
    found = convergence(RunRecord.open(run))
    assert isinstance(found, ReportFigure)
    assert found.title == "Objective per iteration"
    assert "Left: the objective per row, which is the log-likelihood and what" in found.caption
    assert "ends at −29 nats per row in iteration 12" in found.alt  # restart 0
    assert found.drawing.body != plain.drawing.body


def test_a_prediction_is_reported_without_a_fit(tmp_path: Path) -> None:
    model = mixture(3, 2)
    run = run_directory(tmp_path / "run", model, 500, 100)
    changes = dict.fromkeys(("criteria", "restarts", "n_iter", "anomaly", "component_log"))
    kept = read_json(run / "run.json")["outputs"]
    write_json(
        run / "run.json",
        facts(model, 500, command="predict", outcome="PREDICTED", outputs=kept, **changes),
    )
    (run / "metrics.csv").unlink()
    page = Page(write_report(run))
    assert "Predicted" in page.text
    assert "Restarts" not in page.text


def test_an_outcome_is_told_with_its_remedy_and_warnings_stand_at_the_top(tmp_path: Path) -> None:
    model = mixture(2, 2)
    write_json(
        tmp_path / "run.json",
        facts(model, 100, outcome="MAX_ITER_REACHED", warnings=["feature x1 is constant"]),
    )
    text = Page(write_report(tmp_path)).text
    assert "Not converged" in text
    assert "raise model.max_iter" in text
    assert text.index("feature x1 is constant") < text.index("Criteria")


def test_a_report_needs_no_home_and_keeps_to_itself(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", mixture(2, 2), 200, 50)
    code = (
        "import sys; from pathlib import Path; from dgmm.report import write_report; "
        f"write_report(Path({str(run)!r})); sys.exit('matplotlib' in sys.modules)"
    )
    environment = {
        key: value for key, value in os.environ.items()
        if key not in {"MPLCONFIGDIR", "MPLBACKEND", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HOME": "/proc/nowhere"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_folder_without_run_json_is_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"run\.json"):
        write_report(tmp_path)


def test_a_run_json_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(DataError, match="expected an object, found a list"):
        write_report(tmp_path)


def test_a_place_that_cannot_be_written_is_an_output_failure(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {})
    (tmp_path / "report").write_text("a file in the way")
    with pytest.raises(OutputFailedError, match="report"):
        write_report(tmp_path)
