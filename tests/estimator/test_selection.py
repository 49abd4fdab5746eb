"""`select`: the models, the criteria and the choice are those of a job with equal settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr

import dgmm
from dgmm.errors import DataError
from dgmm.events import SilentListener
from dgmm.job import run_job

QUIET = SilentListener()
#: Of the estimator; a job has other defaults.
SETTINGS: dict[str, Any] = {
    "max_iter": 8, "tol": 1e-4, "reg_covar": 0.0, "reg_covar_relative": 1e-6, "n_sample_starts": 1,
}  # fmt: skip


def rows(n: int = 900) -> np.ndarray:
    return gaussian_clusters(n, spread=4.0)[0]


@pytest.mark.filterwarnings("ignore:the chosen model")
@pytest.mark.parametrize("criterion", ["bic", "held_out"])
def test_models_criteria_and_choice_are_those_of_the_job(tmp_path: Path, criterion: str) -> None:
    X, held_out = rows(), criterion == "held_out"
    keys: dict[str, Any] = {"criterion": criterion, "tolerance": 0.02, "stability": True}
    keys |= {"folds": 3, "fold_rows": 2} if held_out else {}
    sizes, families = ([2, 3], ["diag", "full"]) if held_out else ([2, 3, 4], ["diag", "full"])
    model = {key: SETTINGS[key] for key in SETTINGS if key != "n_sample_starts"}
    run_job(
        job(
            write_zarr(tmp_path / "rows.zarr", X), tmp_path / "run",
            model={"n_components": sizes, "covariance_type": families, **model},
            initialisation={"n_sample_starts": 1}, selection=keys, seed=5,
            on_not_converged="ignore",
        ),
        QUIET,
    )  # fmt: skip
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    sweep = {"n_components": reversed(sizes), "covariance_type": families, "random_state": 5}
    found = dgmm.select(X, **sweep, **keys, **SETTINGS)
    for (k, family), own in found.models.items():
        other = dgmm.load_model(tmp_path / "run" / "models" / f"{family}-{k}")
        for name in ("weights", "means", "covariances"):
            assert getattr(own, name).tobytes() == getattr(other, name).tobytes()
    selection = told["selection"]
    for key, own_key in (("chosen", found.chosen), ("runner_up", found.runner_up),
                         ("lowest_bic", found.lowest_bic)):  # fmt: skip
        name = selection[key]
        assert (name["n_components"], name["covariance_type"]) == own_key
    assert found.rule == selection["rule"]
    assert [row["bic"] for row in found.criteria] == [m["bic"] for m in selection["models"]]
    assert [row["is_chosen"] for row in found.criteria].count(True) == 1
    if held_out:
        assert [row["standard_error"] for row in found.criteria] == [
            m["standard_error"] for m in selection["held_out"]["models"]
        ]
    assert found.stability is not None
    assert found.stability.means.tolist() == told["stability"]["jaccard"]
    second = found.runner_up_stability
    assert second is not None
    assert second.jaccard.tolist() == told["stability"]["runner_up"]["by_split"]
    labels = found.mixture.predict(X)
    np.testing.assert_array_equal(labels, found.models[found.chosen].predict(X))
    assert found.mixture.n_components == found.chosen[0]


def test_one_number_one_family_and_weights_will_do() -> None:
    X = rows(400)
    w = np.r_[np.zeros(100), np.ones(300)]
    found = dgmm.select(
        np.where(w[:, None] > 0, X, 1e6), n_components=3, sample_weight=w, random_state=0
    )
    assert found.chosen == (3, "full")
    assert found.runner_up is None
    assert found.stability is None
    assert found.runner_up_stability is None
    assert np.abs(found.mixture.means_).max() < 100.0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"n_components": []}, "n_components is empty"),
        ({"n_components": [2, 2]}, "n_components has 2 more than once"),
        ({"covariance_type": ["full", "round"]}, "covariance_type is 'round'"),
        ({"n_components": [2, 0]}, "n_components is 0"),
        ({"criterion": "aic"}, "criterion is 'aic'; expected bic or held_out"),
        ({"criterion": "held_out", "folds": 1}, "folds is 1"),
        ({"criterion": "held_out", "fold_rows": 0}, "fold_rows is 0"),
        (
            {"criterion": "held_out", "init_params": "kmeans_parallel"},
            "init_params is 'kmeans_parallel', which reads all rows",
        ),
        ({"criterion": "held_out", "n_components": 2}, "held_out.*, which compares models"),
        ({"split_starts": "no"}, "split_starts is 'no'; expected True or False"),
        ({"stability": 1}, "stability is 1; expected True or False"),
        ({"tolerance": -1.0}, "tolerance is -1.0; expected a finite number"),
        ({"inference": "variational"}, "no likelihood to compare"),
        ({"max_iter": 0}, "models are compared after EM"),
        ({"means_init": [[0.0]]}, "means_init is of one model"),
        (
            {"criterion": "held_out", "fold_rows": 100},
            "lower folds or fold_rows",
        ),
    ],
)
def test_what_means_nothing_is_refused_in_pythons_words(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        dgmm.select(rows(60), **({"n_components": [1, 2], "random_state": 0} | keys))


def test_covariance_types_are_strings_of_python_whatever_was_given() -> None:
    types = np.array(["diag", "spherical"])
    found = dgmm.select(rows(200), n_components=2, covariance_type=types, random_state=0)
    assert {type(family) for _, family in found.models} == {str}
    assert type(found.mixture.covariance_type) is str


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_fails_without_a_fold_has_its_reason() -> None:
    """25 components of 30 rows have a start; of the 20 or so outside a fold they have none."""
    keys = {"criterion": "held_out", "folds": 3, "covariance_type": "spherical"}
    found = dgmm.select(rows(30), n_components=[1, 25], random_state=0, **keys)
    assert found.chosen == (1, "spherical")
    assert list(found.failed) == ["spherical-25"]
    assert found.failed["spherical-25"].startswith("without fold 0: ")
    assert "25" in found.failed["spherical-25"][16:]


def test_the_edge_of_the_range_is_warned_of_in_pythons_words() -> None:
    with pytest.warns(UserWarning, match="add larger numbers to n_components to see") as warned:
        found = dgmm.select(rows(400), n_components=[2, 3], random_state=0)
    assert found.chosen[0] == 3
    assert "at the edge of the range" in found.described
    assert warned[0].filename == __file__
    with pytest.raises(TypeError, match="n_component"):
        dgmm.select(rows(60), n_components=2, n_component=3)
