"""A model as a directory of plain files: model.json and arrays.npz, no pickle, checked on load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.errors import DataError, InputNotFoundError, OutputFailedError
from dgmm.mixture.covariance import Family, family_named
from dgmm.mixture.covariance.symmetry import opposite_entries
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters
from dgmm.model.description_checks import (
    PLAIN_VERSION,
    SCHEMA_VERSION,
    check_description,
    clusters_of,
    threshold_of,
)
from dgmm.model.mixture_model import MixtureModel
from dgmm.runtime.blas_threads import limited_thread
from dgmm.storage.array_files import Admit, read_arrays, write_arrays
from dgmm.storage.atomic_files import read_json, write_json
from dgmm.storage.folders import Entry, Folder, Target, entry_of

_ARRAYS = ("weights", "means", "covariances", "shift", "scale", "variance", "is_constant")

#: Arrays of a model with noise: its weight (1,), and the bounds (2, d) of its box.
_NOISE = ("noise_weight", "noise_box")

#: What stands for the weights' logarithms in densities, where it is not these.
_LOG_WEIGHTS = "expected_log_weights"


def save_model(model: MixtureModel, path: Target, **about: Any) -> None:
    """Write a model directory: arrays.npz and model.json, whole or not at all.

    Parameters
    ----------
    model, path
        What is saved where; an older model there is replaced, and a link by the model itself.
    **about
        Further entries of model.json, for people.

    Raises
    ------
    OutputFailedError
        If it cannot be written.
    """
    with written_whole(path, "the model") as aside:
        arrays = _arrays(model)
        write_arrays(aside / "arrays.npz", **arrays)
        write_json(aside / "model.json", _description(model, arrays) | about)


@contextmanager
def written_whole(path: Target, what: str) -> Iterator[Folder]:
    """A folder that takes the place of `path` once the body has filled it, whole or not at all.

    Raises
    ------
    OutputFailedError
        If it cannot be written.
    """
    try:
        if not isinstance(path, Entry):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with entry_of(path) as place, place.folder_aside() as aside:
            yield aside
    except OSError as error:
        raise OutputFailedError(f"cannot write {what} to {path}: {error}") from error


@limited_thread()  # factors depend on the threads of BLAS from 128 features on
def load_model(path: str | Path) -> MixtureModel:
    """Open a model directory that a job or `save_model` wrote, checked on load.

    Nothing in it is unpickled or run: it is JSON and plain arrays (npz).

    Parameters
    ----------
    path : str or Path
        The directory, or a run directory that holds it as `model/`.

    Returns
    -------
    MixtureModel
        The fitted mixture: `weights` (k,), `means` (k, d) and `covariances` in the units of the
        data, with `predict`, `predict_proba`, `score_samples`, `is_anomaly` and `sample`.

    Raises
    ------
    InputNotFoundError
        If there is none.
    DataError
        (a ValueError) If it is damaged, of a newer schema, or no mixture.

    Examples
    --------
    >>> import tempfile
    >>> from dgmm import GaussianMixture
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(GaussianMixture(2, random_state=0).fit(X).model_, f"{folder}/model")
    ...     model = load_model(f"{folder}/model")
    >>> model.means.shape, model.covariance_type
    ((2, 2), 'full')
    """
    path = Path(path)
    if not (path / "model.json").exists() and (path / "model" / "model.json").exists():
        path = path / "model"
    if not (path / "model.json").exists():
        raise InputNotFoundError(f"no model at {path}: expected a directory with model.json")
    description = read_json(path / "model.json")
    check_description(description, path)
    arrays = read_arrays(path / "arrays.npz", _expected_arrays(description, path))
    _check(description, arrays, path)
    family = family_named(description["covariance_type"])
    _check_symmetric(family, arrays["covariances"], path)
    parameters = replace(
        Parameters.of(family, arrays["weights"], arrays["means"], arrays["covariances"]),
        expected_log_weights=arrays.get(_LOG_WEIGHTS),
        noise=_noise(arrays, path),
    )
    if parameters.singular.any():
        raise DataError(f"{path}: a covariance is not positive definite")
    standardisation = Standardisation(
        arrays["shift"], arrays["scale"], arrays["variance"], arrays["is_constant"]
    )
    return MixtureModel(
        parameters,
        standardisation,
        tuple(description["feature_names"]),
        threshold_of(description["anomaly_threshold"]),
        description["anomaly_quantile"],
        _preprocess(description, path),
        description.get("feature_units", {}),
        clusters_of(description, path),
    )


def _noise(arrays: dict[str, NDArray[Any]], path: Path) -> Noise | None:
    """The noise of a model; None of one without.

    Raises
    ------
    DataError
        If its box has no volume.
    """
    if not set(_NOISE) <= arrays.keys():
        return None
    low, high = arrays["noise_box"]
    if not (high > low).all():
        raise DataError(f"{path}/arrays.npz: noise_box has no volume")
    return Noise(float(arrays["noise_weight"][0]), low, high)


def _preprocess(description: dict[str, Any], path: Path) -> Preprocessing | None:
    """The steps that rows go through first.

    Raises
    ------
    DataError
        If they are not those that were saved, or do not lead to the model's features.
    """
    saved = description.get("preprocess")
    if saved is None and description["schema_version"] == PLAIN_VERSION:
        return None
    if not isinstance(saved, dict) or saved.get("sha256") != _steps_digest(saved.get("steps")):
        raise DataError(f"{path}/model.json: preprocess does not match its checksum")
    found = Preprocessing.of_record(saved["steps"])
    if list(found.output_names) != description["feature_names"]:
        raise DataError(f"{path}/model.json: preprocess does not lead to the model's features")
    return found


def _steps_digest(steps: Any) -> str:
    return hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()


def arrays_digest(arrays: dict[str, NDArray[Any]]) -> str:
    """sha256 over names, types, shapes and bytes: the model's identity."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {a.dtype.str} {a.shape};".encode())
        digest.update(a.tobytes())
    return digest.hexdigest()


