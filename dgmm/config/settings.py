"""What all sections of a job file have in common."""

from __future__ import annotations

import ast
import inspect
import textwrap
from contextlib import suppress
from itertools import pairwise
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Settings(BaseModel):
    """A section of a job file: unknown keys are refused, values never change.

    The string below a key describes it in the JSON Schema. Pydantic's `use_attribute_docstrings`
    does the same as classes are made, which parses their sources: 80 ms of every start of a job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _empty_section(cls, value: Any) -> Any:
        """`cluster:` with nothing below it is a section of defaults."""
        return {} if value is None else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Put the strings below the keys into the JSON Schema."""
        made = handler(schema)
        properties = handler.resolve_ref_schema(made)["properties"]
        for name, text in _described(cls).items():
            if handler.resolve_ref_schema(properties[name]).get("description") != text:
                properties[name]["description"] = text
        return made


def _described(section: type[Settings]) -> dict[str, str]:
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
