"""Keys and values that are refused by name: planned, former, or those of other tools."""

from __future__ import annotations

from typing import Any

from dgmm.config.problems import KeyPath

_KEYS = {
    "data.storage": "object storage is",
    "data.storage_options": "object storage is",
    "data.verify": "checking data against a manifest is",
    "storage.options": "object storage is",
    "cluster.tls": "encrypted clusters are",
    "cluster.security": "encrypted clusters are",
}
_INSTEAD = {
    "data.feature_dim": "the key is data.feature_dims, a list",
    "data.sample_dim": "the key is data.sample_dims, a list",
    "data.ids": "the key is data.id",
    "data.sample_weight": "the key is data.weights, with array or column, and kind",
    "data.errors": (
        "errors of measurement are no part of this model. With a covariance of its own for every "
        "row (extreme deconvolution: Bovy, Hogg & Roweis 2011) rows no longer add up to common "
        "sums, on which a pass over large data rests. Rows that are measured poorly can be left "
        "out, or given lower weights (data.weights)"
    ),
    "sweep": "several models are a list in model.n_components or model.covariance_type",
    "model.warm_start": "initialisation: {method: given, model: PATH} starts from a saved model",
    "initialisation.sample_starts": "the key is initialisation.n_sample_starts",
    "model.random_state": "the key is seed, at the top",
    "model.init_params": "the key is initialisation.method",
    "output.checkpoint": "the key is checkpoint, at the top",
    "output.overwrite": "nothing is ever overwritten: remove the directory, or choose another path",
}


def reserved_key(path: KeyPath) -> str | None:
    """The message for an unknown key that is known elsewhere; None for any other."""
    name = ".".join(key for key in path if isinstance(key, str))
    if name in _KEYS:
        return f"{_KEYS[name]} not built yet; remove this key"
    return f"no such key: {_INSTEAD[name]}" if name in _INSTEAD else None


def reserved_value(path: KeyPath, value: Any) -> str | None:
    """The message for a value that is planned or known elsewhere; None for any other."""
    match path, value:
        case ("data", "missing"), "marginalize":
            return "the value is marginalise"
        case ("output", "if_exists"), "overwrite":
            return "nothing is ever overwritten: remove the directory, or choose another path"
    return None
