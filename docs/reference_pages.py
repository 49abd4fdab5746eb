"""Reference pages made from the code: job file, command line and Python, as Markdown for MyST.

`page(name)` is what `docs/conf.py` puts in place of a line `{{ name }}` in a document. Nothing here
needs Sphinx, so that tests can look at the text.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

import dgmm
import dgmm.errors
from dgmm.cli.commands import commands
from dgmm.config.expected_values import expected, keys_below, schema_of

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
#: Pages of the project's root that the site shows too, by the document that shows them.
ROOT_PAGES = {
    "README.md": "site/readme.md",
    "CHANGELOG.md": "site/changelog.md",
    "CONTRIBUTING.md": "site/contributing.md",
    "SECURITY.md": "site/security.md",
}
_LINK = re.compile(r"(?<=\]\()(?P<path>[^()\s#:]+)(?P<anchor>#[^()\s]*)?(?=\))")

KeyPath = tuple[str, ...]


# The job file


def job_file() -> str:
    """Every key of a job file: what it expects, its default, and its meaning."""
    return "\n".join(_keys(()))


def _keys(section: KeyPath) -> Iterator[str]:
    for name in keys_below(section):
        path = (*section, name)
        below = keys_below(path)
        yield from _section(path) if below else _key(path, required=name in _required(section))
        yield from _keys(path)


def _required(section: KeyPath) -> list[str]:
    found: list[str] = (schema_of(section) or {}).get("required", [])
    return found


def _section(path: KeyPath) -> Iterator[str]:
    yield from (f"## {'.'.join(path)}", "", _description(path), "")


def _key(path: KeyPath, *, required: bool) -> Iterator[str]:
    schema = schema_of(path) or {}
    default = "required" if required else f"default `{_written(schema.get('default'))}`"
    level = "##" if len(path) == 1 else "###"
    yield from (f"{level} {'.'.join(path)}", "")
    yield from (f"*{_first_capital(expected(path))}; {default}.*", "", _description(path), "")


def _written(value: Any) -> str:
    """A value as a job file has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _description(path: KeyPath) -> str:
    text: str = (schema_of(path) or {})["description"]
    return text


def _first_capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# The command line


def command_line() -> str:
    """Usage, arguments and options of every command, from the help that the commands print."""
    own = [f"```text\n{_help(commands, 'dgmm')}\n```", ""]
    below = [_command(name, commands.commands[name]) for name in commands.commands]
    return "\n".join([*own, *below])


def _command(name: str, command: click.Command) -> str:
    return f"## dgmm {name}\n\n```text\n{_help(command, f'dgmm {name}')}\n```\n"


def _help(command: click.Command, name: str) -> str:
    context = click.Context(
        command,
        info_name=name,
        terminal_width=80,
        max_content_width=80,
        **commands.context_settings,
    )
    return command.get_help(context).rstrip()


# Python


def python() -> str:
    """An entry for each public name, which autodoc fills from its docstring; then what they use."""
    public = [f"dgmm.{name}" for name in dgmm.__all__ if not name.startswith("__")]
    errors = [
        f"dgmm.errors.{name}" for name, value in vars(dgmm.errors).items() if _is_error(value)
    ]
    returned = ["dgmm.model.mixture_model.MixtureModel", "dgmm.estimator.selection.Selection"]
    return "\n".join([*map(_entry, [*public, *returned]), _errors(errors)])


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _errors(names: Iterable[str]) -> str:
    """The errors, which have no methods of their own, under one heading."""
    entries = [_directive("autoexception", name) for name in names]
    return "\n".join(["## Errors and warnings", "", *entries])


#: Base classes whose methods their own documentation describes: scikit-learn's.
_FOREIGN = ("BaseEstimator", "DensityMixin", "PlainEstimator", "_MetadataRequester")
#: Methods that scikit-learn makes in a class of its own, with its own documentation.
_GENERATED = ("set_fit_request", "set_score_request")


def _entry(name: str) -> str:
    """A heading and the documentation of a name, the methods of a class included."""
    module, _, last = name.rpartition(".")
    value: Any = getattr(importlib.import_module(module), last)
    options = [
        ":members:",
        f":inherited-members: {', '.join(_FOREIGN)}",
        f":exclude-members: {', '.join(_GENERATED)}",
    ]
    is_class = isinstance(value, type)
    kind, chosen = ("autoclass", options) if is_class else ("autofunction", [])
    return f"## {last}\n\n{_directive(kind, name, *chosen)}"


def _directive(kind: str, name: str, *options: str) -> str:
    lines = [f".. {kind}:: {name}", *(f"   {option}" for option in options)]
    return "\n".join(["```{eval-rst}", *lines, "```", ""])


# Pages of the root


def root_page(name: str) -> str:
    """A page of the project's root, its links followed from `docs/site/`."""
    text = (PROJECT / name).read_text(encoding="utf-8")
    return _LINK.sub(lambda link: _from_site(link["path"]) + (link["anchor"] or ""), text)


def _from_site(path: str) -> str:
    if path in ROOT_PAGES:
        return Path(ROOT_PAGES[path]).name
    return f"../{path.removeprefix('docs/')}" if path.startswith("docs/") else f"../../{path}"


def document(text: str) -> str:
    """A page of `docs/` whose links to pages of the root stay within the site."""
    return _LINK.sub(lambda link: _within(link["path"]) + (link["anchor"] or ""), text)


def _within(path: str) -> str:
    return ROOT_PAGES.get(path.removeprefix("../"), path) if path.startswith("../") else path


# Contents


def design_notes() -> str:
    """A table of contents of `docs/design/`, newest last."""
    return _contents(f"design/{path.stem}" for path in (DOCS / "design").glob("[0-9]*.md"))


def other_pages() -> str:
    """A table of contents of those pages that no table in `docs/index.md` names."""
    named = (DOCS / "index.md").read_text(encoding="utf-8").splitlines()
    return _contents(path.stem for path in DOCS.glob("*.md") if path.stem not in ["index", *named])


def _contents(names: Iterable[str]) -> str:
    return "\n".join(["```{toctree}", ":maxdepth: 1", "", *sorted(names), "```"])


_PAGES: dict[str, Callable[[], str]] = {
    "job file": job_file,
    "command line": command_line,
    "python": python,
    "design notes": design_notes,
    "other pages": other_pages,
}
_PLACE = re.compile(r"^\{\{ ([\w. ]+) \}\}$", flags=re.MULTILINE)


def page(name: str) -> str:
    """The Markdown that stands for `{{ name }}`.

    Raises
    ------
    KeyError
        If there is no page of that name.
    """
    return root_page(name) if name in ROOT_PAGES else _PAGES[name]()


def filled(text: str) -> str:
    """A document with its generated parts in place."""
    return _PLACE.sub(lambda place: page(place[1]), text)
