"""Jobs whose rows a source yields: prepared in the run directory, then fitted as any rows are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from formula_source import FORMULA, FormulaSource

from dgmm.cli.entry_point import run
from dgmm.data.formats import FORMATS

SIZES = (5000, 0, 12_000, 700, 9000, 1)
PRODUCTS = ("labels", "max_posterior", "log_density")


@pytest.fixture(autouse=True)
def formula(monkeypatch):
    monkeypatch.setitem(FORMATS, "formula", FORMULA)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "log").mkdir()
    return FormulaSource(SIZES, log=str(tmp_path / "log"))


def job_of(folder: Path, data: Path, name: str = "run", /, **sections: dict[str, Any]) -> Path:
    tree: dict[str, Any] = {
        "data": {"path": str(data)},
        "model": {"n_components": 3, "max_iter": 5, "tol": 1e-3},
        "cluster": {"kind": "threads", "n_workers": 2},
        "output": {"path": str(folder / name), "report": False},
        "on_not_converged": "ignore",
    }
    for section, keys in sections.items():
        tree[section] = {**tree.get(section, {}), **keys}
    job = folder / f"{name}.yaml"
    job.write_text(json.dumps(tree), encoding="utf-8")
    return job


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def bits(directory: Path) -> list[bytes]:
    """Of the model and all outputs."""
    outputs = zarr.open_group(directory / "outputs.zarr", mode="r")
    arrays = (directory / "model" / "arrays.npz").read_bytes()
    return [arrays, *(np.asarray(outputs[name][:]).tobytes() for name in PRODUCTS)]


def by_hand(folder: Path, source: FormulaSource) -> Path:
    """The same rows written by a user."""
    rows = source.all_rows()
    path = folder / "by-hand.zarr"
    array = zarr.create_array(str(path), shape=rows.shape, chunks=(1000, 2), dtype=rows.dtype)
    array[...] = rows
    array.attrs["feature_names"] = list(source.description.feature_names)
    return path


def test_a_source_is_fitted_with_the_bits_of_the_same_rows_written_by_hand(tmp_path, source):
    job = job_of(tmp_path, source.save(tmp_path / "rows.json"))
    assert run(["run", "--quiet", str(job)]) == 0
    assert run(["run", "--quiet", str(job_of(tmp_path, by_hand(tmp_path, source), "plain"))]) == 0
    assert bits(tmp_path / "run") == bits(tmp_path / "plain")
    assert set(source.n_reads().values()) == {1}
    found = record(tmp_path / "run")
    assert found["rows"] == {"total": sum(SIZES), "read": sum(SIZES), "dropped": 0}
    assert found["prepared"]["kind"] == "formula"
    assert (found["prepared"]["rows"], found["prepared"]["parts"]) == (sum(SIZES), len(SIZES))
    assert found["prepared"]["bytes"] > 1000
    assert found["timings"]["prepare"] >= 0
    assert "prepared" not in record(tmp_path / "plain")
    np.testing.assert_array_equal(
        zarr.open_group(tmp_path / "run" / "prepared.zarr", mode="r")["rows"][:], source.all_rows()
    )


def test_a_finished_run_reads_nothing_again(tmp_path, source):
    job = job_of(tmp_path, source.save(tmp_path / "rows.json"))
    assert run(["run", "--quiet", str(job)]) == 0
    assert run(["run", "--quiet", "--exit-skip", str(job)]) == 99
    assert set(source.n_reads().values()) == {1}


def test_a_larger_max_iter_goes_on_with_the_rows_that_were_prepared(tmp_path, source):
    data = source.save(tmp_path / "rows.json")
    short = {"model": {"max_iter": 1, "tol": 0}}
    assert run(["run", "--quiet", str(job_of(tmp_path, data, **short))]) == 0
    longer = job_of(tmp_path, data, model={"max_iter": 3, "tol": 0})
    assert run(["run", "--quiet", str(longer)]) == 0
    assert set(source.n_reads().values()) == {1}
    assert record(tmp_path / "run")["prepared"]["rows"] == sum(SIZES)


def test_a_model_is_applied_to_a_source_and_its_outputs_are_written_again(tmp_path, source):
    data = source.save(tmp_path / "rows.json")
    assert run(["run", "--quiet", str(job_of(tmp_path, data))]) == 0
    job = job_of(tmp_path, data, "predicted", model={"path": str(tmp_path / "run" / "model")})
    tree = json.loads(job.read_text())
    tree["model"] = {"path": tree["model"]["path"]}
    job.write_text(json.dumps(tree))
    assert run(["predict", "--quiet", str(job)]) == 0
    assert bits(tmp_path / "predicted") == bits(tmp_path / "run")
    before = bits(tmp_path / "predicted")
    shutil.rmtree(tmp_path / "predicted" / "outputs.zarr" / "labels")
    shutil.rmtree(tmp_path / "predicted" / "prepared.zarr")
    assert run(["predict", "--quiet", str(job)]) == 73
    assert run(["predict", "--quiet", "--rebuild-outputs", str(job)]) == 0
    assert bits(tmp_path / "predicted") == before


def test_prepared_rows_that_were_damaged_are_written_again(tmp_path, source):
    data = source.save(tmp_path / "rows.json")
    assert (
        run(["run", "--quiet", str(job_of(tmp_path, data, model={"max_iter": 1, "tol": 0}))]) == 0
    )
    (tmp_path / "run" / "prepared.zarr" / "rows" / "c" / "0" / "0").unlink()
    longer = job_of(tmp_path, data, model={"max_iter": 3, "tol": 0})
    assert run(["run", "--quiet", str(longer)]) == 0
    assert set(source.n_reads().values()) == {2}
    assert any("is written again" in text for text in record(tmp_path / "run")["warnings"])


def test_a_part_with_other_rows_ends_the_job_with_its_name(tmp_path, source, capsys):
    short = FormulaSource(SIZES, missing_rows={"2": 4})
    assert run(["run", "--quiet", str(job_of(tmp_path, short.save(tmp_path / "rows.json")))]) == 65
    assert "part 2: 11,996 rows were read" in capsys.readouterr().err


def test_a_row_with_a_missing_value_is_located_in_the_source(tmp_path, capsys, monkeypatch):
    import formula_source

    real = formula_source.formula_rows

    def with_gap(start, stop, d):
        rows = real(start, stop, d)
        if start <= 17_003 < stop:
            rows[17_003 - start, 1] = np.nan
        return rows

    monkeypatch.setattr(formula_source, "formula_rows", with_gap)
    data = FormulaSource(SIZES).save(tmp_path / "rows.json")
    assert run(["run", "--quiet", str(job_of(tmp_path, data))]) == 65
    assert "part 3, row 3" in capsys.readouterr().err
