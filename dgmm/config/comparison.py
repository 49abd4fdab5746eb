"""What `comparison` contradicts: rows that k-means has no rule for, and jobs without a fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dgmm.config.problems import Problem
from dgmm.config.yaml_reader import ParsedYaml

_PLACE = ("comparison",)
_WEIGHTS = ("array", "column", "cos")


def comparison_problems(parsed: ParsedYaml) -> Iterator[Problem]:
    """Yield what contradicts `comparison: true`."""
    if parsed.value.get("comparison") is not True:
        return
    data, model = _section(parsed.value, "data"), _section(parsed.value, "model")
    if model.get("n_components") in (1, [1]):
        yield _problem(
            parsed,
            "model.n_components: 1, under which every row is in the same cluster; write 2 or more, "
            "or remove this key",
        )
    if model.get("path") is not None:
        yield _problem(
            parsed, "model.path: methods are compared where a mixture is fitted; remove this key"
        )
    if parsed.value.get("task") == "classify":
        yield _problem(
            parsed, "task: classify, which fits one mixture per class; remove one of them"
        )
    if data.get("missing") == "marginalise":
        yield _problem(
            parsed,
            "data.missing: marginalise; k-means takes complete rows alone: write data.missing: "
            "drop, or remove this key",
        )
    weights = _section(data, "weights")
    if any(weights.get(key) is not None for key in _WEIGHTS):
        yield _problem(
            parsed,
            "data.weights: methods are compared on rows that weigh the same; remove one of them",
        )


def _section(tree: dict[str, Any], name: str) -> dict[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def _problem(parsed: ParsedYaml, what: str) -> Problem:
    return Problem(parsed.place_of(_PLACE, key=True), _PLACE, f"contradicts {what}")
