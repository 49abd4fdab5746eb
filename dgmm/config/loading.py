"""A job file, its overrides and the environment to a frozen `Job`, or all problems at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dgmm.config.cross_checks import Kind, cross_check_problems
from dgmm.config.expected_values import (
    choices_of,
    expected,
    keys_below,
    known_prefix,
    sections_with,
    suggestion,
)
from dgmm.config.overrides import apply_overrides
from dgmm.config.path_syntax import path_problems
from dgmm.config.problems import KeyPath, Place, Problem, is_secret, job_file_error
from dgmm.config.reserved_keys import reserved_key, reserved_value
from dgmm.config.schema import Job
from dgmm.config.yaml_reader import ParsedYaml, YamlSyntaxError, read_yaml
from dgmm.errors import InputNotFoundError
from dgmm.storage.regular_files import OversizedFileError, read_regular_or_pipe
from dgmm.terminal_text import printable

LARGEST_FILE = 1 << 20


def load_job(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    kind: Kind = "run",
    environment: Mapping[str, str] | None = None,
) -> Job:
    """Read a job file.

    Parameters
    ----------
    path : str or Path
        The file, YAML 1.2 in UTF-8, at most 1 MiB. Paths in it are relative to the current
        directory.
    overrides : sequence of str
        `key.path=value` each, as given to `--set`; the value is YAML.
    kind : {"run", "predict", "any"}
        What the job is for: `run` needs model.n_components, `predict` needs model.path.
    environment : mapping, optional
        Where `${NAME}` is looked up; the process's own by default.

    Raises
    ------
    JobFileError
        Naming every problem with file, line and column.
    InputNotFoundError
        If the file is absent, a directory or not readable.
    UsageError
        If an override has no `=`, names no key of a job, or is not YAML.
    """
    environment = os.environ if environment is None else environment
    source = str(path)
    try:
        parsed = read_yaml(_read_text(path), source, environment, lines=True)
    except YamlSyntaxError as error:
        raise job_file_error(source, [error.problem]) from None
    _require_mapping(parsed, source)
    apply_overrides(parsed, overrides, environment)
    parsed.problems += path_problems(parsed, environment)
    return _validated(parsed, source, kind)


def _validated(parsed: ParsedYaml, source: str, kind: Kind) -> Job:
    problems = [*parsed.problems, *cross_check_problems(parsed, kind)]
    try:
        job = Job.model_validate(parsed.value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        broken = {problem.path for problem in parsed.problems}
        problems += [f for f in _schema_problems(parsed, details) if f.path not in broken]
        raise job_file_error(source, problems) from None
    if problems:
        raise job_file_error(source, problems)
    return job


def _schema_problems(parsed: ParsedYaml, details: Sequence[ErrorDetails]) -> Iterator[Problem]:
    for detail in details:
        if detail["type"] == "extra_forbidden":
            path = tuple(detail["loc"])
            yield Problem(parsed.place_of(path, key=True), path, _unknown_key(path))
            continue
        path = known_prefix(detail["loc"])
        yield Problem(parsed.place_of(path), path, _wrong_value(parsed, path, detail))


def _unknown_key(path: KeyPath) -> str:
    if is_secret(path[-1]):
        return (
            "secrets do not belong in a job file, and no key of this name exists: remove it, and "
            "change the secret if others could read this file"
        )
    if (text := reserved_key(path)) is not None:
        return text
    key, siblings = str(path[-1]), keys_below(path[:-1])
    hint = suggestion(key, siblings)
    if not hint and (elsewhere := sections_with(key)):
        hint = f" (did you mean {elsewhere[0]}?)"
    return f"unknown key{hint}; the keys here are {', '.join(siblings)}"


def _wrong_value(parsed: ParsedYaml, path: KeyPath, detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return f"missing, expected {expected(path)}"
    value = _value_at(parsed.value, path)
    if (text := reserved_value(path, value)) is not None:
        return text
    found = parsed.found(path, value)
    if detail["type"] == "refused":
        return f"found {found}; {detail['msg']}"
    return f"found {found}, expected {expected(path)}{suggestion(value, choices_of(path))}"


def _value_at(tree: Any, path: KeyPath) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _require_mapping(parsed: ParsedYaml, source: str) -> None:
    if isinstance(parsed.value, dict):
        return
    needed = "a job needs data.path, model.n_components and output.path"
    text = f"found {parsed.found((), parsed.value)}, expected keys and values; {needed}"
    if parsed.value is None:
        text = f"the file is empty; {needed}"
    raise job_file_error(source, [*parsed.problems, Problem(parsed.place_of(()), (), text)])


def _read_text(path: str | Path) -> str:
    data = _read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - before.rfind(b"\n")
        place = Place(str(path), before.count(b"\n") + 1, column)
        text = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise job_file_error(str(path), [Problem(place, (), text)]) from None


def _read_bytes(path: str | Path) -> bytes:
    try:
        return read_regular_or_pipe(path, LARGEST_FILE)
    except OversizedFileError:
        text = f"larger than {LARGEST_FILE:,} bytes; is this a job file?"
        raise job_file_error(str(path), [Problem(Place(str(path)), (), text)]) from None
    except IsADirectoryError:
        reason = "it is a directory; expected a YAML file"
    except FileNotFoundError:
        reason = f"no such file (looked in {printable(str(Path.cwd()))})"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise InputNotFoundError(f"cannot read the job file {printable(str(path))}: {reason}")
