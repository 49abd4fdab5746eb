"""What model.json has to say: entries of the right kind, checked before the arrays are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dgmm.errors import DataError

#: Of models whose rows are transformed first: earlier versions would score them untransformed.
SCHEMA_VERSION = 2
#: Of all others, as before there were such models.
PLAIN_VERSION = 1


def check_description(description: Any, path: Path) -> None:
    """Refuse what is not a model of this schema, and entries that are absent or of another kind."""
    if not isinstance(description, dict) or description.get("format") != "dgmm-model":
        raise DataError(f"{path}/model.json does not describe a dgmm model")
    version = description.get("schema_version")
    if version not in (PLAIN_VERSION, SCHEMA_VERSION) or isinstance(version, bool):
        raise DataError(
            f"{path} has model schema {version}; this dgmm reads {PLAIN_VERSION} to "
            f"{SCHEMA_VERSION}: update dgmm"
        )
    d = description.get("n_features")
    names = description.get("feature_names")
    sound = {
        "covariance_type": isinstance(description.get("covariance_type"), str),
        "n_components": _is_count(description.get("n_components")),
        "n_features": _is_count(d),
        "feature_names": isinstance(names, list)
        and len(names) == d
        and all(isinstance(name, str) for name in names),
        "feature_units": _is_text_by_name(description.get("feature_units", {})),
        **{
            key: key in description and _is_number_or_null(threshold_of(description[key]))
            for key in ("anomaly_threshold", "anomaly_quantile")
        },
    }
    wrong = [key for key, is_sound in sound.items() if not is_sound]
    if wrong:
        raise DataError(f"{path}/model.json: {', '.join(wrong)} absent or of the wrong kind")


def clusters_of(description: dict[str, Any], path: Path) -> tuple[int, ...] | None:
    """The cluster of each component, where components are merged.

    Raises
    ------
    DataError
        If they are not numbered from 0, each for the first time behind the one before.
    """
    saved = description.get("clusters")
    if saved is None:
        return None
    k = description["n_components"]
    is_list = isinstance(saved, list) and len(saved) == k
    if not is_list or not all(type(c) is int and 0 <= c < k for c in saved):
        raise DataError(
            f"{path}/model.json: clusters are not one number for each of {k} components"
        )
    if list(dict.fromkeys(saved)) != list(range(len(set(saved)))):
        raise DataError(f"{path}/model.json: clusters are not numbered in order of components")
    return tuple(saved)


def threshold_of(value: Any) -> Any:
    """Earlier versions saved a threshold of −inf, which JSON has as text."""
    return -np.inf if value == "-Infinity" else value


def _is_number_or_null(value: Any) -> bool:
    return isinstance(value, float | int | None) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(unit, str) for unit in value.values())
