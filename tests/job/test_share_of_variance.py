"""`pca` with a share of the variance: how many features there are is known once it is fitted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from formula_jobs import bits, job_of, record
from preprocessed_jobs import NAMES, ROWS, array, job_with, predict, prepared
from sklearn.decomposition import PCA

from dgmm import load_model
from dgmm.cli.entry_point import run

STEPS = [
    {"standardise": {}},
    {"pca": {"variables": ["SR", "dSA"], "variance": 0.9}},
    {"standardise": {"columns": ["SR_pc1"]}},
]


def scores(share=0.9):
    """Of both variables by scikit-learn."""
    scaled = (ROWS - ROWS.mean(axis=0)) / ROWS.std(axis=0)
    return [
        PCA(share, svd_solver="full").fit_transform(scaled[:, own])
        for own in (slice(0, 3), slice(3, 6))
    ]


def test_each_variable_has_as_many_components_as_scikit_learn_keeps(tmp_path):
    assert run(["run", "--quiet", str(job_with(tmp_path, array(tmp_path), STEPS))]) == 0
    first, second = scores()
    assert (first.shape[1], second.shape[1]) == (2, 1)
    names = ["SR_pc1", "SR_pc2", "dSA_pc1", "c"]
    rows = prepared(tmp_path / "run")
    assert list(rows.attrs["feature_names"]) == names
    assert list(load_model(tmp_path / "run").feature_names) == names
    np.testing.assert_allclose(rows[:, 0], first[:, 0] / first[:, 0].std(), atol=1e-8)
    np.testing.assert_allclose(rows[:, 1], first[:, 1], atol=1e-8)
    np.testing.assert_allclose(rows[:, 2], second[:, 0], atol=1e-8)
    found = record(tmp_path / "run")["data"]
    assert (found["n_features"], found["feature_names"]) == (4, names)
    by_hand = array(tmp_path, rows[:], "by-hand.zarr", names=names)
    assert run(["run", "--quiet", str(job_of(tmp_path, by_hand, "plain"))]) == 0
    assert bits(tmp_path / "run") == bits(tmp_path / "plain")


def test_it_goes_on_from_prepared_rows_and_predicts(tmp_path):
    data = array(tmp_path)
    job = job_with(tmp_path, data, STEPS)
    assert run(["ingest", "--quiet", str(job)]) == 0
    assert run(["run", "--quiet", str(job)]) == 0
    assert record(tmp_path / "run")["data"]["n_features"] == 4
    assert run(["run", "--quiet", str(job)]) == 0  # done
    assert run(["predict", "--quiet", str(predict(tmp_path, data))]) == 0
    assert bits(tmp_path / "predicted")[1:] == bits(tmp_path / "run")[1:]
    one, other = (
        zarr.open_group(tmp_path / name / "outputs.zarr", mode="r")["residual"][:]
        for name in ("run", "predicted")
    )
    np.testing.assert_array_equal(one, other)


def test_a_plan_names_the_most_features_and_memory_for_any_number(tmp_path, capsys):
    data = array(tmp_path)
    wide = {"output": {"responsibilities": True}, "model": {"n_components": 64}}

    def plan(name, steps):
        assert run(["plan", str(job_with(tmp_path, data, steps, name, **wide))]) == 0
        return capsys.readouterr().out

    share = plan("share", [{"pca": {"variance": 0.9}}])
    assert "x at most 7 features" in share

    def of(said, term):
        line = next(line for line in said.splitlines() if line.strip().startswith(term))
        return float(line.removeprefix(f"    {term}").split()[0].replace(",", ""))

    for n in (1, 7):
        known = plan(f"n{n}", [{"pca": {"n": n}}])
        assert "at most" not in known.splitlines()[0]
        for term in (
            "output chunk",
            "tiles",
            "statistics",
            "prepared rows",
            "one read of the source",
        ):
            assert of(share, term) >= of(known, term)


@pytest.mark.parametrize(
    ("pca", "told"),
    [
        ({}, "expected n (how many components) or variance"),
        ({"n": 2, "variance": 0.9}, "expected n or variance, not both"),
        ({"variance": 1.5}, "variance"),
    ],
)
def test_one_of_both_is_asked_for(tmp_path, capsys, pca, told):
    assert run(["validate", str(job_with(tmp_path, array(tmp_path), [{"pca": pca}]))]) == 78
    assert told in capsys.readouterr().err


def test_a_later_step_that_names_a_component_that_was_not_kept_is_refused(tmp_path, capsys):
    steps = [
        {"pca": {"columns": NAMES[:6], "variance": 0.5}},
        {"standardise": {"columns": ["pc6"]}},
    ]
    job = job_with(tmp_path, array(tmp_path), steps)
    assert run(["run", "--quiet", str(job)]) == 78
    said = capsys.readouterr().err
    assert "standardise.columns names pc6, and the features there are pc1" in said
    assert json.loads(job.read_text())["preprocess"] == steps