def model_digest(model: MixtureModel) -> str:
    """Identity of a model as a start or for predictions: all that its directory describes."""
    described = json.dumps(_description(model, _arrays(model)), sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def saved_digest(model: MixtureModel) -> str:
    """The `sha256` of its model.json: of the arrays, whatever the threshold."""
    return arrays_digest(_arrays(model))


def _arrays(model: MixtureModel) -> dict[str, NDArray[Any]]:
    p, s = model.parameters, model.standardisation
    own = {} if p.expected_log_weights is None else {_LOG_WEIGHTS: p.expected_log_weights}
    if (noise := p.noise) is not None:
        box = np.stack([noise.low, noise.high])
        own |= dict(zip(_NOISE, (np.array([noise.weight]), box), strict=True))
    return own | {
        "weights": p.weights,
        "means": p.means,
        "covariances": p.covariances,
        "shift": s.shift,
        "scale": s.scale,
        "variance": s.standardised_variance,
        "is_constant": s.is_constant,
    }


def _description(model: MixtureModel, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    steps = None if model.preprocess is None else model.preprocess.record()
    own: dict[str, Any] = {}
    if steps is not None:
        own["preprocess"] = {"steps": steps, "sha256": _steps_digest(steps)}
    if model.feature_units:  # left out without any: earlier models keep their digest
        own["feature_units"] = dict(model.feature_units)
    if model.clusters is not None:
        own["clusters"] = list(model.clusters)
    if (noise := model.noise) is not None:
        own["noise"] = noise.record()
    return {
        "format": "dgmm-model",
        "schema_version": PLAIN_VERSION if steps is None else SCHEMA_VERSION,
        "covariance_type": model.covariance_type,
        "n_components": model.n_components,
        "n_features": model.n_features,
        "feature_names": list(model.feature_names),
        "units": "arrays.npz holds means and covariances of y = (x - shift)/scale",
        "anomaly_threshold": model.anomaly_threshold,
        "anomaly_quantile": model.anomaly_quantile,
        "sha256": arrays_digest(arrays),
        **own,
    }


def _check(description: dict[str, Any], arrays: dict[str, NDArray[Any]], path: Path) -> None:
    """Refuse arrays that are not those of a whole, sound model."""
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing or arrays_digest(arrays) != description.get("sha256"):
        what = f"lacks {', '.join(missing)}" if missing else "does not match its checksum"
        raise DataError(f"{path}/arrays.npz {what}: the model is damaged")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise DataError(
                f"{path}/arrays.npz: {name} is not a finite array of shape {array.shape}"
            )
    if len(found := [name for name in _NOISE if name in arrays]) == 1:
        raise DataError(f"{path}/arrays.npz has {found[0]} alone: the model is damaged")
    weights = np.append(arrays["weights"], arrays.get(_NOISE[0], 0.0))
    if abs(weights.sum() - 1.0) > 1e-6 or (weights < 0).any():
        raise DataError(f"{path}/arrays.npz: weights do not sum to 1")
    if (arrays["scale"] <= 0).any():
        raise DataError(f"{path}/arrays.npz: scale is not positive")


def _check_symmetric(family: Family, covariances: NDArray[np.float64], path: Path) -> None:
    """Refuse covariances that are none: their factors would be those of other matrices."""
    entry = family.asymmetric_entry(covariances, float(np.finfo(np.float64).eps))
    if entry is not None:
        where = opposite_entries(covariances, entry)
        raise DataError(f"{path}/arrays.npz: covariances are not symmetric: {where}")


def _expected_arrays(description: dict[str, Any], path: Path) -> Admit:
    """Refuses an array before it is read, unless it has the shape and type that the model's has."""
    k, d = description["n_components"], description["n_features"]
    shapes = {
        "weights": (k,),
        _LOG_WEIGHTS: (k,),
        **dict(zip(_NOISE, ((1,), (2, d)), strict=True)),
        "means": (k, d),
        "covariances": family_named(description["covariance_type"]).covariance_shape(k, d),
        **dict.fromkeys(("shift", "scale", "variance", "is_constant"), (d,)),
    }

    def admit(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if name not in shapes:
            raise DataError(f"{path}/arrays.npz holds an array {name!r} that no model has")
        due = np.dtype(np.bool_ if name == "is_constant" else np.float64)
        if shape != shapes[name] or dtype.newbyteorder("=") != due:
            raise DataError(
                f"{path}/arrays.npz: {name} is not a finite array of shape {shapes[name]} and type "
                f"{due}, but {dtype} of shape {shape}: the model is damaged"
            )

    return admit
