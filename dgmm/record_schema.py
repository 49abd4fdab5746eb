"""The JSON Schema of a record whose keys and types a `TypedDict` gives."""

from __future__ import annotations

import types
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of a type annotation that is used above."""
    arguments, origin = get_args(kind), get_origin(kind)
    if kind in _NAMES:
        return {"type": _NAMES[kind]}
    if is_typeddict(kind):
        return _schema_of_keys(kind)
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if origin is Literal:
        return {"enum": list(arguments)}
    return {"anyOf": [schema_of(argument) for argument in arguments]} if arguments else {}


def _schema_of_keys(kind: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: schema_of(hint) for name, hint in get_type_hints(kind).items()},
        "required": sorted(kind.__required_keys__),
        "additionalProperties": False,
    }
