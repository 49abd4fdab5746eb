"""Values that may be one or several: numbers of components, and covariance types.

Several are models of one job, which are fitted in the same passes. Whatever a user writes becomes a
sorted list without repetitions, or a single value where it has one member.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler, PlainValidator
from pydantic_core import CoreSchema, PydanticCustomError

from dgmm.config.values import refusal
from dgmm.mixture.covariance import FAMILIES

#: Most components of a model, and most models of a job.
MOST_COMPONENTS, MOST_MODELS = 1_000_000, 1000
_RANGE_KEYS = ("from", "to", "factor")
_SIZE = {"type": "integer", "minimum": 1, "maximum": MOST_COMPONENTS}


def _no_value() -> PydanticCustomError:
    return PydanticCustomError("not_expected", "none of what is expected")


def _is_size(value: Any) -> bool:
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
    return is_whole and 1 <= value <= MOST_COMPONENTS


def _sizes(value: Any) -> int | list[int]:
    if isinstance(value, list):
        sizes: int | list[int] = _several(value, _size_of_list)
        return sizes
    if isinstance(value, dict):
        within: int | list[int] = _several([*_range(value)], int)
        return within
    if isinstance(value, str) and any(sign in value.strip("-") for sign in ("-", ",", ":", "..")):
        raise refusal(
            "several numbers of components are a list, [2, 4, 8], or a mapping, {from: 1, to: 20}, "
            "with factor: 2 beside these for 1, 2, 4, ..."
        )
    if not _is_size(value):
        raise _no_value()
    return int(value)


def _size_of_list(value: Any) -> int:
    if not _is_size(value):
        raise refusal(
            f"expected whole numbers from 1 to {MOST_COMPONENTS:,} in the list; {value!r} is none"
        )
    return int(value)


def _range(given: dict[Any, Any]) -> Iterator[int]:
    """The numbers of {from, to} or {from, to, factor}."""
    if unknown := [key for key in given if key not in _RANGE_KEYS]:
        raise refusal(f"unknown key {unknown[0]!r}; a range has from, to and, if wanted, factor")
    if missing := [key for key in ("from", "to") if key not in given]:
        raise refusal(f"{missing[0]} is missing; a range is {{from: 1, to: 20}}")
    for key in ("from", "to"):
        if not _is_size(given[key]):
            raise refusal(f"expected a whole number from 1 to {MOST_COMPONENTS:,} for {key}")
    first, last = int(given["from"]), int(given["to"])
    factor = given.get("factor")
    if factor is not None and (not _is_size(factor) or factor < 2):
        raise refusal(
            "expected a whole number of at least 2 for factor; leave it out for steps of 1"
        )
    if first > last:
        raise refusal(f"from is {first:,} and to is {last:,}: exchange them")
    if factor is None and last - first >= MOST_MODELS:
        raise refusal(
            f"{last - first + 1:,} models, and at most {MOST_MODELS:,} are fitted at once: give "
            "factor: 2 beside from and to, or a list"
        )
    while first <= last:
        yield first
        first = first + 1 if factor is None else first * int(factor)


def _types(value: Any) -> str | list[str]:
    if isinstance(value, list):
        found = _several(value, _known_type)
        order = FAMILIES.names()
        return sorted(found, key=order.index) if isinstance(found, list) else found
    if not isinstance(value, str) or value not in FAMILIES:
        raise _no_value()
    return value


def _known_type(name: Any) -> str:
    if not isinstance(name, str) or name not in FAMILIES:
        known = ", ".join(FAMILIES.names())
        raise refusal(f"expected names out of {known} in the list; {name!r} is none")
    return name


def _several(values: list[Any], checked: Any) -> Any:
    """Sorted members, each once; the member itself where there is one."""
    if not values:
        raise refusal("the list is empty: write at least one value")
    found = [checked(value) for value in values]
    if repeated := next((v for i, v in enumerate(found) if v in found[:i]), None):
        raise refusal(f"{repeated} stands in the list more than once: remove one of them")
    if len(found) > MOST_MODELS:
        raise refusal(f"{len(found):,} values; at most {MOST_MODELS:,} models are fitted at once")
    return found[0] if len(found) == 1 else sorted(found)


class _SizesSchema:
    """The JSON Schema of numbers of components."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A number, a list or a range."""
        del schema, handler
        several = {"type": "array", "minItems": 1, "uniqueItems": True, "items": _SIZE}
        ends = {
            "type": "object",
            "required": ["from", "to"],
            "propertyNames": {"enum": list(_RANGE_KEYS)},
            "additionalProperties": _SIZE,
        }
        return {"anyOf": [_SIZE, several, ends, {"type": "null"}]}


class _TypesSchema:
    """The JSON Schema of covariance types, with the names of today."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A name or a list of names."""
        del schema, handler
        one = {"type": "string", "enum": list(FAMILIES.names())}
        return {"anyOf": [one, {"type": "array", "minItems": 1, "uniqueItems": True, "items": one}]}


def _sizes_or_none(value: Any) -> int | list[int] | None:
    return None if value is None else _sizes(value)


#: One number of components, or several in order; None where there is none.
Sizes = Annotated[int | list[int] | None, PlainValidator(_sizes_or_none), _SizesSchema()]
#: One covariance type, or several in the registry's order.
CovarianceTypes = Annotated[str | list[str], PlainValidator(_types), _TypesSchema()]
