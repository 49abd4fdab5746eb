"""Checks of what is estimated: priors, noise beside the Gaussians, and what variances gain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dgmm.config.problems import KeyPath, Problem
from dgmm.config.yaml_reader import ParsedYaml
from dgmm.fitting.prior_settings import DEFAULT_TYPE, PRIOR_KEYS, TYPE_KEY


def inference_problems(parsed: ParsedYaml) -> Iterator[Problem]:
    """Yield what contradicts the inference that a job asks for."""
    yield from _prior(parsed)
    yield from _noise(parsed)
    yield from _share(parsed)


def _section(parsed: ParsedYaml, name: str) -> Mapping[str, Any]:
    """The keys of a section that have a value other than null."""
    section = parsed.value.get(name)
    given = section if isinstance(section, dict) else {}
    return {key: value for key, value in given.items() if value is not None}


def _problem(parsed: ParsedYaml, path: KeyPath, message: str) -> Problem:
    return Problem(parsed.place_of(path, key=True), path, message)


def _prior(parsed: ParsedYaml) -> Iterator[Problem]:
    """A prior beside an inference that has none."""
    model = _section(parsed, "model")
    if model.get("inference", "maximum_likelihood") == "maximum_likelihood":
        for key in PRIOR_KEYS:
            if key in model:
                text = "belongs to a prior; write inference: map or variational, or remove this key"
                yield _problem(parsed, ("model", key), text)
    kind = model.get(TYPE_KEY, DEFAULT_TYPE)
    if model.get("inference") != "variational" and kind != DEFAULT_TYPE:
        text = "belongs to variational inference; write inference: variational, or remove this key"
        yield _problem(parsed, ("model", TYPE_KEY), text)
    marginalises = _section(parsed, "data").get("missing") == "marginalise"
    if model.get("inference") == "variational" and marginalises:
        text = "contradicts data.missing: marginalise; write inference: map, or missing: drop"
        yield _problem(parsed, ("model", "inference"), text)


def _noise(parsed: ParsedYaml) -> Iterator[Problem]:
    """Noise beside what it is not defined for."""
    model, missing = _section(parsed, "model"), _section(parsed, "data").get("missing")
    faults = ["inference: variational; write map"] * (model.get("inference") == "variational")
    faults += ["data.missing: marginalise; write missing: drop"] * (missing == "marginalise")
    for text in faults * (model.get("noise") is True):
        yield _problem(parsed, ("model", "noise"), f"contradicts {text}, or remove this key")


def _share(parsed: ParsedYaml) -> Iterator[Problem]:
    """A share by held-out rows beside what is not part of their mixtures, or several models."""
    model, selection = _section(parsed, "model"), _section(parsed, "selection")
    if model.get("reg_covar_relative") != "held_out":
        return
    inference = model.get("inference", "maximum_likelihood")
    faults = [f"model.inference: {inference}"] * (inference != "maximum_likelihood")
    faults += ["model.noise: true"] * (model.get("noise") is True)
    faults += ["model.freeze"] * bool(model.get("freeze"))
    faults += [
        f"several values of model.{key}"
        for key in ("n_components", "covariance_type")
        if isinstance(model.get(key), list | dict)
    ]
    faults += ["selection.stability: true"] * (selection.get("stability") is True)
    for text in faults:
        message = f"contradicts {text}; write a number, or remove this key"
        yield _problem(parsed, ("model", "reg_covar_relative"), message)
