"""Checks that need several keys: keys that exclude each other, and paths that overlap.

Checked on the tree as read, beside the schema, so that all problems are reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from dgmm.config.class_checks import class_problems
from dgmm.config.comparison import comparison_problems
from dgmm.config.earlier_model_checks import (
    RUNS,
    earlier_model_problems,
    last_left_out,
    start_method,
)
from dgmm.config.expected_values import expected, is_key
from dgmm.config.inference_checks import inference_problems
from dgmm.config.merging import MOST_MERGED
from dgmm.config.problems import KeyPath, Problem
from dgmm.config.yaml_reader import ParsedYaml
from dgmm.execution.open_cluster import CLUSTERS

#: What the job is read for; `any` takes either, by what `model` holds.
Kind = Literal["run", "predict", "any"]

#: Keys of data that only tables, and only labelled arrays, have.
_TABULAR = ("columns", "id", "describe", "csv")
_WEIGHTS = ("array", "column", "cos")
#: Keys of what a job reads.
_INPUTS = (("data", "path"), ("model", "path"), *RUNS)
_LABELLED = ("variables", "sample_dims", "feature_dims", "select", "concat_dim")


def cross_check_problems(parsed: ParsedYaml, kind: Kind) -> Iterator[Problem]:
    """Yield every problem that several keys make together."""
    if isinstance(parsed.value, dict):
        yield from _model(parsed, kind)
        yield from inference_problems(parsed)
        yield from _several_models(parsed)
        yield from _held_out(parsed)
        yield from _cluster(parsed)
        yield from _anomalies(parsed, kind)
        yield from comparison_problems(parsed)
        yield from _imputed(parsed)
        yield from _clusters(parsed)
        yield from _kinds_of_input(parsed)
        yield from _weights(parsed)
        yield from _preprocess(parsed)
        yield from earlier_model_problems(parsed)
        yield from class_problems(parsed)
        yield from _paths(parsed)


def _section(parsed: ParsedYaml, name: str) -> Mapping[str, Any]:
    """The keys of a section that have a value other than null."""
    section = parsed.value.get(name)
    given = section if isinstance(section, dict) else {}
    return {key: value for key, value in given.items() if value is not None}


def _problem(parsed: ParsedYaml, path: KeyPath, message: str) -> Problem:
    return Problem(parsed.place_of(path, key=True), path, message)


def _model(parsed: ParsedYaml, kind: Kind) -> Iterator[Problem]:
    if not isinstance(parsed.value.get("model", 0), dict | None):
        return
    model = _section(parsed, "model")
    if "path" in model:
        yield from _fitted_model(parsed, model, kind)
    elif kind == "predict":
        text = "missing; dgmm predict needs the directory of a fitted model (runs/photos/model)"
        yield _problem(parsed, ("model", "path"), text)
    elif "n_components" not in model:
        needed = expected(("model", "n_components")).removesuffix(" or null")
        yield _problem(parsed, ("model", "n_components"), f"missing, expected {needed}")


def _fitted_model(parsed: ParsedYaml, model: Mapping[str, Any], kind: Kind) -> Iterator[Problem]:
    if kind == "run":
        text = "names a fitted model: use `dgmm predict`, or give n_components in its place"
        yield _problem(parsed, ("model", "path"), text)
    for key in model:
        if key != "path" and is_key(("model", key)):
            text = "contradicts model.path: a fitted model has its own; remove one of them"
            yield _problem(parsed, ("model", key), text)


def _several_models(parsed: ParsedYaml) -> Iterator[Problem]:
    """Several models beside a start of one size, without any step of EM, or without likelihood."""
    model = _section(parsed, "model")
    several = [k for k in ("n_components", "covariance_type") if _is_several(model.get(k))]
    if not several:
        return
    start = _section(parsed, "initialisation")
    if start_method(start) == "given":
        text = f"contradicts several values of model.{several[0]}: a given start is of one model"
        key = "method" if "method" in start else "model"
        yield _problem(parsed, ("initialisation", key), text)
    if model.get("max_iter") == 0:
        text = f"contradicts several values of model.{several[0]}: models are compared after EM"
        yield _problem(parsed, ("model", "max_iter"), text)
    if model.get("inference") == "variational":
        for key in several:
            remedy = "the largest: empty components are pruned" if key == "n_components" else "one"
            text = (
                "several values contradict inference: variational, whose models have no likelihood "
                f"for BIC to compare; give {remedy}, or write inference: map"
            )
            yield _problem(parsed, ("model", key), text)


def _held_out(parsed: ParsedYaml) -> Iterator[Problem]:
    """Folds where nothing is held out, or where models would be compared and there is one."""
    section, model = _section(parsed, "selection"), _section(parsed, "model")
    if "path" in model:
        for key, asked in (("criterion", "held_out"), ("stability", True)):
            if section.get(key) == asked:
                text = "contradicts model.path: it is of a fit, and nothing is fitted; remove it"
                yield _problem(parsed, ("selection", key), text)
        return
    if section.get("criterion", "bic") != "held_out":
        for key, default in (("folds", 5), ("fold_rows", 1)):
            if section.get(key, default) != default:
                text = "belongs to held-out rows; write criterion: held_out, or remove this key"
                yield _problem(parsed, ("selection", key), text)
        return
    if not any(_is_several(model.get(key)) for key in ("n_components", "covariance_type")):
        text = "held_out compares models; give several in model.n_components, or remove this key"
        yield _problem(parsed, ("selection", "criterion"), text)
    if _section(parsed, "initialisation").get("method") == "kmeans_parallel":
        text = (
            "contradicts selection.criterion: held_out, as it reads all rows and folds begin at "
            "rows of the sample; write method: kmeans, or criterion: bic"
        )
        yield _problem(parsed, ("initialisation", "method"), text)


def _is_several(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and len(value) > 1)


def _cluster(parsed: ParsedYaml) -> Iterator[Problem]:
    section = _section(parsed, "cluster")
    for place in ("address", "scheduler_file"):
        if place in section:
            for key in section.keys() - {place}:
                text = f"contradicts cluster.{place}: a running cluster has its own; remove one"
                yield _problem(parsed, ("cluster", key), text)
            return
    kind = str(section.get("kind"))
    is_here = kind in CLUSTERS and CLUSTERS[kind].is_this_process
    if is_here and section.get("threads_per_worker", 1) != 1:
        text = f"contradicts kind: {kind}, which runs n_workers threads in this process"
        yield _problem(parsed, ("cluster", "threads_per_worker"), text)


def _anomalies(parsed: ParsedYaml, kind: Kind) -> Iterator[Problem]:
    """Several rules, a share without log densities, or a quantile of rows fitted before."""
    output, section = _section(parsed, "output"), _section(parsed, "anomalies")
    rules = [("output", "anomaly_quantile")] if "anomaly_quantile" in output else []
    rules += [("anomalies", key) for key in ("quantile", "rate", "log_density") if key in section]
    for other in rules[1:]:
        first = ".".join(rules[0])
        text = f"contradicts {first}: rows are flagged by one rule; remove one of them"
        yield _problem(parsed, other, text)
    predicts = "path" in _section(parsed, "model")
    for path in rules:
        is_quantile = path[1] in ("anomaly_quantile", "quantile")
        if predicts and kind != "run" and is_quantile:
            text = (
                "contradicts model.path: dgmm predict flags rows by the model's own threshold; "
                "remove this key, or write anomalies.rate for a share of the rows to be scored"
            )
            yield _problem(parsed, path, text)
        elif path[1] == "log_density" or (is_quantile and (predicts or kind == "predict")):
            continue
        elif output.get("log_density") is False:
            text = (
                "contradicts log_density: false; the share is taken from the log densities as "
                "written: write output.log_density: true, or remove this key"
            )
            yield _problem(parsed, path, text)


def _clusters(parsed: ParsedYaml) -> Iterator[Problem]:
    """Clusters of more components than are merged."""
    sizes = _section(parsed, "model").get("n_components")
    given = sizes.get("to") if isinstance(sizes, dict) else sizes
    several = given if isinstance(given, list) else [given]
    most = max((k for k in several if isinstance(k, int)), default=0)
    if _section(parsed, "output").get("clusters") is True and most > MOST_MERGED:
        text = (
            f"contradicts model.n_components: {most}; at most {MOST_MERGED} components are merged "
            "into clusters: remove this key, or take fewer components"
        )
        yield _problem(parsed, ("output", "clusters"), text)


def _imputed(parsed: ParsedYaml) -> Iterator[Problem]:
    """Expected values where nothing is taken for missing."""
    missing = _section(parsed, "data").get("missing", "error")
    if _section(parsed, "output").get("imputed") is True and missing != "marginalise":
        text = (
            f"contradicts data.missing: {missing}; write missing: marginalise, or remove this key"
        )
        yield _problem(parsed, ("output", "imputed"), text)


def _kinds_of_input(parsed: ParsedYaml) -> Iterator[Problem]:
    """Keys of tables beside keys of labelled arrays."""
    data = _section(parsed, "data")
    labelled = [key for key in _LABELLED if key in data]
    tabular = [key for key in _TABULAR if data.get(key)]
    if labelled:
        for key in tabular:
            text = f"contradicts data.{labelled[0]}: one is of tables, the other of labelled arrays"
            yield _problem(parsed, ("data", key), text)


def _weights(parsed: ParsedYaml) -> Iterator[Problem]:
    """Weights without a kind or a place, or with several places."""
    found = _section(parsed, "data").get("weights")
    given = {k for k, v in found.items() if v is not None} if isinstance(found, dict) else set()
    places = [key for key in _WEIGHTS if key in given]
    if not given & {*_WEIGHTS, "kind"}:
        return
    if not places:
        text = f"names no weights; expected one of {', '.join(_WEIGHTS)} in it"
        yield _problem(parsed, ("data", "weights"), text)
    for key in places[1:]:
        text = f"contradicts data.weights.{places[0]}: weights stand in one place; remove one"
        yield _problem(parsed, ("data", "weights", key), text)
    if "kind" not in given:
        text = (
            "missing; expected counts (a row of weight 3 stands for three equal rows) or "
            "importance (only the ratios of weights matter)"
        )
        yield _problem(parsed, ("data", "weights", "kind"), text)


def _preprocess(parsed: ParsedYaml) -> Iterator[Problem]:
    """Steps beside a model that has its own, or that cannot do with missing values."""
    steps = parsed.value.get("preprocess")
    if not isinstance(steps, list):
        return
    if "path" in _section(parsed, "model"):
        text = "contradicts model.path: a fitted model has its own steps; remove this key"
        yield _problem(parsed, ("preprocess",), text)
    if _section(parsed, "data").get("missing") == "marginalise":
        for i, step in enumerate(steps):
            if isinstance(step, dict) and "pca" in step:
                text = (
                    "contradicts data.missing: marginalise; a row that lacks one value has no "
                    "components at all. Write missing: drop, or remove this step"
                )
                yield _problem(parsed, ("preprocess", i, "pca"), text)
    if _section(parsed, "data").get("prepare") == "never":
        text = "contradicts data.prepare: never; transformed rows are written once. Remove it"
        yield _problem(parsed, ("preprocess",), text)


def _paths(parsed: ParsedYaml) -> Iterator[Problem]:
    """An output path inside an input, or an input inside the output."""
    output = _section(parsed, "output").get("path")
    if not isinstance(output, str) or not output:
        return
    for path in _INPUTS:
        found = last_left_out(path, _section(parsed, path[0]).get(path[1]))
        given = [p for p in (found if isinstance(found, list) else [found]) if isinstance(p, str)]
        places = [place for p in given if p for place in _places(p, parsed, path)]
        if any(_overlap(output, place) for place in places):
            text = f"lies at, in or around {'.'.join(path)}; expected a directory apart from it"
            yield Problem(parsed.place_of(("output", "path")), ("output", "path"), text)


def _places(given: str, parsed: ParsedYaml, path: KeyPath) -> list[str]:
    """Paths of an input: parts within its folder may be links to other places."""
    if path != ("data", "path"):
        return [given, os.path.join(given, "model")]  # noqa: PTH118 - as realpath takes it
    array = _section(parsed, "data").get("array")
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
