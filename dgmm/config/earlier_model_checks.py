"""Checks of keys that go with an earlier model: `initialisation.model`, `monitor`, `adapt`,
`model.freeze`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from dgmm.config.earlier_model import LAST
from dgmm.config.problems import KeyPath, Problem
from dgmm.config.yaml_reader import ParsedYaml
from dgmm.data.transforms.asked_step import MEASURED
from dgmm.mixture.covariance import FAMILIES

#: Keys that name runs: `last` is no path there.
RUNS = (("initialisation", "model"), ("monitor", "against"))
#: What turns a section on.
_NEEDED = {"monitor": "against", "adapt": "relevance"}


def earlier_model_problems(parsed: ParsedYaml) -> Iterator[Problem]:
    """Yield what contradicts a start from a model, `monitor` or `adapt`."""
    for path, text in _start(parsed):
        yield Problem(parsed.place_of(path, key=True), path, text)
    for key, needed in _NEEDED.items():
        given = _section(parsed, key)
        if needed not in given:  # null says that it is meant to be off
            for other in given:
                text = f"without effect; {key}.{needed} is missing"
                yield Problem(parsed.place_of((key, other), key=True), (key, other), text)
        elif given[needed] is not None:
            for path, text in (*_fitted_model(parsed, key), *_steps(parsed, key)):
                yield Problem(parsed.place_of(path, key=True), path, text)
    further = _freeze(parsed)
    if _section(parsed, "adapt").get("relevance") is not None:
        further = chain(further, _adapt(parsed))
    for path, text in further:
        yield Problem(parsed.place_of(path, key=True), path, text)


def start_method(start: Mapping[str, Any]) -> Any:
    """The method of `initialisation`, which a model alone stands for."""
    return start.get("method", "given" if "model" in start else "kmeans")


def last_left_out(path: KeyPath, value: Any) -> Any:
    """The value of a key, but for `last` where that is no path."""
    return None if path in RUNS and value == LAST else value


def _section(parsed: ParsedYaml, name: str) -> Mapping[str, Any]:
    section = parsed.value.get(name)
    return section if isinstance(section, dict) else {}


def _start(parsed: ParsedYaml) -> Iterator[tuple[KeyPath, str]]:
    found = _section(parsed, "initialisation")
    section = {key: value for key, value in found.items() if value is not None}
    method = start_method(section)
    if method == "given" and "model" not in section:
        text = "missing; method: given needs the directory of a model to start from"
        yield ("initialisation", "model"), text
    if method != "given" and "model" in section:
        text = "contradicts method; to start from this model write method: given"
        yield ("initialisation", "model"), text


def _fitted_model(parsed: ParsedYaml, key: str) -> Iterator[tuple[KeyPath, str]]:
    if _section(parsed, "model").get("path") is not None:
        yield (key,), "contradicts model.path: it belongs to dgmm run; remove one of them"


def _steps(parsed: ParsedYaml, key: str) -> Iterator[tuple[KeyPath, str]]:
    """Steps whose numbers follow the rows: the earlier model had other ones."""
    steps = parsed.value.get("preprocess")
    for step in steps if isinstance(steps, list) else ():
        kind = next((kind for kind in MEASURED if isinstance(step, dict) and kind in step), None)
        if kind is not None:
            text = (
                f"contradicts preprocess.{kind}, whose numbers are measured on the rows of each "
                "run: the earlier model knows no rows behind other numbers. Remove one of them"
            )
            yield (key,), text


def _adapt(parsed: ParsedYaml) -> Iterator[tuple[KeyPath, str]]:
    model = _section(parsed, "model")
    if _section(parsed, "initialisation").get("model") is None:
        yield (
            ("adapt",),
            "needs a model to adapt; write initialisation: {model: PATH} or {model: last}",
        )
    if model.get("max_iter", 0) != 0 and _section(parsed, "initialisation").get("model") != LAST:
        yield ("model", "max_iter"), "contradicts adapt, which makes one step; remove this key"
    if model.get("inference", "maximum_likelihood") != "maximum_likelihood":
        yield (
            ("model", "inference"),
            "contradicts adapt, whose prior is the earlier model; remove one of them",
        )
    parameters = _section(parsed, "adapt").get("parameters")
    name = str(model.get("covariance_type", "full"))
    is_shared = name in FAMILIES and FAMILIES[name].is_shared
    if is_shared and isinstance(parameters, list) and "covariances" in parameters:
        text = (
            f"contradicts model.covariance_type: {name}, whose covariance is no component's own; "
            "leave covariances out"
        )
        yield ("adapt", "parameters"), text


def _freeze(parsed: ParsedYaml) -> Iterator[tuple[KeyPath, str]]:
    """Components that stay as they are: of which model, which of them, and what they may share."""
    model, path = _section(parsed, "model"), ("model", "freeze")
    frozen, k = model.get("freeze"), _one_size(model.get("n_components"))
    if not isinstance(frozen, list) or not frozen:
        return
    if _section(parsed, "initialisation").get("model") is None:
        yield path, "needs the model they are of; write initialisation: {model: PATH}"
    if _section(parsed, "adapt").get("relevance") is not None:
        yield path, "contradicts adapt, which moves every component; remove one of them"
    if isinstance(k, int) and any(isinstance(j, int) and j >= k for j in frozen):
        yield path, f"expected numbers of components, from 0 to {k - 1}"
    if len({str(j) for j in frozen}) < len(frozen):
        yield path, "names a component more than once"
    name = str(model.get("covariance_type", "full"))
    if name in FAMILIES and FAMILIES[name].is_shared:
        yield (
            path,
            f"contradicts model.covariance_type: {name}, which all components share",
        )
    if model.get("inference") == "variational":
        yield path, "contradicts inference: variational, whose parameters are distributions"


def _one_size(given: Any) -> Any:
    """The number of components that a list or range of one number stands for."""
    if isinstance(given, list) and len(given) == 1:
        return given[0]
    if isinstance(given, dict) and given.get("from") == given.get("to"):
        return given.get("from")
    return given
