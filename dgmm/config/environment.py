"""`${NAME}` in text comes from the environment; `$${` stands for `${` itself."""

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
    if not match["end"] or not _NAME.fullmatch(match["name"]):
        raise UnsetVariableError("expected ${NAME}; for the characters themselves write $${")
    if match["name"] not in environment:
        raise UnsetVariableError(
            f"the environment variable {match['name']} is not set: "
            f"export it, or write $${{{match['name']}}} for the text itself"
        )
    return environment[match["name"]]
