"""What rows lack is known once they are prepared: to plan, ingest and `--accept-cost`."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from formula_jobs import SIZES, by_hand, job_of, record
from formula_source import FORMULA, FormulaSource

from dgmm.cli.entry_point import run
from dgmm.data.formats import FORMATS
from dgmm.fitting.missing_cost import describe_factor

N = sum(SIZES)
MARGINALISE = {"missing": "marginalise"}


@pytest.fixture(autouse=True)
def formula(monkeypatch):
    monkeypatch.setitem(FORMATS, "formula", FORMULA)


@pytest.fixture
def source(tmp_path):
    """Patterns of three features, that of no value among them."""
    (tmp_path / "log").mkdir()
    return FormulaSource(SIZES, log=str(tmp_path / "log"), gaps=8)


def counts():
    """Rows with each pattern, by the number whose bits it is."""
    return np.bincount(np.arange(N) % 8)


def said():
    n_empty = counts()[7]
    n_partial = N - n_empty - counts()[0]
    return f"{n_partial:,} of {N:,} rows lack some values, in 7 patterns; {n_empty:,} have no value"


def planned(capsys, *arguments):
    capsys.readouterr()
    assert run(["plan", *arguments]) == 0
    return capsys.readouterr().out


def test_ingest_prints_the_patterns_and_the_plan_knows_them_before_any_fit(
    tmp_path, source, capsys
):
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json"), data=MARGINALISE))
    assert "patterns are counted when the rows are prepared (dgmm ingest" in planned(capsys, job)
    assert run(["ingest", "--quiet", job]) == 0
    assert f"{N:,} rows are prepared: {said()}; dgmm run goes on" in capsys.readouterr().err
    text = planned(capsys, job)
    assert f"marginalised over: {said()} (counted when the rows were written)" in text
    assert f"{counts()[1]:,} rows lack feature 0\n" in text
    assert "  and 1 more\n" in text
    cost = describe_factor(record(tmp_path / "run")["missing"]["cost"])
    assert cost in text
    other = planned(capsys, job, "--set", "model.covariance_type=diag")
    assert said() in other
    assert cost not in other
    assert run(["run", "--quiet", job]) == 0
    assert record(tmp_path / "run")["missing"]["patterns"] == 7
    assert cost in planned(capsys, job)
    assert set(source.n_reads().values()) == {1}


def test_the_cost_is_asked_for_as_soon_as_rows_are_prepared(tmp_path, source, capsys, monkeypatch):
    monkeypatch.setattr("dgmm.fitting.missing_cost.MOST_COST", 1.0)
    monkeypatch.setattr("dgmm.fitting.missing_cost.LONG_PASS_S", 0.0)
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json"), data=MARGINALISE))
    assert run(["run", "--quiet", job]) == 78
    assert "Either run the job with --accept-cost, or" in capsys.readouterr().err
    timings = record(tmp_path / "run")["timings"]
    assert "prepare" in timings
    assert "summary" not in timings
    assert run(["run", "--quiet", "--accept-cost", job]) == 0
    assert "summary" in record(tmp_path / "run")["timings"]
    assert set(source.n_reads().values()) == {1}


def test_ingest_warns_of_a_cost_that_the_run_will_ask_for(tmp_path, source, capsys, monkeypatch):
    monkeypatch.setattr("dgmm.fitting.missing_cost.MOST_COST", 1.0)
    monkeypatch.setattr("dgmm.fitting.missing_cost.LONG_PASS_S", 0.0)
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json"), data=MARGINALISE))
    assert run(["ingest", "--quiet", job]) == 0
    assert "dgmm run will ask for --accept-cost" in capsys.readouterr().err


def test_patterns_too_many_to_record_are_counted_by_the_run(tmp_path, source, capsys, monkeypatch):
    monkeypatch.setattr("dgmm.data.summary.missing_counts.MOST_RECORDED_BYTES", 3)
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json"), data=MARGINALISE))
    assert run(["ingest", "--quiet", job]) == 0
    number = "in patterns too many to record"
    assert number in capsys.readouterr().err
    text = planned(capsys, job)
    assert f"{number}; {counts()[7]:,} have no value (counted when the rows were written)" in text
    assert "the run counts the patterns. If they make passes take more than 50 times" in text
    assert "missing" not in record(tmp_path / "run")
    assert run(["run", "--quiet", job]) == 0
    assert record(tmp_path / "run")["missing"]["patterns"] == 7


def test_rows_that_are_prepared_elsewhere_keep_their_counts(tmp_path, source, capsys):
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json")))
    to = tmp_path / "rows.zarr"
    assert run(["ingest", "--quiet", job, "--to", str(to)]) == 0
    assert f"features are in {to}: {said()}" in capsys.readouterr().err
    own = job_of(tmp_path, to, "own", data={"array": "rows", **MARGINALISE})
    assert said() in planned(capsys, str(own))


def ingested(tmp_path, source):
    """Rows that `dgmm ingest --to` has written, and a job that reads them in place."""
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json")))
    assert run(["ingest", "--quiet", job, "--to", str(tmp_path / "rows.zarr")]) == 0
    own = job_of(tmp_path, tmp_path / "rows.zarr", data={"array": "rows", **MARGINALISE})
    return zarr.open_group(tmp_path / "rows.zarr", mode="r+", use_consolidated=False), str(own)


def test_gaps_that_were_filled_in_place_are_not_refused_by_the_record(
    tmp_path, source, capsys, monkeypatch
):
    monkeypatch.setattr("dgmm.fitting.missing_cost.MOST_COST", 1.0)
    monkeypatch.setattr("dgmm.fitting.missing_cost.LONG_PASS_S", 0.0)
    group, job = ingested(tmp_path, source)
    gaps = group["rows"][:]
    group["rows"][:] = np.nan_to_num(gaps)
    assert run(["run", "--quiet", job]) == 0
    assert "missing" not in record(tmp_path / "run")
    group["rows"][:] = gaps
    other = ["--set", f"output.path={tmp_path / 'other'}"]
    assert run(["run", "--quiet", job, *other]) == 78  # by what the summary has counted
    assert "summary" in record(tmp_path / "other")["timings"]


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("shape", [(N - 5, 3), (N, 4)])
def test_a_plan_does_not_believe_the_record_of_rows_of_another_shape(
    tmp_path, source, capsys, shape
):
    group, job = ingested(tmp_path, source)
    group["rows"].resize(shape)
    group["rows"][:] = 1.0
    names = [f"feature {i}" for i in range(shape[1])]
    group["rows"].update_attributes({"feature_names": names, "units": {}})
    zarr.consolidate_metadata(group.store)
    assert "patterns are not counted yet" in planned(capsys, job)


def test_values_that_a_step_has_no_result_for_are_counted(tmp_path, capsys):
    rows = np.ones((500, 2))
    rows[:40, 1] = -1.0
    zarr.create_array(str(tmp_path / "rows.zarr"), data=rows, chunks=(100, 2))
    steps = tmp_path / "run.yaml"
    job_of(tmp_path, tmp_path / "rows.zarr", data=MARGINALISE)
    steps.write_text(steps.read_text()[:-1] + ', "preprocess": [{"log": {"offset": 0}}]}')
    assert run(["ingest", "--quiet", str(steps)]) == 0
    told = capsys.readouterr().err
    assert "500 rows are prepared: 40 of 500 rows lack some values, in 2 patterns" in told


def test_a_plan_counts_rows_in_place_where_it_is_asked_to(tmp_path, source, capsys, monkeypatch):
    plain = str(job_of(tmp_path, by_hand(tmp_path, source), data=MARGINALISE))
    assert "patterns are not counted yet: --count-missing counts" in planned(capsys, plain)
    counted = planned(capsys, plain, "--count-missing")
    assert f"marginalised over: {said()} (counted now)" in counted
    assert "a pass takes about" in counted
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)  # blocks of 4,096 rows: 7
    monkeypatch.setattr("dgmm.job.missing_plan._MOST_BLOCKS", 2)
    seen = planned(capsys, plain, "--count-missing")
    assert "in 7 patterns" in seen
    assert "estimated from 2 of 7 blocks; others may have more patterns" in seen


def test_what_a_run_has_counted_is_told_of_its_own_job_and_data_alone(tmp_path, source, capsys):
    path = by_hand(tmp_path, source)
    job = str(job_of(tmp_path, path, data=MARGINALISE))
    assert run(["run", "--quiet", job]) == 0
    by_run = f"marginalised over: 7 patterns (counted by the run in {tmp_path / 'run'}), a pass"
    assert by_run in planned(capsys, job)
    assert f"{said()} (counted now)" in planned(capsys, job, "--count-missing")
    assert by_run not in planned(capsys, job, "--set", "model.covariance_type=diag")
    steps = planned(capsys, job, "--set", "preprocess=[{log: {offset: 100}}]")
    assert "patterns are counted when the rows are prepared" in steps
    zarr.open_array(path)[:2000] = 1.0
    assert "patterns are not counted yet" in planned(capsys, job)


def test_a_plan_that_is_to_count_does_not_take_the_record_beside_the_rows(tmp_path, source, capsys):
    group, job = ingested(tmp_path, source)
    assert f"{said()} (counted when the rows were written)" in planned(capsys, job)
    group["rows"][:] = 1.0
    told = f"none of {N:,} rows lacks a value (counted now)"
    assert told in planned(capsys, job, "--count-missing")


@pytest.mark.parametrize("is_source", [True, False])
def test_of_several_models_the_highest_cost_is_asked_for(
    tmp_path, source, capsys, monkeypatch, is_source
):
    data = source.save(tmp_path / "rows.json") if is_source else by_hand(tmp_path, source)
    alone, short = [], {"initialisation": {"n_sample_starts": 1}}
    for k, kind in ((4, "diag"), (2, "full"), (4, "full")):
        model = {"n_components": k, "covariance_type": kind, "max_iter": 1}
        name = f"{kind}-{k}"
        own = job_of(tmp_path, data, name, data=MARGINALISE, model=model, **short)
        assert run(["run", "--quiet", str(own)]) == 0
        alone.append(record(tmp_path / name)["missing"]["cost"])
    assert len(set(alone)) == 3
    monkeypatch.setattr("dgmm.fitting.missing_cost.MOST_COST", 1.0)
    monkeypatch.setattr("dgmm.fitting.missing_cost.LONG_PASS_S", 0.0)
    kinds = ["diag", "full"]
    short |= {"model": {"n_components": [2, 4], "covariance_type": kinds, "max_iter": 1}}
    job = str(job_of(tmp_path, data, data=MARGINALISE, selection={"split_starts": False}, **short))
    assert "marginalised over" in planned(capsys, job)
    assert run(["run", "--quiet", job]) == 78
    assert describe_factor(max(alone)) in capsys.readouterr().err
    assert record(tmp_path / "run")["missing"]["cost"] == max(alone)
    assert f"{describe_factor(max(alone))} (--accept-cost)" in planned(capsys, job)
    assert run(["run", "--quiet", "--accept-cost", job]) == 0
    assert len(record(tmp_path / "run")["selection"]["models"]) == 4
