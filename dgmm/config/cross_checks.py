"""What single keys cannot say: keys that exclude each other, and paths that would harm each other.

Checked on the tree as read, beside the schema, so that these faults come with all the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from dgmm.config.expected_values import expected, schema_of
from dgmm.config.problems import KeyPath, Problem
from dgmm.config.yaml_reader import Reading
from dgmm.execution.opening import CLUSTERS

#: What the job is read for; `any` takes either, by what `model` holds.
Kind = Literal["run", "predict", "any"]


def contradictions(reading: Reading, kind: Kind) -> Iterator[Problem]:
    """Yield every fault that lies between keys."""
    if isinstance(reading.value, dict):
        yield from _model(reading, kind)
        yield from _initialisation(reading)
        yield from _cluster(reading)
        yield from _anomalies(reading, kind)
        yield from _paths(reading)


def _section(reading: Reading, name: str) -> Mapping[str, Any]:
    """The keys of a section that say something; null says nothing."""
    section = reading.value.get(name)
    given = section if isinstance(section, dict) else {}
    return {key: value for key, value in given.items() if value is not None}


def _fault(reading: Reading, path: KeyPath, message: str) -> Problem:
    return Problem(reading.place_of(path, key=True), path, message)


def _model(reading: Reading, kind: Kind) -> Iterator[Problem]:
    if not isinstance(reading.value.get("model", 0), dict | None):
        return
    model = _section(reading, "model")
    if "path" in model:
        yield from _fitted_model(reading, model, kind)
    elif kind == "predict":
        text = "missing; dgmm predict needs the directory of a fitted model (runs/photos/model)"
        yield _fault(reading, ("model", "path"), text)
    elif "n_components" not in model:
        needed = expected(("model", "n_components")).removesuffix(" or null")
        yield _fault(reading, ("model", "n_components"), f"missing, expected {needed}")


def _fitted_model(reading: Reading, model: Mapping[str, Any], kind: Kind) -> Iterator[Problem]:
    if kind == "run":
        text = "names a fitted model: use `dgmm predict`, or give n_components in its place"
        yield _fault(reading, ("model", "path"), text)
    for key in model:
        if key != "path" and schema_of(("model", key)) is not None:
            text = "contradicts model.path: a fitted model has its own; remove one of them"
            yield _fault(reading, ("model", key), text)


def _initialisation(reading: Reading) -> Iterator[Problem]:
    section = _section(reading, "initialisation")
    method = section.get("method", "kmeans")
    if method == "given" and "model" not in section:
        text = "missing; method: given needs the directory of a model to start from"
        yield _fault(reading, ("initialisation", "model"), text)
    if method != "given" and "model" in section:
        text = "contradicts method; to start from this model write method: given"
        yield _fault(reading, ("initialisation", "model"), text)


def _cluster(reading: Reading) -> Iterator[Problem]:
    section = _section(reading, "cluster")
    for place in ("address", "scheduler_file"):
        if place in section:
            for key in section.keys() - {place}:
                text = f"contradicts cluster.{place}: a running cluster has its own; remove one"
                yield _fault(reading, ("cluster", key), text)
            return
    kind = str(section.get("kind"))
    is_here = kind in CLUSTERS and CLUSTERS[kind].is_this_process
    if is_here and section.get("threads_per_worker", 1) != 1:
        text = f"contradicts kind: {kind}, which runs n_workers threads in this process"
        yield _fault(reading, ("cluster", "threads_per_worker"), text)


def _anomalies(reading: Reading, kind: Kind) -> Iterator[Problem]:
    """A threshold that has nothing to be taken from, or that the fitted model has already."""
    output = _section(reading, "output")
    if "anomaly_quantile" not in output:
        return
    predicts = "path" in _section(reading, "model")
    if predicts and kind != "run":
        text = (
            "contradicts model.path: dgmm predict flags rows by the model's own threshold; remove "
            "this key"
        )
        yield _fault(reading, ("output", "anomaly_quantile"), text)
    if not predicts and kind != "predict" and output.get("log_density") is False:
        text = (
            "contradicts log_density: false; the quantile is taken from the log densities as "
            "written: write log_density: true, or remove this key"
        )
        yield _fault(reading, ("output", "anomaly_quantile"), text)


def _paths(reading: Reading) -> Iterator[Problem]:
    """Where the output would lie in an input, or an input in the output."""
    output = _section(reading, "output").get("path")
    if not isinstance(output, str) or not output:
        return
    for path in (("data", "path"), ("model", "path"), ("initialisation", "model")):
        given = _section(reading, path[0]).get(path[1])
        if not isinstance(given, str) or not given:
            continue
        if any(_overlap(output, place) for place in _places(given, reading, path)):
            text = f"lies at, in or around {'.'.join(path)}; expected a directory apart from it"
            yield Problem(reading.place_of(("output", "path")), ("output", "path"), text)


def _places(given: str, reading: Reading, path: KeyPath) -> list[str]:
    """Where an input lies: within its folder, parts of it may be links to elsewhere."""
    if path != ("data", "path"):
        return [given, os.path.join(given, "model")]  # noqa: PTH118 - as realpath takes it
    array = _section(reading, "data").get("array")
    parts = [part for part in array.split("/") if part] if isinstance(array, str) else []
    if {".", ".."} & {*parts}:
        return [given]  # no array's name: refused when the data are opened
    own = os.path.join(given, *parts)  # noqa: PTH118 - as above
    return [given, own, os.path.join(own, "c")]  # noqa: PTH118 - as above


def _overlap(one: str, other: str) -> bool:
    try:
        first, second = Path(os.path.realpath(one)), Path(os.path.realpath(other))
    except ValueError:  # a NUL character, which the schema refuses
        return False
    return first.is_relative_to(second) or second.is_relative_to(first)
