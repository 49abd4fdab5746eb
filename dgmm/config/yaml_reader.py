"""YAML text to plain values, each with its line and column; ambiguous YAML is a named problem.

ruamel.yaml splits the text into events; the tree is built here, so that size, depth and aliases are
bounded before anything is built, duplicate keys are seen, and no tag can name a Python object.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from dgmm.config.environment import UnsetVariableError, substitute
from dgmm.config.problems import KeyPath, Place, Problem, is_secret, shortened, shown
from dgmm.config.scalars import AmbiguousScalarError, resolve_scalar
from dgmm.terminal_text import printable

MOST_NODES = 10_000
DEEPEST = 50

#: Stands where a value could not be read; its problem is noted already.
BROKEN = object()

_STANDARD_TAG = "tag:yaml.org,2002:"
#: Where Python puts bytes of the command line that it cannot decode.
_ESCAPED = 0xDC00
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class YamlSyntaxError(Exception):
    """The text is not YAML, or beyond the limits: reading cannot go on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(slots=True)
class ParsedYaml:
    """A parsed text: its value, the place of every key and value, and the problems found.

    Attributes
    ----------
    value
        Nested dicts, lists and scalars; `BROKEN` where a value could not be read.
    keys, values
        Place of each key and of each value, by path.
    written
        Text as it stood before `${NAME}` was replaced, by path: messages must not show what came
        from the environment.
    """

    value: Any = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    written: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place_of(self, path: KeyPath, *, key: bool = False) -> Place:
        """Place of a value (or its key), or of the nearest section around it that is there."""
        if key and path in self.keys:
            return self.keys[path]
        while path not in self.values:
            path = path[:-1]
        return self.values[path]

    def found(self, path: KeyPath, value: Any) -> str:
        """A value in words, as written in the file."""
        return shown(self.written.get(path, value))


def read_yaml(text: str, source: str, environment: Mapping[str, str], *, lines: bool) -> ParsedYaml:
    """Read one YAML document.

    Parameters
    ----------
    text, source : str
        The text and the name that its places bear.
    environment
        Where `${NAME}` is looked up.
    lines : bool
        Whether places have lines and columns (a file) or not (a word of the command line).

    Raises
    ------
    YamlSyntaxError
        If the text is not YAML, or is too deep or too large.
    """
    return _Composer(text, source, environment, lines=lines).read()


