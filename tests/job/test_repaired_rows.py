"""Damaged chunks of what a run has prepared are written again by the run that finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from formula_jobs import SIZES, bits, by_hand, job_of, record
from formula_source import FORMULA, FormulaSource, formula_weights
from preprocessed_jobs import job_with

from dgmm.cli.entry_point import run
from dgmm.data.formats import FORMATS
from dgmm.data.source_dataset import SourceDataset


@pytest.fixture(autouse=True)
def formula(monkeypatch):
    monkeypatch.setitem(FORMATS, "formula", FORMULA)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "log").mkdir()
    return FormulaSource(SIZES, log=str(tmp_path / "log"))


def files(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def chunks_of(folder, array="rows"):
    files = sorted((folder / "prepared.zarr" / array / "c").rglob("*"))
    return [path for path in files if path.is_file()]


def flip(chunk):
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)


def cut(chunk):
    chunk.write_bytes(chunk.read_bytes()[:-7])


def many_chunks(monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 8 * 4096)
    monkeypatch.setattr("dgmm.data.source_dataset._CHUNK_BYTES", 1)


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_damaged_chunks_of_prepared_rows_are_written_again_by_the_run_that_finds_them(
    tmp_path, source, capsys, monkeypatch, damage
):
    many_chunks(monkeypatch)
    job = job_of(tmp_path, source.save(tmp_path / "rows.json"))
    assert run(["ingest", "--quiet", str(job)]) == 0
    before = files(tmp_path / "run" / "prepared.zarr")
    assert len(chunks_of(tmp_path / "run")) > 4
    (tmp_path / "run" / "prepared.zarr" / "mine").write_text("kept")
    for chunk in chunks_of(tmp_path / "run")[2:4]:
        damage(chunk)
    assert run(["run", "--quiet", str(job)]) == 0, capsys.readouterr().err
    found = capsys.readouterr().err
    assert "2 chunks of prepared.zarr were damaged or absent, and written again" in found
    after = files(tmp_path / "run" / "prepared.zarr")
    assert after.pop(Path("mine")) == b"kept"
    assert after == before
    assert max(source.n_reads().values()) <= 3
    assert "is_damaged" not in record(tmp_path / "run")["prepared"]
    assert run(["run", "--quiet", str(job_of(tmp_path, by_hand(tmp_path, source), "plain"))]) == 0
    assert bits(tmp_path / "run") == bits(tmp_path / "plain")


@pytest.mark.parametrize("n_components", [3, [2, 3]])
def test_rows_that_are_damaged_while_em_runs_are_written_again_and_em_goes_on(
    tmp_path, source, capsys, monkeypatch, n_components
):
    many_chunks(monkeypatch)
    real, n_reads = SourceDataset.read_blocks, [0]

    def reading(self, blocks):
        n_reads[0] += 1
        if n_reads[0] == 8:  # the summary takes 6
            flip(chunks_of(tmp_path / "run")[1])
        return real(self, blocks)

    monkeypatch.setattr(SourceDataset, "read_blocks", reading)
    monkeypatch.setattr(SourceDataset, "with_cache", lambda self, _: self)
    sizes = {"n_components": n_components}
    job = job_of(tmp_path, source.save(tmp_path / "rows.json"), model=sizes)
    assert run(["run", "--quiet", str(job)]) == 0, capsys.readouterr().err
    assert "1 chunk of prepared.zarr was damaged or absent" in capsys.readouterr().err
    plain = job_of(tmp_path, by_hand(tmp_path, source), "plain", model=sizes)
    assert run(["run", "--quiet", str(plain)]) == 0
    assert bits(tmp_path / "run") == bits(tmp_path / "plain")


def test_rows_that_are_damaged_again_are_an_error(tmp_path, source, capsys, monkeypatch):
    job = job_of(tmp_path, source.save(tmp_path / "rows.json"))
    assert run(["ingest", "--quiet", str(job)]) == 0
    flip(chunks_of(tmp_path / "run")[0])
    monkeypatch.setattr("dgmm.job.prepare_stage.repair", lambda *_, **__: 0)
    assert run(["run", "--quiet", str(job)]) == 65
    assert "remove that Zarr group (prepared.zarr in the run directory)" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setitem(FORMATS, "formula", FORMULA)
    assert run(["run", "--quiet", str(job)]) == 0
    assert "1 chunk of prepared.zarr was damaged or absent" in capsys.readouterr().err


def weighted_job(folder, name):
    """Components of a table of 26,701 rows with a column of weights."""
    source = FormulaSource(SIZES)
    rows = pd.DataFrame(source.all_rows(), columns=[*"abc"])
    rows.assign(w=formula_weights(0, len(rows))).to_parquet(folder / "rows.parquet")
    data = {"columns": [*"abc"], "weights": {"column": "w", "kind": "counts"}}
    return job_with(folder, folder / "rows.parquet", [{"pca": {"n": 2}}], name, data=data)


@pytest.mark.parametrize("damage", [flip, Path.unlink])
@pytest.mark.parametrize("array", ["weights", "residual"])
def test_damaged_numbers_beside_prepared_rows_are_written_again(
    tmp_path, capsys, monkeypatch, array, damage
):
    many_chunks(monkeypatch)
    whole, damaged = (weighted_job(tmp_path, each) for each in "ab")
    assert run(["run", "--quiet", str(whole)]) == 0, capsys.readouterr().err
    assert run(["ingest", "--quiet", str(damaged)]) == 0
    before = files(tmp_path / "b" / "prepared.zarr")
    for chunk in chunks_of(tmp_path / "b", array)[1:3]:
        damage(chunk)
    assert run(["run", "--quiet", str(damaged)]) == 0, capsys.readouterr().err
    found = capsys.readouterr().err
    assert "2 chunks of prepared.zarr were damaged or absent, and written again" in found
    assert files(tmp_path / "b" / "prepared.zarr") == before
    assert bits(tmp_path / "a") == bits(tmp_path / "b")
    one, other = (
        np.asarray(zarr.open_group(tmp_path / each / "outputs.zarr", mode="r")["residual"][:])
        for each in "ab"
    )
    np.testing.assert_array_equal(one, other)
    assert np.isfinite(one).all()


@pytest.mark.parametrize("array", ["weights", "residual"])
def test_numbers_beside_rows_that_are_damaged_again_are_an_error_with_its_remedy(
    tmp_path, capsys, monkeypatch, array
):
    job = weighted_job(tmp_path, "run")
    assert run(["ingest", "--quiet", str(job)]) == 0
    flip(chunks_of(tmp_path / "run", array)[0])
    monkeypatch.setattr("dgmm.job.prepare_stage.repair", lambda *_, **__: 0)
    assert run(["run", "--quiet", str(job)]) == 65
    assert "remove that Zarr group (prepared.zarr in the run directory)" in capsys.readouterr().err


def test_numbers_beside_rows_without_metadata_are_all_written_again(tmp_path, capsys):
    data = FormulaSource(SIZES).save(tmp_path / "rows.json")
    job = job_with(tmp_path, data, [{"pca": {"n": 2}}])
    assert run(["ingest", "--quiet", str(job)]) == 0
    before = files(tmp_path / "run" / "prepared.zarr")
    (tmp_path / "run" / "prepared.zarr" / "residual" / "zarr.json").write_text("{")
    assert run(["run", "--quiet", str(job)]) == 0, capsys.readouterr().err
    assert files(tmp_path / "run" / "prepared.zarr") == before
