"""`--set key.path=value`: single values of a job replaced from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dgmm.config.expected_values import is_key, keys_below, suggestion
from dgmm.config.problems import KeyPath, Place, dotted, is_secret
from dgmm.config.reserved_keys import reserved_key
from dgmm.config.yaml_reader import ParsedYaml, YamlSyntaxError, read_yaml
from dgmm.errors import UsageError
from dgmm.terminal_text import printable


def apply_overrides(
    parsed: ParsedYaml, overrides: Sequence[str], environment: Mapping[str, str]
) -> None:
    """Put every override into the tree, in order; the last one for a key counts.

    Raises
    ------
    UsageError
        If an override has no `=`, names no key of a job, or its value is not YAML.
    """
    for override in overrides:
        path, text = _split(override)
        value = _read_value(path, text, environment)
        _place_value(parsed, path, value)


def _split(override: str) -> tuple[KeyPath, str]:
    name, equals, text = override.partition("=")
    path = tuple(name.strip().split("."))
    if not equals:
        raise UsageError(f"--set {_shown_name(name)}: expected KEY=VALUE, as in model.tol=1e-5")
    _require_known(path)
    return path, text


def _require_known(path: tuple[str, ...]) -> None:
    if is_key(path):
        return
    if any(map(is_secret, path)):
        raise UsageError(f"--set {dotted(path)}: secrets do not belong in a job")
    for depth in range(len(path)):
        if not is_key(path[: depth + 1]):
            keys = keys_below(path[:depth])
            known = f"the keys here are {', '.join(keys)}" if keys else "no keys lie below it"
            text = reserved_key(path) or f"no such key{suggestion(path[depth], keys)}; {known}"
            raise UsageError(f"--set {dotted(path)}: {text}")


def _read_value(path: KeyPath, text: str, environment: Mapping[str, str]) -> ParsedYaml:
    try:
        parsed = read_yaml(text, "--set", environment, lines=False)
    except YamlSyntaxError as error:
        raise UsageError(f"--set {dotted(path)}: {error.problem.message}") from None
    if parsed.problems:
        raise UsageError(f"--set {dotted(path)}: {parsed.problems[0].message}")
    return parsed


def _place_value(parsed: ParsedYaml, path: KeyPath, value: ParsedYaml) -> None:
    """Replace one value and what the file said below it, by copies: aliases share their trees."""
    for places in (parsed.keys, parsed.values, parsed.written):
        for old in [known for known in places if known[: len(path)] == path]:
            del places[old]
    parsed.problems[:] = [
        problem for problem in parsed.problems if problem.path[: len(path)] != path
    ]
    parsed.keys[path] = Place("--set")
    parsed.keys |= {(*path, *below): place for below, place in value.keys.items()}
    parsed.values |= {(*path, *below): place for below, place in value.values.items()}
    parsed.written |= {(*path, *below): text for below, text in value.written.items()}
    parsed.value = _with_value(parsed.value, path, value.value)


def _with_value(tree: Any, path: KeyPath, value: Any) -> Any:
    if not path:
        return value
    section = dict(tree) if isinstance(tree, dict) else {}
    return section | {str(path[0]): _with_value(section.get(str(path[0])), path[1:], value)}


def _shown_name(name: str) -> str:
    return "***" if is_secret(name) else printable(name)
