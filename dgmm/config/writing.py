"""Resolved jobs as YAML that `load_job` reads back to the same job."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dgmm.config.scalars import AmbiguousScalarError, resolve_scalar

_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*")


def to_yaml(job: Mapping[str, Any]) -> str:
    """YAML of a mapping of values and of sections of values, one key a line."""
    lines = []
    for key, value in job.items():
        if isinstance(value, Mapping):
            lines.append(f"{key}:")
            lines += [f"  {name}: {_value(item)}" for name, item in value.items()]
        else:
            lines.append(f"{key}: {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """A scalar, or a list or mapping of such on one line."""
    if isinstance(value, Mapping):
        items = (f"{_scalar(key)}: {_value(item)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """Text without quotes where YAML reads it as the same text, in double quotes elsewhere."""
    if not isinstance(value, str):
        return json.dumps(value, allow_nan=False)
    if _PLAIN.fullmatch(value) and _is_text(value):
        return value
    return '"' + "".join(map(_escaped, value.replace("$", "${$}"))) + '"'


def _is_text(word: str) -> bool:
    try:
        return resolve_scalar(word) == word
    except AmbiguousScalarError:
        return False


def _escaped(character: str) -> str:
    if character.isprintable() and character not in '"\\':
        return character
    return f"\\U{ord(character):08x}"
