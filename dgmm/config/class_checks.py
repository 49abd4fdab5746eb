"""Checks of several keys where a job classifies, or has keys of such a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dgmm.config.class_keys import ClassSettings
from dgmm.config.problems import KeyPath, Problem
from dgmm.config.yaml_reader import ParsedYaml
from dgmm.fitting.initialisation import INITIALISERS, reads_all_rows

#: Keys of `output` that are of the components of one mixture.
_OF_ONE_MIXTURE = ("anomaly_quantile", "responsibilities", "clusters", "imputed")
#: Keys of other sections that are.
_OF_OTHER_TASKS = (
    *(("anomalies", key) for key in ("quantile", "rate", "log_density", "top")),
    ("model", "noise"),
    ("selection", "stability"),
    *(("monitor", "against"), ("adapt", "relevance"), ("initialisation", "model")),
)
_PLURAL = ("n_components", "covariance_type")


def class_problems(parsed: ParsedYaml) -> Iterator[Problem]:
    """Yield every problem of keys of classes."""
    applies_model = "path" in _section(parsed, "model")
    if parsed.value.get("task") == "classify":
        yield from _of_classify(parsed, applies_model=applies_model)
    elif applies_model:
        yield from _of_saved(parsed)
    else:
        yield from _of_others(parsed)
    data = _section(parsed, "data")
    if "groups" in data and data["groups"] == data.get("classes"):
        text = "names the same column as data.classes; expected what rows belong together"
        yield _problem(parsed, ("data", "groups"), text)


def _of_classify(parsed: ParsedYaml, *, applies_model: bool) -> Iterator[Problem]:
    data, model = _section(parsed, "data"), _section(parsed, "model")
    if applies_model:
        text = "contradicts model.path: a saved classifier tells what it is; remove this key"
        yield _problem(parsed, ("task",), text)
        return
    if "classes" not in data:
        text = (
            "missing; task classify needs the class of each row: a column of a table, or an array "
            "beside the rows"
        )
        yield _problem(parsed, ("data", "classes"), text)
    if "weights" in data:
        text = "contradicts task: classify, which counts each row once; remove this key"
        yield _problem(parsed, ("data", "weights"), text)
    for key in _PLURAL:
        value = model.get(key)
        if isinstance(value, dict) or (isinstance(value, list) and len(value) > 1):
            text = "several values contradict task: classify, which fits one mixture per class"
            yield _problem(parsed, ("model", key), text)
    for key in _OF_ONE_MIXTURE:
        if _section(parsed, "output").get(key):
            text = "contradicts task: classify: it is of the components of one mixture; remove it"
            yield _problem(parsed, ("output", key), text)
    for name, key in _OF_OTHER_TASKS:
        if _section(parsed, name).get(key) not in (None, False):
            text = "contradicts task: classify: it is of one mixture; remove it"
            yield _problem(parsed, (name, key), text)
    yield from _start(parsed)


def _start(parsed: ParsedYaml) -> Iterator[Problem]:
    method = str(_section(parsed, "initialisation").get("method"))
    if method in INITIALISERS and (INITIALISERS[method].is_given or reads_all_rows(method)):
        text = (
            "contradicts task: classify, whose starts are drawn on each class's sample; expected "
            "kmeans, k-means++, hierarchical or random_from_data"
        )
        yield _problem(parsed, ("initialisation", "method"), text)


def _of_others(parsed: ParsedYaml) -> Iterator[Problem]:
    """Keys of classes in a job that fits one mixture, which may begin at them."""
    data = _section(parsed, "data")
    if _section(parsed, "initialisation").get("method") == "labels":
        yield from _of_labels(parsed, data)
        return
    for path in (("data", "classes"), ("data", "groups"), ("classes",)):
        if path[1] in data if len(path) > 1 else _differs(_section(parsed, "classes")):
            text = "needs task: classify, which fits a mixture to each class; write it, or remove "
            yield _problem(parsed, path, f"{text}this key")


def _of_saved(parsed: ParsedYaml) -> Iterator[Problem]:
    """Keys that a saved classifier has its own of."""
    section, defaults = _section(parsed, "classes"), ClassSettings().model_dump()
    for key in ("priors", "folds"):
        if section.get(key, defaults[key]) != defaults[key]:
            text = "contradicts model.path: the saved classifier was fitted with its own; remove it"
            yield _problem(parsed, ("classes", key), text)


def _of_labels(parsed: ParsedYaml, data: Mapping[str, Any]) -> Iterator[Problem]:
    """A start at classes: whose, and of one model."""
    if "classes" not in data:
        text = "missing; method: labels needs the class of each row, one component begins at each"
        yield _problem(parsed, ("data", "classes"), text)
    if "groups" in data:
        text = "needs task: classify; a start at labels takes each row for itself. Remove this key"
        yield _problem(parsed, ("data", "groups"), text)
    model = _section(parsed, "model")
    for key in _PLURAL:
        if isinstance(model.get(key), dict | list):
            text = "several values contradict method: labels, which is a start of one model"
            yield _problem(parsed, ("model", key), text)


def _differs(section: Mapping[str, Any]) -> bool:
    """Whether a section of classes has a value that is not its default."""
    defaults = ClassSettings().model_dump()
    return any(value != defaults.get(key) for key, value in section.items())


def _section(parsed: ParsedYaml, name: str) -> Mapping[str, Any]:
    section = parsed.value.get(name)
    given = section if isinstance(section, dict) else {}
    return {key: value for key, value in given.items() if value is not None}


def _problem(parsed: ParsedYaml, path: KeyPath, message: str) -> Problem:
    return Problem(parsed.place_of(path, key=True), path, message)
