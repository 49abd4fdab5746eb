"""What all sections of a job file have in common."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, model_validator


class Settings(BaseModel):
    """A section of a job file: unknown keys are refused, values never change.

    The string below a key describes it in the JSON Schema (`described_schema`). Pydantic's
    `use_attribute_docstrings` does the same as classes are made, which parses their sources: 80 ms
    of every start of a job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _empty_section(cls, value: Any) -> Any:
        """`cluster:` with nothing below it is a section of defaults."""
        return {} if value is None else value


def described_schema(section: type[Settings]) -> dict[str, Any]:
    """The JSON Schema of a section, with the strings below its keys, and of those it holds."""
    schema: dict[str, Any] = section.model_json_schema()
    places = {section.__name__: schema} | schema.get("$defs", {})
    for one in (section, *_all_below(Settings)):
        properties = places.get(one.__name__, {}).get("properties", {})
        for name, text in _strings_of(one).items() if properties else ():
            if name not in properties:  # another class of the same name
                continue
            entry = properties[name]
            held = places.get(entry.get("$ref", "").rpartition("/")[2], {})
            if held.get("description") != text:
                properties[name] = dict(sorted((entry | {"description": text}).items()))
    return schema


def _all_below(section: type[Settings]) -> Iterator[type[Settings]]:
    for one in section.__subclasses__():
        yield one
        yield from _all_below(one)


def _strings_of(section: type[Settings]) -> dict[str, str]:
    """The strings below the keys of a section, own or inherited; none without sources."""
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if issubclass(base, Settings) and base.model_fields:
            with suppress(OSError):
                source = ast.parse(textwrap.dedent(inspect.getsource(base)))
                found |= _strings_below(cast("ast.ClassDef", source.body[0]).body)
    return found


def _strings_below(lines: list[ast.stmt]) -> dict[str, str]:
    """By name of a class's key, the string that follows it."""
    found = {}
    for line, below in pairwise(lines):
        if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[line.target.id] = inspect.cleandoc(str(below.value.value))
    return found
