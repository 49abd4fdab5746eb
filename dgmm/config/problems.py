"""Problems of a job file: where, what was found, what was expected; reported all at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dgmm.errors import JobFileError
from dgmm.terminal_text import printable

#: Keys from the top of the file down to a value; an item of a list counts from 0.
KeyPath = tuple[str | int, ...]

_CONFIDENTIAL = (
    r"(?:pass(?:word|wd|phrase)|secret|token|credential|(?:api|access|private|account)[_-]?key)"
)
_SECRET = re.compile(rf"{_CONFIDENTIAL}|^key$", re.IGNORECASE)
#: `password:hunter2` and `?token=hunter2`, within a text.
_ASSIGNED = re.compile(rf"{_CONFIDENTIAL}[\w-]*\s*[:=]", re.IGNORECASE)
_USER_INFO = re.compile(r"//[^/@\s]*@")
#: Signatures and tokens stand in a URL's query, under any name.
_QUERY = re.compile(r"(://[^?#\s]*[?#]).*", re.DOTALL)
_NAME = re.compile(r"[\w-]*")
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line and column, both from 1, of a file; 0 where the source is not a file."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """`job.yaml:3:7`, or the source alone (`--set model.tol`)."""
        if self.line == 0:
            return printable(self.source)
        return f"{printable(self.source)}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a job file."""

    place: Place
    path: KeyPath
    message: str

    def __str__(self) -> str:
        """`job.yaml:3:7: model.tol: found -1, expected a number of at least 0`."""
        key = f"{dotted(self.path)}: " if self.path else ""
        return f"{self.place}: {key}{self.message}"


def job_file_error(source: str, problems: Iterable[Problem]) -> JobFileError:
    """The error that lists all problems in the order of their lines, `--set` last."""
    ordered = sorted(
        problems, key=lambda problem: (problem.place.line == 0, problem.place, problem.message)
    )
    lines = list(dict.fromkeys(map(str, ordered)))
    count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
    return JobFileError("\n".join([f"{printable(source)} is not a valid job: {count}", *lines]))


def dotted(path: KeyPath) -> str:
    """`model.n_components`; names are made safe for a terminal, without secrets."""
    return ".".join(printable(str(_name(key))) for key in path)


def _name(key: str | int) -> str | int:
    """A key; of `password=hunter2`, which YAML takes for one where a space is missing, the name."""
    if not isinstance(key, str) or not is_secret(key):
        return key
    name = _NAME.match(key)
    return key if name is None or name.end() == len(key) else f"{name[0]}***"


def shown(value: Any) -> str:
    """A found value in words, short, safe for a terminal, without what may be a secret in it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "nothing (null)", True: "true", False: "false"}[value]
    text = shortened(without_secrets(str(value)))
    return f'"{text}"' if isinstance(value, str) else text


def without_secrets(text: str) -> str:
    """Text without user and query of a URL, and without what follows `password:` and its like."""
    hidden = _QUERY.sub(r"\1***", _USER_INFO.sub("//***@", text))
    found = _ASSIGNED.search(hidden)
    return hidden if found is None else f"{hidden[: found.end()]}***"


def shortened(text: str) -> str:
    """Text safe for a terminal and not overlong."""
    safe = printable(text)
    if len(safe) <= _LONGEST_SHOWN:
        return safe
    return f"{safe[:_LONGEST_SHOWN]}… ({len(text)} characters)"


def is_secret(key: str | int) -> bool:
    """Whether a key's name says that its value must not be seen."""
    return isinstance(key, str) and _SECRET.search(key) is not None
