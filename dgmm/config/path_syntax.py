"""Paths as a job writes them: what a shell would replace, and a job does not, is refused.

The text is checked before `${NAME}` is replaced: what the environment puts in is not searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dgmm.config.environment import variables_in, without_references
from dgmm.config.expected_values import is_path
from dgmm.config.problems import KeyPath, Problem
from dgmm.config.yaml_reader import ParsedYaml

_COMMAND = re.compile(r"`|\$\((?!\()")
_SHELL_VARIABLE = re.compile(r"\$(?P<name>[A-Za-z_][A-Za-z0-9_]*)")
#: Two hexadecimal digits between two signs are bytes of a name that was encoded for a URL.
_PERCENT_VARIABLE = re.compile(r"%(?![0-9A-Fa-f]{2}%)(?P<name>[A-Za-z_][A-Za-z0-9_]+)%")


def path_problems(parsed: ParsedYaml, environment: Mapping[str, str]) -> Iterator[Problem]:
    """The problems of every path of a job, by its text before variables are replaced."""
    for path, value in list(_texts(parsed.value)):
        refusal = _refusal(parsed.written.get(path, value), environment)
        # The schema, which takes long to make, is asked last.
        if refusal is not None and is_path(tuple(key for key in path if isinstance(key, str))):
            found = parsed.found(path, value)
            yield Problem(parsed.place_of(path), path, f"found {found}; {refusal}")


def _texts(tree: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(tree, str):
        yield path, tree
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _texts(value, (*path, key))
    if isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _texts(value, (*path, index))


def _refusal(text: str, environment: Mapping[str, str]) -> str | None:
    """Why a path is refused, and what to write; None where nothing is to be said."""
    plain = without_references(text)
    if _COMMAND.search(plain):
        return (
            "expected a path without $(…) or backquotes: no command is run here. Put its output "
            "into an environment variable and write ${NAME}"
        )
    if found := _SHELL_VARIABLE.search(plain) or _PERCENT_VARIABLE.search(plain):
        name = found["name"]
        return f"expected a path without {found[0]}, which is not replaced: write ${{{name}}}"
    if "$" in plain:
        return (
            "expected ${NAME} after every $ of a path: other forms are not replaced. Put the value "
            "into an environment variable and write ${NAME}; for the character itself write ${$}"
        )
    empty = [name for name in variables_in(text) if not environment.get(name, "-").strip()]
    if empty:
        return (
            f"the environment variable {empty[0]} is set but empty, so that the path would name "
            "another place: give it a value, or leave it out of the path"
        )
    return None
