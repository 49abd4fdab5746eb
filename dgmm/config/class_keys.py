"""The job's `classes` section: how classes are weighed and evaluated (`task: classify`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from dgmm.config.settings import Settings
from dgmm.config.values import WHOLE, refusal

_SUM = 1e-6
_PRIORS_SCHEMA = {
    "anyOf": [
        {"enum": ["data", "uniform"]},
        {"type": "object", "minProperties": 2, "additionalProperties": {"type": "number"}},
    ]
}
_NAME = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
_NAMES_SCHEMA = {
    "anyOf": [
        {"type": "array", "minItems": 1, "items": _NAME},
        {"type": "null"},
    ]
}


def _priors(value: Any) -> str | dict[str, float]:
    if value in ("data", "uniform"):
        return str(value)
    if not isinstance(value, dict) or not value:
        raise refusal(
            "expected data, uniform, or a number for each class: {a: 0.5, b: 0.5}; data takes the "
            "classes' shares of the rows"
        )
    found = {}
    for name, share in value.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise refusal(f"expected a number between 0 and 1 for class {name}, not {share!r}")
        found[str(name)] = float(share)
    if abs(sum(found.values()) - 1.0) > _SUM:
        raise refusal(f"expected numbers that sum to 1; they sum to {sum(found.values()):.9g}")
    return found


def _class_names(value: Any) -> list[str] | None:
    if value is None:
        return None
    names = value if isinstance(value, list) else [value]
    if not names or not all(_is_name(name) for name in names):
        raise refusal("expected a class, or a list of classes: text or whole numbers")
    return [str(name) for name in names]


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


Priors = Annotated[str | dict[str, float], PlainValidator(_priors), WithJsonSchema(_PRIORS_SCHEMA)]
ClassNames = Annotated[
    list[str] | None, PlainValidator(_class_names), WithJsonSchema(_NAMES_SCHEMA)
]
Task = Literal["fit", "classify"]


class ClassSettings(Settings):
    """Classes of rows, of `task: classify`."""

    priors: Priors = "data"
    """Probability of each class before a row is seen: `data` takes its share of the rows, `uniform`
    the same for all; or a number for each, `{a: 0.9, b: 0.1}`."""
    folds: Annotated[int, Field(strict=True, ge=0, le=100), WHOLE] = 0
    """Parts that are held out one after the other to evaluate on rows that were not fitted, in the
    same passes: each with its share of every class's rows, or groups where `data.groups` is
    given. 0 holds out none."""
    unknown: ClassNames = None
    """Classes that stand for an unknown one: such rows, as those without any class, are not fitted,
    and are predicted."""
