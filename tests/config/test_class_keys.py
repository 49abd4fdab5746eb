"""Keys of jobs that classify: what contradicts what, each with its place in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgmm.config import load_job
from dgmm.errors import JobFileError

_JOB = """
task: classify
data: {path: rows.zarr, array: X, classes: code%s}
model: {n_components: 2%s}
output: {path: run%s}
%s
"""


def _load(tmp_path: Path, data: str = "", model: str = "", output: str = "", more: str = "") -> str:
    path = tmp_path / "job.yaml"
    path.write_text(_JOB % (data, model, output, more))
    return load_job(str(path), kind="run").task


def test_a_job_that_classifies_is_read(tmp_path: Path) -> None:
    more = "classes: {priors: {a: 0.25, 7: 0.75}, folds: 5, unknown: -1}"
    assert _load(tmp_path, ", groups: track", more=more) == "classify"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": ", weights: {array: w, kind: counts}"}, "weights: contradicts task: classify"),
        ({"data": ", groups: code"}, "groups: names the same column as data.classes"),
        ({"model": ", covariance_type: [full, diag]"}, "covariance_type: several values"),
        ({"output": ", responsibilities: true"}, "responsibilities: contradicts task: classify"),
        ({"more": "anomalies: {rate: 0.01}"}, "rate: contradicts task: classify"),
        (
            {"more": "initialisation: {method: kmeans_parallel}"},
            "method: contradicts task: classify",
        ),
        ({"more": "classes: {priors: {a: 0.5, b: 0.6}}"}, "sum to 1; they sum to 1.1"),
        ({"more": "selection: {stability: true}"}, "stability: contradicts task: classify"),
        ({"more": "classes: {priors: equal}"}, "data, uniform, or a number for each class"),
        ({"more": "classes: {unknown: []}"}, "a class, or a list of classes"),
    ],
)
def test_what_contradicts_it_is_refused(tmp_path: Path, given: dict[str, str], words: str) -> None:
    with pytest.raises(JobFileError) as caught:
        _load(tmp_path, **given)
    assert words in str(caught.value)


def test_classes_need_the_task_and_the_task_needs_classes(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    head = "model: {n_components: 2}\noutput: {path: run}\n"
    path.write_text(head + "data: {path: rows.zarr, classes: code}\nclasses: {folds: 3}\n")
    with pytest.raises(JobFileError, match=r"data\.classes: needs task: classify") as caught:
        load_job(str(path), kind="run")
    assert "classes: needs task: classify" in str(caught.value).split("data.classes")[1]
    path.write_text(head + "task: classify\ndata: {path: rows.zarr}\n")
    with pytest.raises(JobFileError, match=r"data\.classes: missing; task classify needs"):
        load_job(str(path), kind="run")


@pytest.mark.parametrize(("key", "value"), [("folds", "2"), ("priors", "uniform")])
def test_what_a_saved_classifier_has_cannot_be_asked_of_it(
    tmp_path: Path, key: str, value: str
) -> None:
    path = tmp_path / "job.yaml"
    head = (
        "model: {path: runs/first}\noutput: {path: run}\ndata: {path: rows.zarr, classes: code}\n"
    )
    path.write_text(head + "classes: {priors: data, folds: 0, unknown: x}\n")
    assert load_job(str(path), kind="predict").classes.unknown == ["x"]
    path.write_text(head + f"classes: {{{key}: {value}}}\n")
    with pytest.raises(JobFileError, match=rf"classes\.{key}: contradicts model\.path"):
        load_job(str(path), kind="predict")
