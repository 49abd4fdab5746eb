"""A classifier as a directory of plain files: classifier.json, and a model for each class."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from dgmm.errors import DataError, InputNotFoundError
from dgmm.model.classifier import Classifier
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model, model_digest, save_model, written_whole
from dgmm.storage.atomic_files import read_json, write_json
from dgmm.storage.folders import Target

CLASSIFIER_FILE = "classifier.json"
_VERSION = 1


def save_classifier(classifier: Classifier, path: Target, **about: Any) -> None:
    """Write a classifier's directory with the models of all classes, whole or not at all.

    Parameters
    ----------
    classifier, path
        What is saved where; an older one there is replaced.
    **about
        Further entries of classifier.json, for people.

    Raises
    ------
    OutputFailedError
        If it cannot be written.
    """
    with written_whole(path, "the classifier") as aside:
        for code, mixture in enumerate(classifier.mixtures):
            save_model(mixture, aside / model_folder(code))
        write_json(aside / CLASSIFIER_FILE, _description(classifier) | about)


def load_classifier(path: str | Path) -> Classifier:
    """Open a classifier's directory that a job or `save_classifier` wrote, checked on load.

    Nothing in it is unpickled or run: it is JSON and plain arrays (npz).

    Parameters
    ----------
    path : str or Path
        The directory, or a run directory that holds it as `model/`.

    Returns
    -------
    Classifier
        With `predict`, `predict_proba` and `score_samples`.

    Raises
    ------
    InputNotFoundError
        If there is none.
    DataError
        (a ValueError) If it is damaged, or of a newer schema.
    """
    found = classifier_at(path)
    if found is None:
        raise InputNotFoundError(f"no classifier at {path}: expected {CLASSIFIER_FILE} in it")
    described = read_json(found / CLASSIFIER_FILE)
    _check(described, found)
    mixtures = tuple(_mixture(found, code, one) for code, one in enumerate(described["classes"]))
    if len({(m.feature_names, m.covariance_type) for m in mixtures}) != 1:
        raise DataError(f"{found}: its classes have different features; it is damaged")
    names = tuple(one["name"] for one in described["classes"])
    priors = np.array([one["prior"] for one in described["classes"]], dtype=np.float64)
    return Classifier(names, priors, mixtures)


def classifier_at(path: str | Path) -> Path | None:
    """The directory of a classifier, at a path or in the run directory there; None for none."""
    for place in (Path(path), Path(path) / "model"):
        if (place / CLASSIFIER_FILE).is_file():
            return place
    return None


def model_folder(code: int) -> str:
    """Where the model of a class lies within the directory."""
    return f"class-{code:04d}"


def is_model_folder(name: str) -> bool:
    """Whether a name is that of a class's model."""
    return re.fullmatch("class-[0-9]{4}", name) is not None


def classifier_digest(classifier: Classifier) -> str:
    """Identity of a classifier: its classes, priors, and all that its models describe."""
    described = json.dumps(_description(classifier), sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def _description(classifier: Classifier) -> dict[str, Any]:
    names, priors = classifier.names, classifier.priors.tolist()
    rows = zip(names, priors, classifier.mixtures, strict=True)
    return {
        "format": "dgmm-classifier",
        "schema_version": _VERSION,
        "classes": [
            {"name": name, "prior": prior, "path": model_folder(code), "sha256": model_digest(one)}
            for code, (name, prior, one) in enumerate(rows)
        ],
    }


def _mixture(place: Path, code: int, described: dict[str, Any]) -> MixtureModel:
    found = load_model(place / model_folder(code))
    if model_digest(found) != described["sha256"]:
        raise DataError(f"{place / model_folder(code)} is not the model that was saved there")
    return found


def _check(described: Any, place: Path) -> None:
    """Refuse what is no classifier of this schema."""
    if not isinstance(described, dict) or described.get("format") != "dgmm-classifier":
        raise DataError(f"{place}/{CLASSIFIER_FILE} does not describe a dgmm classifier")
    if described.get("schema_version") != _VERSION:
        raise DataError(
            f"{place} has classifier schema {described.get('schema_version')}; this dgmm reads "
            f"{_VERSION}: update dgmm"
        )
    classes = described.get("classes")
    if not isinstance(classes, list) or not classes or not all(map(_is_class, classes)):
        raise DataError(f"{place}/{CLASSIFIER_FILE}: classes are absent or of the wrong kind")
    names = [one["name"] for one in classes]
    if len({type(name) for name in names}) > 1 or names != sorted(set(names)):
        raise DataError(f"{place}/{CLASSIFIER_FILE}: names of classes are not in order")
    if abs(sum(one["prior"] for one in classes) - 1.0) > 1e-6:
        raise DataError(f"{place}/{CLASSIFIER_FILE}: priors do not sum to 1")


def _is_class(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and type(one.get("name")) in (int, str)
        and isinstance(one.get("prior"), float | int)
        and not isinstance(one.get("prior"), bool)
        and 0 < one["prior"] <= 1
        and isinstance(one.get("sha256"), str)
    )
