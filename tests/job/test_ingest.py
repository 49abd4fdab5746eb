"""`dgmm ingest`: the prepare stage alone, in the run directory or at a place of its own."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from formula_jobs import SIZES, bits, by_hand, job_of, record
from formula_source import FORMULA, FormulaSource

from dgmm.cli.entry_point import run
from dgmm.data.formats import FORMATS
from dgmm.job.lock_beside import locked_beside
from dgmm.storage.folders import Folder


@pytest.fixture(autouse=True)
def formula(monkeypatch):
    monkeypatch.setitem(FORMATS, "formula", FORMULA)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "log").mkdir()
    return FormulaSource(SIZES, log=str(tmp_path / "log"))


def test_a_run_goes_on_from_rows_that_were_prepared_alone(tmp_path, source, capsys):
    data = source.save(tmp_path / "rows.json")
    job = str(job_of(tmp_path, data))
    assert run(["ingest", job]) == 0
    assert f"{sum(SIZES):,} rows are prepared; dgmm run goes on" in capsys.readouterr().err
    found = record(tmp_path / "run")
    assert (found["status"], found["exit_code"]) == ("stopped", 0)
    assert not (tmp_path / "run" / "report.html").exists()
    assert run(["ingest", "--quiet", job]) == 0
    assert run(["run", "--quiet", job]) == 0
    assert set(source.n_reads().values()) == {1}
    assert record(tmp_path / "run")["prepared"]["rows"] == sum(SIZES)
    assert run(["ingest", "--quiet", job]) == 0
    assert record(tmp_path / "run")["status"] == "done"


def test_rows_go_to_a_group_of_their_own_that_a_job_can_read(tmp_path, source, capsys):
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json")))
    to = tmp_path / "made" / "rows.zarr"
    assert run(["ingest", job, "--to", str(to)]) == 0
    assert f"{sum(SIZES):,} rows of 3 features are in {to}" in capsys.readouterr().err
    np.testing.assert_array_equal(zarr.open_group(to, mode="r")["rows"][:], source.all_rows())
    assert [path.name for path in to.parent.iterdir()] == ["rows.zarr"]
    assert not (tmp_path / "run").exists()
    assert run(["ingest", job, "--to", str(to)]) == 0
    assert "prepared before" in capsys.readouterr().err
    assert set(source.n_reads().values()) == {1}
    own = job_of(tmp_path, to, "own", data={"array": "rows"})
    assert run(["run", "--quiet", str(own)]) == 0
    assert run(["run", "--quiet", job]) == 0
    assert bits(tmp_path / "own") == bits(tmp_path / "run")


def test_a_place_that_holds_something_else_is_refused(tmp_path, source, capsys):
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json")))
    other = by_hand(tmp_path, source)
    before = sorted(other.rglob("*"))
    assert run(["ingest", job, "--to", str(other)]) == 73
    assert "exists and holds something else than these rows" in capsys.readouterr().err
    assert sorted(other.rglob("*")) == before


def test_plain_rows_are_copied_to_a_place_and_not_to_the_run_directory(tmp_path, source, capsys):
    job = str(job_of(tmp_path, by_hand(tmp_path, source)))
    assert run(["ingest", job]) == 78
    assert "read in place: nothing is to be prepared" in capsys.readouterr().err
    assert run(["ingest", "--quiet", job, "--to", str(tmp_path / "copy.zarr")]) == 0
    copy = zarr.open_group(tmp_path / "copy.zarr", mode="r")
    np.testing.assert_array_equal(copy["rows"][:], source.all_rows())


def test_damaged_parts_have_the_exit_code_of_a_run(tmp_path, capsys):
    short = FormulaSource(SIZES, missing_rows={"0": 1})
    job = str(job_of(tmp_path, short.save(tmp_path / "rows.json")))
    assert run(["ingest", "--quiet", job]) == 65
    assert run(["ingest", "--quiet", job, "--to", str(tmp_path / "rows.zarr")]) == 65
    assert "part 0: 4,999 rows were read" in capsys.readouterr().err


def test_one_process_at_a_time_writes_to_a_place(tmp_path, source, capsys):
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json")))
    to = tmp_path / "made" / "rows.zarr"
    to.parent.mkdir()
    with Folder(to.parent) as folder, locked_beside(folder, to):
        assert run(["ingest", job, "--to", str(to)]) == 73
        assert f"{to} is in use by a running job" in capsys.readouterr().err
        assert run(["ingest", "--quiet", job, "--to", str(to.with_name("other.zarr"))]) == 0
    assert run(["ingest", "--quiet", job, "--to", str(to)]) == 0
    assert sorted(path.name for path in to.parent.iterdir()) == ["other.zarr", "rows.zarr"]


def test_a_folder_that_is_no_lock_is_left_alone(tmp_path, source, capsys):
    job = str(job_of(tmp_path, source.save(tmp_path / "rows.json")))
    (tmp_path / "rows.zarr.lock").mkdir()
    (tmp_path / "rows.zarr.lock/mine").touch()
    assert run(["ingest", job, "--to", str(tmp_path / "rows.zarr")]) == 73
    assert "rows.zarr.lock exists and is no lock" in capsys.readouterr().err
    assert (tmp_path / "rows.zarr.lock/mine").exists()
