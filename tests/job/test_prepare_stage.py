"""Jobs whose rows a source yields: prepared in the run directory, then fitted as any rows are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import formula_jobs
import numpy as np
import pytest
import zarr
from formula_jobs import SIZES, bits, by_hand, job_of, record
from formula_source import FORMULA, FormulaSource, formula_weights

from dgmm.cli.entry_point import run
from dgmm.data.formats import FORMATS


@pytest.fixture(autouse=True)
def formula(monkeypatch):
    monkeypatch.setitem(FORMATS, "formula", FORMULA)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "log").mkdir()
    return FormulaSource(SIZES, log=str(tmp_path / "log"))


def test_a_source_is_fitted_with_the_bits_of_the_same_rows_written_by_hand(tmp_path, source):
    job = job_of(tmp_path, source.save(tmp_path / "rows.json"))
    assert run(["run", "--quiet", str(job)]) == 0
    assert run(["run", "--quiet", str(job_of(tmp_path, by_hand(tmp_path, source), "plain"))]) == 0
    assert bits(tmp_path / "run") == bits(tmp_path / "plain")
    assert set(source.n_reads().values()) == {1}
    found = record(tmp_path / "run")
    assert (found["rows"]["total"], found["rows"]["dropped"]) == (sum(SIZES), 0)
    assert found["prepared"]["kind"] == "formula"
    assert (found["prepared"]["rows"], found["prepared"]["parts"]) == (sum(SIZES), len(SIZES))
    assert found["prepared"]["bytes"] > 1000
    assert found["timings"]["prepare"] >= 0
    assert "prepared" not in record(tmp_path / "plain")
    np.testing.assert_array_equal(
        zarr.open_group(tmp_path / "run" / "prepared.zarr", mode="r")["rows"][:], source.all_rows()
    )


def files(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_process_that_is_killed_while_it_prepares_goes_on_with_the_same_bytes(tmp_path):
    sizes, d = (20_000,) * 14, 27  # two groups, of nine and five parts
    (tmp_path / "log").mkdir()
    source = FormulaSource(sizes, d, str(tmp_path / "log"), dtype="<f4", kill_at=11)
    job = job_of(tmp_path, source.save(tmp_path / "rows.json"), cluster={"n_workers": 1})
    script = [sys.executable, formula_jobs.__file__, "ingest", "--quiet", str(job)]
    assert subprocess.run(script, check=False, cwd=tmp_path).returncode == 9
    assert (tmp_path / "run" / "prepared.zarr.part").is_dir()
    assert run(["ingest", "--quiet", str(job)]) == 0
    assert source.n_reads() == {i: 2 if i in {9, 10, 11} else 1 for i in range(14)}
    assert record(tmp_path / "run")["attempts"][0]["status"] == "running"
    same = FormulaSource(sizes, d, dtype="<f4").save(tmp_path / "same.json")
    assert run(["ingest", "--quiet", str(job_of(tmp_path, same, "whole"))]) == 0
    one, other = (tmp_path / name / "prepared.zarr" for name in ("run", "whole"))
    assert files(one) == files(other)


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


#: A group without consolidated metadata.
GROUP = {"zarr_format": 3, "node_type": "group"}


def attributes(folder):
    return json.loads((folder / "zarr.json").read_text())["attributes"]


def test_prepared_rows_without_metadata_are_all_written_again(tmp_path, source):
    data = source.save(tmp_path / "rows.json")
    assert (
        run(["run", "--quiet", str(job_of(tmp_path, data, model={"max_iter": 1, "tol": 0}))]) == 0
    )
    (tmp_path / "run" / "prepared.zarr" / "rows" / "zarr.json").write_text("{")
    (tmp_path / "run" / "prepared.zarr" / "zarr.json").write_text(
        json.dumps(GROUP | {"attributes": attributes(tmp_path / "run" / "prepared.zarr")})
    )
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


def test_a_plain_array_is_copied_where_that_is_asked_for(tmp_path, source):
    plain = by_hand(tmp_path, source)
    assert run(["run", "--quiet", str(job_of(tmp_path, plain))]) == 0
    copied = job_of(tmp_path, plain, "copied", data={"prepare": "always"})
    assert run(["run", "--quiet", str(copied)]) == 0
    assert bits(tmp_path / "copied") == bits(tmp_path / "run")
    assert record(tmp_path / "copied")["prepared"]["kind"] == "plain array"
    assert (tmp_path / "copied" / "prepared.zarr" / "rows").is_dir()
    assert not (tmp_path / "run" / "prepared.zarr").exists()


def test_weights_beside_a_plain_array_are_copied_with_its_rows(tmp_path, source):
    rows = source.all_rows()
    for name in ("rows", "w"):
        group = zarr.open_group(tmp_path / "data.zarr", mode="a")
        values = rows if name == "rows" else formula_weights(0, len(rows))
        group.create_array(name, data=values, chunks=(4000, *values.shape[1:]))
    data = {"array": "rows", "weights": {"array": "w", "kind": "counts"}}
    plain = job_of(tmp_path, tmp_path / "data.zarr", data=data)
    assert run(["run", "--quiet", str(plain)]) == 0
    data["prepare"] = "always"
    copied = job_of(tmp_path, tmp_path / "data.zarr", "copied", data=data)
    assert run(["run", "--quiet", str(copied)]) == 0
    assert bits(tmp_path / "copied") == bits(tmp_path / "run")
    assert record(tmp_path / "copied")["weights"] == record(tmp_path / "run")["weights"]


def test_a_source_is_refused_where_nothing_may_be_prepared(tmp_path, source, capsys):
    job = job_of(tmp_path, source.save(tmp_path / "rows.json"), data={"prepare": "never"})
    assert run(["run", "--quiet", str(job)]) == 78
    assert (
        "data.prepare is never, and the rows of formula cannot be read" in capsys.readouterr().err
    )
    assert not any(source.n_reads().values())


@pytest.mark.parametrize("form", ["table", "map"])
def test_results_in_a_form_that_data_do_not_have_are_refused_before_work(
    tmp_path, source, capsys, form
):
    job = job_of(tmp_path, by_hand(tmp_path, source), output={form: True})
    assert run(["run", "--quiet", str(job)]) == 78
    assert f"output.{form} is true, and " in capsys.readouterr().err


def flights(folder: Path, n: int = 3000) -> Path:
    """A table in three files, one of which has no rows, with ids that have leading zeros."""
    table = folder / "flights"
    table.mkdir()
    numbers = np.arange(n)
    for i, rows in enumerate(np.split(numbers, [n // 3, n // 3])):
        lines = [f"{row:06d},{'AB'[row % 2]},{row % 7}.5,{(row * 37) % 101}" for row in rows]
        (table / f"part-{i}.csv").write_text("\n".join(["key,carrier,delay,air", *lines, ""]))
    return table


def test_a_table_is_fitted_and_its_results_go_back_as_a_table(tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    data = {"id": ["key"], "describe": ["carrier"]}
    job = job_of(tmp_path, flights(tmp_path), data=data, output={"anomaly_quantile": 0.01})
    assert run(["run", "--quiet", str(job)]) == 0, capsys.readouterr().err
    files = sorted((tmp_path / "run" / "rows").glob("*.parquet"))
    tables = [parquet.read_table(file) for file in files]
    assert [table.num_rows for table in tables] == [1000, 0, 2000]
    keys = [key for table in tables for key in table["key"].to_pylist()]
    assert keys == [f"{row:06d}" for row in range(3000)]
    outputs = zarr.open_group(tmp_path / "run" / "outputs.zarr", mode="r")
    labels = [label for table in tables for label in table["label"].to_pylist()]
    np.testing.assert_array_equal(labels, outputs["labels"][:])
    delivered = record(tmp_path / "run")["delivered"]["table"]
    assert (delivered["path"], delivered["rows"]) == ("rows", 3000)
    assert "carrier" in delivered["described"]
    before = [file.read_bytes() for file in files]
    files[2].unlink()
    assert run(["run", "--quiet", str(job)]) == 73
    assert "lacks rows (has " in capsys.readouterr().err
    assert run(["run", "--quiet", "--rebuild-outputs", str(job)]) == 0
    assert [file.read_bytes() for file in files] == before


def test_a_table_is_left_out_where_the_job_says_so(tmp_path):
    pytest.importorskip("pyarrow")
    job = job_of(
        tmp_path, flights(tmp_path), data={"id": ["key", "carrier"]}, output={"table": False}
    )
    assert run(["run", "--quiet", str(job)]) == 0
    assert not (tmp_path / "run" / "rows").exists()
    assert "delivered" not in record(tmp_path / "run")


def test_labelled_arrays_are_fitted_and_their_results_go_back_as_maps(tmp_path, capsys):
    xarray = pytest.importorskip("xarray")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 20, 30)).astype("f4") + 3 * (np.arange(30) % 2)
    values[:, 3, 4] = np.nan
    coords = {"lat": np.linspace(-60, 60, 20), "depth": np.arange(5.0)}
    ocean = xarray.Dataset({"t": (("depth", "lat", "lon"), values)}, coords)
    chunks = {"t": {"chunks": (5, 7, 30)}}
    ocean.to_zarr(tmp_path / "ocean.zarr", encoding=chunks, consolidated=False)
    data = {"variables": ["t"], "sample_dims": ["lat", "lon"], "feature_dims": ["depth"]}
    keys = {"missing": "drop", "select": {"depth": [1, 3]}}
    job = job_of(tmp_path, tmp_path / "ocean.zarr", data=data | keys)
    assert run(["run", "--quiet", str(job)]) == 0, capsys.readouterr().err
    maps = xarray.open_zarr(tmp_path / "run" / "maps.zarr", consolidated=True)
    assert dict(maps.labels.sizes) == {"lat": 20, "lon": 30}
    assert np.isnan(maps.labels.values[3, 4])
    assert np.isfinite(np.delete(maps.labels.values.ravel(), 3 * 30 + 4)).all()
    np.testing.assert_array_equal(maps.lat, ocean.lat)
    assert record(tmp_path / "run")["data"]["n_features"] == 3
    assert record(tmp_path / "run")["delivered"]["map"]["path"] == "maps.zarr"


def test_a_plan_says_what_is_prepared_and_what_that_holds(tmp_path, source, capsys):
    job = job_of(tmp_path, source.save(tmp_path / "rows.json"))
    assert run(["plan", str(job)]) == 0
    said = capsys.readouterr().out
    assert "prepare   formula in 6 parts, read once; 626 KiB before compression" in said
    assert "          every row follows from its number" in said
    assert "one read of the source" in said
    assert not any(source.n_reads().values())
