"""What random input has found: one case each, so that it stays fixed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attempts import Attempt, attempt, command_options
from clusters import gaussian_clusters, write_zarr

JOB = """
data: {path: rows.zarr}
model: {n_components: 3, max_iter: 2}
initialisation: {n_sample_starts: 0}
cluster: {kind: threads, n_workers: 1}
output: {path: run, report: false}
"""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_zarr(Path("rows.zarr"), gaussian_clusters(60, 2)[0])


def try_job(command: str, *overrides: str, content: str = JOB) -> Attempt:
    Path("job.yaml").write_text(content)
    tried = attempt(command, "job.yaml", *command_options(overrides))
    assert not tried.faults(Path("run") if command == "run" else None), tried.stderr
    return tried


def test_an_unknown_key_beside_model_path_is_named():
    content = JOB.replace("n_components: 3, max_iter: 2", "path: model, acceleratn: none")
    tried = try_job("validate", content=content)
    assert tried.exit_code == 78
    assert "model.acceleratn: unknown key (did you mean acceleration?)" in tried.stderr


def test_a_link_that_leads_to_itself_is_an_input_not_found():
    Path("loop").symlink_to("loop")
    assert try_job("run", "data.path=loop").exit_code == 66


@pytest.mark.parametrize(
    "added", [{"reg_covar": 1.7e308, "reg_covar_relative": 1.7e308}, {"reg_covar_relative": 1e308}]
)
def test_regularisation_at_the_end_of_float64_is_cut_off_without_a_word_of_numpy(added):
    overrides = [f"model.{key}={value}" for key, value in added.items()]
    assert try_job("run", *overrides).exit_code == 0


@pytest.mark.parametrize("added", [5e-324, 1e-300, 1e-160])
def test_regularisation_too_small_to_add_anything_is_none(added):
    """Its inverse overflowed in components of a single row, and the run ended as not finite."""
    few = ("model.n_components=6", "initialisation.sample_rows=6")
    likelihoods = []
    for name, value in (("added", added), ("none", 0)):
        told = (f"output.path=run/{name}", f"model.reg_covar_relative={value}")
        assert try_job("run", *few, *told).exit_code == 0
        record = json.loads(Path("run", name, "run.json").read_text())
        likelihoods.append(record["log_likelihood"])
    assert likelihoods[0] == likelihoods[1]


@pytest.mark.parametrize(("largest", "size"), [(1.7e308, "large"), (1e-200, "small")])
def test_variances_that_float64_cannot_hold_are_said_by_name(largest, size):
    X = gaussian_clusters(60, 2)[0]
    X[:, 1] *= largest / abs(X[:, 1]).max()
    write_zarr(Path("rows.zarr"), X, overwrite=True)
    assert try_job("run").exit_code == 0
    (text,) = (t for t in json.loads(Path("run/run.json").read_text())["warnings"] if "units" in t)
    assert text.startswith(f"variances of x1 are too {size} for float64 in the data's units")


@pytest.mark.parametrize("dims", ["\ud800", {"\udcff": ["\ud800"]}, float("inf"), [[]]])
def test_whatever_the_attributes_of_the_data_say_the_record_is_written(dims):
    document = json.loads(Path("rows.zarr/zarr.json").read_text())
    document["attributes"] = {"sample_dims": dims, "sample_shape": [60]}
    Path("rows.zarr/zarr.json").write_text(json.dumps(document))
    assert try_job("run", "output.report=true").exit_code == 0
    told = json.loads(Path("run/run.json").read_text())["data"]["attributes"]["sample_dims"]
    assert told == ("Infinity" if dims == float("inf") else dims)


def test_values_that_overflow_against_a_sample_of_one_row_are_refused_without_a_word_of_numpy():
    X = gaussian_clusters(60, 2)[0]
    X *= 1.7e308 / abs(X).max()
    X[::2] *= -1
    write_zarr(Path("rows.zarr"), X, overwrite=True)
    tried = try_job("run", "initialisation.sample_rows=1", "model.n_components=1")
    assert tried.exit_code == 65
    assert "its square overflows" in tried.stderr