class _Composer:
    """Builds the tree of one document from its events."""

    def __init__(
        self, text: str, source: str, environment: Mapping[str, str], *, lines: bool
    ) -> None:
        self._text, self._source, self._lines = text, source, lines
        self._environment = environment
        self._events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))
        self._anchors: dict[str, tuple[Any, int, KeyPath]] = {}
        self._n_nodes = 0
        self._parsed = ParsedYaml()

    def read(self) -> ParsedYaml:
        self._refuse_control_characters()
        self._parsed.values[()] = self._place(0, 0)
        try:
            self._read_stream()
        except MarkedYAMLError as error:
            raise self._syntax_problem(error) from None
        except (YAMLError, ValueError, RecursionError) as error:
            raise self._fatal(f"this is not YAML: {printable(str(error))}", 0, 0) from None
        return self._parsed

    def _read_stream(self) -> None:
        for event in self._events:
            match event:
                case StreamStartEvent():
                    continue
                case StreamEndEvent():
                    return
                case DocumentStartEvent():
                    self._check_version(event)
                    self._parsed.value = self._node(next(self._events), ())
                    next(self._events)  # the end of the document
                    break
        extra = next(self._events)
        if isinstance(extra, DocumentStartEvent):
            mark = extra.start_mark
            text = "a second document (---) begins here; a job file holds one"
            raise self._fatal(text, mark.line, mark.column)

    def _node(self, event: Any, path: KeyPath) -> Any:
        self._parsed.values[path] = place = self._event_place(event)
        self._count(1, event)
        if isinstance(event, AliasEvent):
            return self._alias(event, path, place)
        if len(path) > DEEPEST:
            mark = event.start_mark
            raise self._fatal(f"nested more than {DEEPEST} deep", mark.line, mark.column)
        before = self._n_nodes
        value = self._anchored(event, path, place)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._n_nodes - before + 1, path
        return value

    def _anchored(self, event: Any, path: KeyPath, place: Place) -> Any:
        if (tag := event.tag) is not None:
            self._skip(event, path)
            name = printable(str(tag).replace(_STANDARD_TAG, "!!"))
            shown_name = _hidden(path, name)
            return self._broken(place, path, f"tags are not accepted: remove {shown_name}")
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path, place)
        return self._collection(event, path)

    def _collection(self, event: Event, path: KeyPath) -> Any:
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key, place = self._key(event, path), self._event_place(event)
            here = (*path, key)
            if key in mapping:
                first = self._parsed.keys[here]
                text = f"this key stands twice, first on line {first.line}"
                self._broken(place, here, text)
                self._node(next(self._events), (*path, f"{key} (again)"))
                continue
            self._parsed.keys[here] = place
            mapping[key] = self._node(next(self._events), here)
        return mapping

    def _key(self, event: Event, path: KeyPath) -> str:
        if not isinstance(event, ScalarEvent) or event.tag is not None:
            self._skip(event, (*path, "?"))
            unnamed = f"(key {len(self._parsed.problems) + 1})"
            self._broken(self._event_place(event), (*path, unnamed), "a key must be a plain word")
            return unnamed
        self._count(1, event)
        return str(event.value)

    def _skip(self, event: Event, path: KeyPath) -> None:
        """Consume a node that is refused; the limits on size and depth still hold."""
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            n_problems = len(self._parsed.problems)
            self._collection(event, path)
            del self._parsed.problems[n_problems:]

    def _scalar(self, event: ScalarEvent, path: KeyPath, place: Place) -> Any:
        try:
            value = resolve_scalar(event.value) if event.implicit[0] else event.value
            if not isinstance(value, str):
                return value
            replaced = substitute(value, self._environment)
        except AmbiguousScalarError as error:
            found = _hidden(path, shortened(event.value))
            return self._broken(place, path, f"found {found}, {error}; write it without")
        except UnsetVariableError as error:
            return self._broken(place, path, str(error))
        if replaced != value:
            self._parsed.written[path] = value
        return replaced

    def _alias(self, event: AliasEvent, path: KeyPath, place: Place) -> Any:
        if event.anchor not in self._anchors:
            name = _hidden(path, f"*{event.anchor}")  # a password may begin with a star
            return self._broken(place, path, f"{name} is not defined above this line")
        value, size, anchored = self._anchors[event.anchor]
        self._count(size, event)
        self._repeat_written(value, anchored, path)
        return value

    def _repeat_written(self, value: Any, anchored: KeyPath, path: KeyPath) -> None:
        """Copy the text as written from the anchor to its alias, at every key below."""
        if (text := self._parsed.written.get(anchored)) is not None:
            self._parsed.written[path] = text
        if isinstance(value, dict):
            for key, below in value.items():
                self._repeat_written(below, (*anchored, key), (*path, key))

    def _count(self, n_nodes: int, event: Event) -> None:
        self._n_nodes += n_nodes
        if self._n_nodes > MOST_NODES:
            mark = event.start_mark
            text = f"more than {MOST_NODES:,} values, aliases included; a job has about 40"
            raise self._fatal(text, mark.line, mark.column)

    def _broken(self, place: Place, path: KeyPath, message: str) -> Any:
        self._parsed.problems.append(Problem(place, path, message))
        return BROKEN

    def _check_version(self, event: DocumentStartEvent) -> None:
        if event.version is not None and tuple(event.version) != (1, 2):
            text = "a job file is YAML 1.2: remove the %YAML line"
            raise self._fatal(text, 0, 0)

    def _event_place(self, event: Event) -> Place:
        return self._place(event.start_mark.line, event.start_mark.column)

    def _place(self, line: int, column: int) -> Place:
        return Place(self._source, line + 1, column + 1) if self._lines else Place(self._source)

    def _fatal(self, message: str, line: int, column: int) -> YamlSyntaxError:
        return YamlSyntaxError(Problem(self._place(line, column), (), message))

    def _refuse_control_characters(self) -> None:
        if match := _CONTROL.search(self._text):
            before = self._text[: match.start()]
            line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
            text = f"a control character ({match[0]!a}) is not allowed in YAML"
            if (byte := ord(match[0]) - _ESCAPED) in range(0x80, 0x100):
                encoding = sys.getfilesystemencoding()
                text = f"the byte 0x{byte:x} is no {encoding}, in which words are read here"
                text += "; write UTF-8" if encoding == "utf-8" else ": set PYTHONUTF8=1"
            raise self._fatal(text, line, column)

    def _syntax_problem(self, error: MarkedYAMLError) -> YamlSyntaxError:
        """The parser's message without the line itself, which may hold a secret."""
        mark = error.problem_mark or error.context_mark
        if "end of stream" in str(error.problem) and error.context_mark is not None:
            mark = error.context_mark  # where what is not closed was opened
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        words = ", ".join(part for part in (error.context, error.problem) if part)
        return self._fatal(f"{printable(words)}{self._hint(line)}", line, column)

    def _hint(self, line: int) -> str:
        lines = self._text.splitlines()
        found = lines[line] if line < len(lines) else ""
        if "\t" in found[: len(found) - len(found.lstrip())]:
            return "; indent with spaces, not tabs"
        if "${" in found:
            return '; inside {…} put quotes around text with ${NAME}: "${NAME}"'
        return ""


def _hidden(path: KeyPath, text: str) -> str:
    """The text, or `***` where a key of the path is a secret's name."""
    return "***" if any(map(is_secret, path)) else text
