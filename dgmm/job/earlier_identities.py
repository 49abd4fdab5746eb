"""Identities of jobs that earlier versions recorded, in today's names and the reverse.

A run directory of an earlier version resumes its job: run.json is compared in today's names,
and checkpoints are found by the digest that they were given, which is of the former names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dgmm.data.in_place_dataset import CARRIED
from dgmm.fitting.prior_settings import PRIOR_KEYS, TYPE_KEY

#: Keys that had another name: section, former name, name.
RENAMED = (("initialisation", "sample_starts", "n_sample_starts"),)
#: Keys that earlier records lack, with the value that they stand for.
ADDED: dict[tuple[str, str], Any] = {
    ("compute", "backend"): "auto",
    ("data", "format"): "zarr",
    **{("data", key): None for key in ("columns", "id", "describe", "variables", "sample_dims")},
    **{("data", key): None for key in ("feature_dims", "select", "concat_dim")},
    ("data", "csv"): dict.fromkeys(("delimiter", "decimal", "null_values", "encoding")),
    ("data", "prepare"): "auto",
    ("outputs", "imputed"): False,
    ("outputs", "residual"): True,
    ("model", "inference"): "maximum_likelihood",
    **{("model", key): None for key in PRIOR_KEYS},
    ("model", TYPE_KEY): "dirichlet_process",
    ("model", "component_order"): "start",
    ("model", "noise"): False,
    ("model", "freeze"): [],
    ("outputs", "clusters"): False,
    ("merging", "min_overlap"): 0.0,
    ("selection", "criterion"): "bic",
    ("selection", "folds"): 5,
    ("selection", "fold_rows"): 1,
    ("selection", "stability"): False,
    ("outputs", "class_posteriors"): True,
    **{("data", key): None for key in ("classes", "groups")},
    ("data", "weights"): dict.fromkeys(("array", "column", "cos", "kind")),
}
#: Of a data fingerprint, by which rule folds of `task: classify` were made; earlier ones lack it.
FOLD_KEY = "folds"


def computed_from(data: Mapping[str, Any]) -> dict[str, Any]:
    """Of a data fingerprint what states and outputs are computed from: no carried columns."""
    return {key: value for key, value in data.items() if key != CARRIED}


def as_recorded(data: Mapping[str, Any], seen: Mapping[str, Any]) -> Mapping[str, Any]:
    """A data fingerprint of today as the version that recorded `seen` took it."""
    return data if CARRIED in seen else computed_from(data)


def is_of_same_data(data: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Whether a data fingerprint of today is of the data that run.json has recorded as `seen`.

    By which rule the folds of a finished run were made is no matter: they are not made again.
    """
    now = json.loads(json.dumps(as_recorded(data, seen)))
    return without_folds(seen) == without_folds(now)


def without_folds(data: Mapping[str, Any]) -> dict[str, Any]:
    """A data fingerprint but for the rule of folds."""
    return {key: value for key, value in data.items() if key != FOLD_KEY}


def _has(identity: Mapping[str, Any], section: str) -> bool:
    """Whether keys may be added to a section: a fitted model has none but its path.

    Nor has a job of one model a section that chooses among several, or every job one of clusters.
    """
    if section in {"selection", "merging"}:
        return section in identity
    return section != "model" or "n_components" in identity.get("model", {})


def in_todays_names(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded identity as `identity` of the same job gives it today."""
    if not recorded:
        return {}
    today = {name: dict(v) if isinstance(v, Mapping) else v for name, v in recorded.items()}
    for section, old, new in RENAMED:
        if old in today.get(section, {}):
            today[section][new] = today[section].pop(old)
    for (section, key), value in ADDED.items():
        if _has(today, section):
            today.setdefault(section, {}).setdefault(key, value)
    return today


def in_former_names(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity as the first version that could have recorded it did; digests are of that."""
    former = {name: dict(v) if isinstance(v, Mapping) else v for name, v in identity.items()}
    for (section, key), value in ADDED.items():
        if _has(former, section) and former[section][key] == value:
            del former[section][key]
    for section, old, new in RENAMED:
        if section in former:
            former[section][old] = former[section].pop(new)
    return {name: v for name, v in former.items() if v != {}}
