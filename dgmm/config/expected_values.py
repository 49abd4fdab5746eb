"""What a key expects, in words, from the same JSON Schema that editors get; and what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from typing import Any

from dgmm.config.problems import KeyPath
from dgmm.config.schema import REGISTRIES, Job, json_schema
from dgmm.config.settings import Settings

Schema = dict[str, Any]


def _document() -> Schema:
    return _document_with(tuple(map(tuple, REGISTRIES)))


@cache
def _document_with(names: tuple[tuple[str, ...], ...]) -> Schema:  # noqa: ARG001 - the cache's key
    return json_schema()


def is_key(path: KeyPath) -> bool:
    """Whether a job has such a key; found without the JSON Schema where it is one of a section."""
    section: Any = Job
    for key in path:
        if not (isinstance(section, type) and issubclass(section, Settings)):
            return schema_of(path) is not None
        if (field := section.model_fields.get(str(key))) is None:
            return False
        section = field.annotation
    return True


def schema_of(path: KeyPath) -> Schema | None:
    """The schema of a key, or None if there is no such key."""
    schema: Schema | None = _document()
    for key in path:
        schema = _below(schema or {}, key)
        if schema is None:
            return None
    return _resolved(schema or {})


def _below(schema: Schema, key: str | int) -> Schema | None:
    """The schema of a key of a section, or of an item of a list; null may stand for either."""
    if isinstance(key, int):
        lists = [branch["items"] for branch in _branches(schema) if "items" in branch]
        return lists[0] if lists else None
    found: Schema | None = _keys(schema).get(key)
    return found


def _keys(schema: Schema) -> Schema:
    """The keys of a section with their schemas."""
    found = [branch["properties"] for branch in _branches(schema) if "properties" in branch]
    return found[0] if found else {}


def _branches(schema: Schema) -> list[Schema]:
    own = _resolved(schema)
    return [own, *map(_resolved, own.get("anyOf", ()))]


def keys_below(path: KeyPath) -> tuple[str, ...]:
    """The keys of a section; none for a value."""
    return tuple(_keys(schema_of(path) or {}))


def is_path(path: KeyPath) -> bool:
    """Whether a key holds a path of this machine."""
    schema = schema_of(path) or {}
    return any(branch.get("format") == "path" for branch in (schema, *schema.get("anyOf", ())))


def known_prefix(path: Iterable[str | int]) -> KeyPath:
    """The part of a path that names keys; validators add their own words behind it."""
    known: KeyPath = ()
    for key in path:
        is_section = isinstance(key, int) and bool(keys_below((*known, key)))
        if not keys_below(known) and not is_section:
            break
        known = (*known, key)
    return known


def expected(path: KeyPath) -> str:
    """What may stand at a key: `an integer from 1 to 1,000,000`."""
    schema = schema_of(path) or {}
    if names := keys_below(path):
        needed = [key for own in _branches(schema) for key in own.get("required", [])]
        return "a mapping " + (f"with {', '.join(needed)}" if needed else f"of {', '.join(names)}")
    return _words(schema)


def suggestion(word: Any, choices: Iterable[str]) -> str:
    """` (did you mean full?)`, or nothing where nothing is near."""
    if not isinstance(word, str):
        return ""
    near = difflib.get_close_matches(word.lower(), list(choices), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def choices_of(path: KeyPath) -> tuple[str, ...]:
    """The words that may stand at a key."""
    return tuple(_choices(schema_of(path) or {}))


def sections_with(key: str) -> list[str]:
    """Where a key belongs, dotted: `model.n_components`."""
    sections = [name for name in keys_below(()) if key in keys_below((name,))]
    return [f"{name}.{key}" for name in sections] + ([key] if key in keys_below(()) else [])


def _resolved(schema: Schema) -> Schema:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        definition: Schema = _document()["$defs"][name]
        return definition
    return schema


def _choices(schema: Schema) -> list[str]:
    if "anyOf" in schema and "properties" not in schema:
        return [word for branch in schema["anyOf"] for word in _choices(branch)]
    if "const" in schema:
        return [str(schema["const"])]
    return [str(word) for word in schema.get("enum", [])]


def _words(schema: Schema) -> str:
    if "anyOf" in schema:
        branches = schema["anyOf"]
        repeated = "a list of these"
        return " or ".join(repeated if b.get("items") in branches else _words(b) for b in branches)
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if "examples" in schema:
        return f"a size such as {schema['examples'][0]}"
    if schema["type"] in {"array", "object"}:
        return _several(schema)
    nouns = {
        "string": "text",
        "boolean": "true or false",
        "null": "null",
        "integer": "a whole number",
        "number": "a number",
    }
    return nouns[schema["type"]] + _bounds(schema)


def _several(schema: Schema) -> str:
    """A list, or a mapping with names of the user's."""
    if schema["type"] == "object":
        if names := schema.get("propertyNames", {}).get("enum"):
            return f"a mapping of {', '.join(names)}"
        return f"a mapping with {_words(schema['additionalProperties'])} for each name"
    if keys := _keys(schema["items"]):
        return f"a list of mappings, each with one of {', '.join(keys)}"
    n, items = schema.get("minItems", 1), _words(schema["items"])
    several = items.removeprefix("a ").replace("number", "numbers")
    return f"a list of {n} {several}" if n > 1 else f"a list of {items}"


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is not None and below is not None:
        return f" between {above:,} and {below:,} (neither included)"
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    if above is not None:
        return f" greater than {above:,}"
    return f" of at least {low:,}" if low is not None else ""
