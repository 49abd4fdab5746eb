"""YAML text to plain values, each with its line and column; ambiguous YAML is a named problem.

ruamel.yaml composes the nodes; one method of its composer is replaced, since that limits no size
and keeps neither tags as written nor the places of aliases. No tag can name a Python object.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

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
    return _Reader(text, source, environment, lines=lines).read()


class _Mark(NamedTuple):
    """A line and column from 0, as in ruamel.yaml."""

    line: int
    column: int


_START = _Mark(0, 0)


class _Alias(Node):
    """An alias where it stands: `anchor` is its name, `value` the node that it repeats, if any."""


class _Reader(Composer):
    """Composes the nodes of one document, then turns them into values."""

    def __init__(
        self, text: str, source: str, environment: Mapping[str, str], *, lines: bool
    ) -> None:
        super().__init__(YAML(typ="safe", pure=True))
        self.warn_double_anchors = False
        self._text, self._source, self._lines = text, source, lines
        self._environment = environment
        self._n_composed = self._n_values = self._depth = 0
        self._parsed = ParsedYaml()

    def read(self) -> ParsedYaml:
        self._refuse_control_characters()
        self._parsed.values[()] = self._place(_START)
        try:
            node = self.loader.compose(self._text)
        except ComposerError as error:
            text = "a second document (---) begins here; a job file holds one"
            raise self._fatal(text, error.problem_mark) from None
        except MarkedYAMLError as error:
            raise self._syntax_problem(error) from None
        except (YAMLError, ValueError, AssertionError) as error:
            raise self._fatal(f"this is not YAML: {printable(str(error))}") from None
        if self.loader.version not in (None, (1, 2)):
            raise self._fatal("a job file is YAML 1.2: remove the %YAML line")
        if node is not None:
            self._parsed.value = self._value(node, ())
        return self._parsed

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As in ruamel.yaml, within the limits; tags stay as written, aliases where they stand."""
        event = self.parser.peek_event()
        self._n_composed += 1
        self._check_limits(self._n_composed, self._depth, event.start_mark)
        if isinstance(event, AliasEvent):
            node = self.anchors.get(self.parser.get_event().anchor)
            if node is not None and node.end_mark is None:
                node = None  # the alias lies within what it repeats
            return _Alias(None, node, event.start_mark, event.end_mark, anchor=event.anchor)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        node.ctag = event.ctag
        return node

    def _check_limits(self, n_nodes: int, depth: int, mark: Any) -> None:
        if n_nodes > MOST_NODES:
            text = f"more than {MOST_NODES:,} values, aliases included; a job has about 40"
            raise self._fatal(text, mark)
        if depth > DEEPEST:
            raise self._fatal(f"nested more than {DEEPEST} deep", mark)

    def _value(self, node: Node, path: KeyPath) -> Any:
        self._parsed.values[path] = place = self._place(node.start_mark)
        self._n_values += 1
        self._check_limits(self._n_values, len(path), node.start_mark)
        if isinstance(node, _Alias):
            return self._alias(node, path, place)
        if node.tag is not None:
            shown_name = _hidden(path, printable(node.tag.replace(_STANDARD_TAG, "!!")))
            return self._broken(place, path, f"tags are not accepted: remove {shown_name}")
        if isinstance(node, ScalarNode):
            return self._scalar(node, path, place)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, place = self._key(key_node, path), self._place(key_node.start_mark)
            here = (*path, key)
            if key in mapping:
                first = self._parsed.keys[here]
                self._broken(place, here, f"this key stands twice, first on line {first.line}")
                self._value(value_node, (*path, f"{key} (again)"))
                continue
            self._parsed.keys[here] = place
            mapping[key] = self._value(value_node, here)
        return mapping

    def _key(self, node: Node, path: KeyPath) -> str:
        if isinstance(node, ScalarNode) and node.tag is None:
            return str(node.value)
        unnamed = f"(key {len(self._parsed.problems) + 1})"
        self._broken(self._place(node.start_mark), (*path, unnamed), "a key must be a plain word")
        return unnamed

    def _scalar(self, node: ScalarNode, path: KeyPath, place: Place) -> Any:
        try:
            value = resolve_scalar(node.value) if node.style is None else node.value
            if not isinstance(value, str):
                return value
            replaced = substitute(value, self._environment)
        except AmbiguousScalarError as error:
            found = _hidden(path, shortened(node.value))
            return self._broken(place, path, f"found {found}, {error}; write it without")
        except UnsetVariableError as error:
            return self._broken(place, path, str(error))
        if replaced != value:
            self._parsed.written[path] = value
        return replaced

    def _alias(self, node: _Alias, path: KeyPath, place: Place) -> Any:
        if node.value is None:
            name = _hidden(path, f"*{node.anchor}")  # a password may begin with a star
            return self._broken(place, path, f"{name} is not defined above this line")
        n_problems = len(self._parsed.problems)
        try:
            value = self._value(node.value, path)
        except YamlSyntaxError as error:
            raise self._fatal(error.problem.message, node.start_mark) from None
        del self._parsed.problems[n_problems:]  # reported at the anchor
        self._parsed.values[path] = place
        return value

    def _broken(self, place: Place, path: KeyPath, message: str) -> Any:
        self._parsed.problems.append(Problem(place, path, message))
        return BROKEN

    def _place(self, mark: Any) -> Place:
        position = (mark.line + 1, mark.column + 1) if self._lines else ()
        return Place(self._source, *position)

    def _fatal(self, message: str, mark: Any = _START) -> YamlSyntaxError:
        return YamlSyntaxError(Problem(self._place(mark), (), message))

    def _refuse_control_characters(self) -> None:
        if match := _CONTROL.search(self._text):
            before = self._text[: match.start()]
            line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
            text = f"a control character ({match[0]!a}) is not allowed in YAML"
            if (byte := ord(match[0]) - _ESCAPED) in range(0x80, 0x100):
                encoding = sys.getfilesystemencoding()
                text = f"the byte 0x{byte:x} is no {encoding}, in which words are read here"
                text += "; write UTF-8" if encoding == "utf-8" else ": set PYTHONUTF8=1"
            raise self._fatal(text, _Mark(line, column))

    def _syntax_problem(self, error: MarkedYAMLError) -> YamlSyntaxError:
        """The parser's message without the line itself, which may hold a secret."""
        mark = error.problem_mark or error.context_mark or _START
        if "end of stream" in str(error.problem) and error.context_mark is not None:
            mark = error.context_mark  # where what is not closed was opened
        words = ", ".join(part for part in (error.context, error.problem) if part)
        return self._fatal(f"{printable(words)}{self._hint(mark.line)}", mark)

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
