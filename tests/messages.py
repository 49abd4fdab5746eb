"""What the package says: texts in its sources, and the job-file keys that texts name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dgmm.config.schema import Job

PACKAGE = Path(__file__).resolve().parent.parent / "dgmm"
SECTIONS = tuple(
    name
    for name, field in Job.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
)
#: A dotted name that begins with a section of the job file; no end of a path, no call.
DOTTED = re.compile(rf"(?<![\w./-])({'|'.join(SECTIONS)})((?:\.[A-Za-z_][A-Za-z0-9_]*)+)(?![\w(/])")
#: Ends of files' names: `model.json` is a file, not a key.
FILE_SUFFIXES = frozenset({"json", "npz", "part", "zarr", "html", "md", "yaml", "rebuild"})


@dataclass(frozen=True)
class Text:
    """A text of the sources; `{}` stands for what is put into it when it is said."""

    place: str
    said: str

    @property
    def keys(self) -> list[str]:
        """The dotted keys of a job file that it names."""
        return list(dotted_keys(self.said))


def dotted_keys(text: str) -> Iterator[str]:
    """Dotted names that begin with a section of the job file, files' names left out."""
    for match in DOTTED.finditer(text):
        if match[2].rpartition(".")[2] not in FILE_SUFFIXES:
            yield match[0]


def schema_keys() -> set[str]:
    """Every dotted key of a job file."""
    return {key for section in SECTIONS for key in _keys_of(section, _section(section))}


def _keys_of(name: str, section: Any) -> Iterator[str]:
    for key, field in section.model_fields.items():
        yield f"{name}.{key}"
        if hasattr(field.annotation, "model_fields"):
            yield from _keys_of(f"{name}.{key}", field.annotation)


def _section(name: str) -> Any:
    return Job.model_fields[name].annotation


def texts_of(source: str, name: str) -> Iterator[Text]:
    """All texts of a module but its docstrings; f-strings as one text each."""
    tree = ast.parse(source)
    passed_over = set(_docstrings(tree))
    for node in ast.walk(tree):
        if id(node) in passed_over:
            continue
        if isinstance(node, ast.JoinedStr):
            passed_over.update(id(part) for part in node.values)
            said = "".join(
                part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
            yield Text(f"{name}:{node.lineno}", said)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(f"{name}:{node.lineno}", node.value)


def texts() -> list[Text]:
    """All texts of the package."""
    return [
        text
        for path in sorted(PACKAGE.rglob("*.py"))
        for text in texts_of(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix())
    ]


def _docstrings(tree: ast.AST) -> Iterator[int]:
    """Texts that stand alone as a statement: docstrings, of attributes too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield id(node.value)


#: "set KEY to VALUE", "use KEY: VALUE".
_SET = re.compile(rf"\b(?:[Ss]et|[Uu]se) ({DOTTED.pattern})(?: to|:) (\w+)")


def faulty_values(text: Text) -> Iterator[str]:
    """Values that a text tells to give to a key and that the schema refuses."""
    for match in _SET.finditer(text.said):
        key, value = match[1], match[match.lastindex or 0]
        section, _, name = key.partition(".")
        written = {"true": True, "false": False}.get(value, value)
        try:
            _section(section).model_validate({name: written})
        except ValidationError as error:
            if any(fault["loc"][:1] == (name,) for fault in error.errors()):
                yield f"{text.place}: {key} to {value}"
