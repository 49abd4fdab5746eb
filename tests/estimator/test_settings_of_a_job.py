"""Estimator and job with equal settings give bit-identical models, whatever setting they share."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr
from messages import schema_keys
from numpy.typing import NDArray

import dgmm
from dgmm.config import Job
from dgmm.config.expected_values import choices_of
from dgmm.errors import DataError
from dgmm.events import SilentListener
from dgmm.fitting.initialisation import INITIALISERS
from dgmm.fitting.prior_settings import PRIOR_KEYS
from dgmm.job import run_job
from dgmm.model.model_files import save_model
from dgmm.parameter_names import PARAMETERS

#: Parameter of the estimator by the job's key.
SHARED = PARAMETERS | {"seed": "random_state"}
#: Parameters without a key: they are scikit-learn's, or concern what Python has in hand.
OF_PYTHON = {
    *("weights_init", "means_init", "precisions_init"),
    *("warm_start", "verbose", "verbose_interval", "weight_kind"),
}
#: Keys without a parameter: the estimator is handed its rows, and where it starts from.
OF_JOBS = {
    *("data.path", "data.format", "data.array", "data.absent_chunks"),
    *("data.columns", "data.id", "data.describe", "data.csv", "data.prepare", "data.concat_dim"),
    *("data.variables", "data.sample_dims", "data.feature_dims", "data.select", "data.weights"),
    *(f"data.csv.{key}" for key in ("delimiter", "decimal", "null_values", "encoding")),
    *(f"data.weights.{key}" for key in ("array", "column", "cos", "kind")),
    *("data.classes", "data.groups"),
    *("model.path", "model.component_order", "model.freeze", "initialisation.model"),
}
#: Sections that decide what is computed; the others decide where, and what is written.
DECIDING = ("data", "model", "initialisation", "compute", "seed")

BASE: dict[str, Any] = {
    "data.missing": "error",
    "model.n_components": 4,
    "model.covariance_type": "full",
    "model.tol": 1e-3,
    "model.max_iter": 8,
    "model.n_init": 1,
    "model.reg_covar": 0.0,
    "model.reg_covar_relative": 1e-6,
    "model.acceleration": "squarem",
    "model.on_collapse": "reseed",
    "model.noise": False,
    "model.inference": "maximum_likelihood",
    **{f"model.{key}": None for key in PRIOR_KEYS},
    "model.weight_concentration_prior_type": "dirichlet_process",
    "initialisation.method": "kmeans",
    "initialisation.sample_rows": 300,
    "initialisation.n_sample_starts": 0,
    "compute.backend": "numpy",
    "cluster.n_workers": 1,
    "seed": 0,
}
#: Values that give another model than BASE. Of keys with choices, all others of them are tried.
OTHERS: dict[str, tuple[Any, ...]] = {
    "model.n_components": (1, 5),
    "model.tol": (0.5,),
    "model.max_iter": (0, 3),
    "model.n_init": (6,),
    "model.noise": (True,),
    "model.reg_covar": (0.1,),
    "model.reg_covar_relative": (0.0, 0.1),
    "model.mean_prior": ([1.0, 30.0],),
    "model.mean_precision_prior": (5.0,),
    "model.degrees_of_freedom_prior": (30.0,),
    "model.covariance_prior": ([[2.0, 0.1], [0.1, 3.0]],),
    "model.weight_concentration_prior": (20.0,),
    "initialisation.sample_rows": (30, 600, "auto"),
    "initialisation.n_sample_starts": (1, 4, "auto"),
    "cluster.n_workers": (2,),
    "seed": (1,),
}
#: What else a case needs for its setting to matter.
NEEDED = {
    "model.on_collapse": {"model.n_components": 9, "model.reg_covar_relative": 0.0},
    "initialisation.n_sample_starts": {"model.max_iter": 3},
    **{f"model.{key}": {"model.inference": "map"} for key in PRIOR_KEYS},
    "model.weight_concentration_prior_type": {"model.inference": "variational"},
    "model.n_init": {"model.max_iter": 3, "initialisation.method": "random_from_data"},
}
#: Starts that come from the user.
NOT_DRAWN = {name for name, one in INITIALISERS.items() if one.is_given}
#: Values that give the model of BASE: where passes run, and what `auto` selects for few rows.
WITHOUT_EFFECT = {"cluster.n_workers": (2,), "compute.backend": ("auto",)}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def cases() -> Iterator[tuple[str, Any]]:
    for key in SHARED:
        choices = choices_of(tuple(key.split(".")))
        others = (c for c in choices if c != BASE[key] and c not in NOT_DRAWN)
        for value in OTHERS.get(key, tuple(others)):
            yield key, value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


def rows(key: str) -> NDArray[np.float64]:
    X, _ = gaussian_clusters(600, 2, 4, spread=2.0)
    if key == "data.missing":
        X[::50, 1] = np.nan
    if key == "model.on_collapse":
        X[:200] = 1.0
    return X


def of_job(X: NDArray[np.float64], settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = {"on_not_converged": "ignore"}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    run = folder / "run"
    run_job(job(write_zarr(folder / "rows.zarr", X), run, **tree), SilentListener())
    return stored(run / "model")


def of_estimator(X: NDArray[np.float64], settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    own = {SHARED[key]: None if v == "auto" else v for key, v in settings.items()}
    own["backend"] = settings["compute.backend"]
    save_model(dgmm.GaussianMixture(**own).fit(X).model_, folder / "own")
    return stored(folder / "own")


def stored(model: Path) -> dict[str, Any]:
    with np.load(model / "arrays.npz", allow_pickle=False) as arrays:
        return {name: (arrays[name].shape, arrays[name].tobytes()) for name in arrays.files}


def test_no_setting_is_forgotten() -> None:
    parameters = set(inspect.signature(dgmm.GaussianMixture).parameters)
    assert parameters == set(SHARED.values()) | OF_PYTHON
    deciding = {key for key in schema_keys() if key.partition(".")[0] in DECIDING}
    assert deciding - set(DECIDING) | {"seed"} == set(SHARED) - {"cluster.n_workers"} | OF_JOBS
    assert BASE.keys() == SHARED.keys() == {key for key, _ in cases()}
    assert set(Job.model_fields) >= set(DECIDING)


@pytest.mark.parametrize(("key", "value"), list(cases()), ids=str)
def test_estimator_and_job_with_equal_settings_give_bit_identical_models(
    tmp_path: Path, key: str, value: Any
) -> None:
    if value == "numba":
        pytest.importorskip("numba", reason="Numba is optional")
    X, base = rows(key), BASE | NEEDED.get(key, {})
    ours = of_job(X, base | {key: value}, tmp_path)
    assert of_estimator(X, base | {key: value}, tmp_path) == ours
    if key == "data.missing":
        with pytest.raises(DataError, match='Set missing="drop"'):
            of_estimator(X, base, tmp_path)
    else:
        is_same = of_estimator(X, base, tmp_path) == ours
        assert is_same == (value in WITHOUT_EFFECT.get(key, ()))
