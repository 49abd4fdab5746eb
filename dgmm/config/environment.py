"""`${NAME}` in text comes from the environment; `${$}` stands for `$`, and `$${` for `${`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?P<escape>\$\{)|\$\{(?P<name>[^}]*)(?P<end>\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class UnsetVariableError(LookupError):
    """Text refers to a variable that is not set, or in a form that is none."""


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Replace every `${NAME}`; what comes in is not searched again.

    Raises
    ------
    UnsetVariableError
        Naming the variable that is not set.
    """
    return _REFERENCE.sub(lambda match: _replacement(match, environment), text)


def _replacement(match: re.Match[str], environment: Mapping[str, str]) -> str:
    if match["escape"]:
        return match["escape"]
    if match[0] == "${$}":
        return "$"
    if not match["end"] or not _NAME.fullmatch(match["name"]):
        raise UnsetVariableError("expected ${NAME}; for the character $ itself write ${$}")
    if match["name"] not in environment:
        raise UnsetVariableError(
            f"the environment variable {match['name']} is not set: "
            f"export it, or write ${{$}}{{{match['name']}}} for the text itself"
        )
    return environment[match["name"]]


def variables_in(text: str) -> list[str]:
    """The names of the variables that `substitute` puts in, in the order of the text."""
    matches = _REFERENCE.finditer(text)
    return [match["name"] for match in matches if match["name"] and match[0] != "${$}"]


def without_references(text: str) -> str:
    """The text with a space for everything that `substitute` replaces."""
    return _REFERENCE.sub(" ", text)
