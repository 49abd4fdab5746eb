"""Files appear whole or not at all: written aside, synced, renamed.

JSON written here is strict JSON: NaN becomes `null`, infinities become the strings `"Infinity"` and
`"-Infinity"`, NumPy scalars and arrays become numbers and lists.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dgmm.errors import DataError, InputNotFoundError, OutputFailedError
from dgmm.storage.file_kinds import IrregularFileError, IrregularFolderError
from dgmm.storage.folders import Target, entry_of
from dgmm.storage.regular_files import MOST_METADATA_BYTES, read_regular

#: JSON documents with more lists and objects, or deeper ones, are refused.
_MOST_CONTAINERS, _DEEPEST = 500_000, 64


def write_bytes(path: Target, data: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    Raises
    ------
    OutputFailedError
        With the path and the system's reason (disk full, read-only, no such folder).
    """
    with written_aside(path) as file:
        file.write(data)


def write_text(path: Target, text: str) -> None:
    """Write text as UTF-8, whole or not at all; half of a surrogate pair as JSON spells it."""
    write_bytes(path, encoded(text))


def write_json(path: Target, value: Any) -> None:
    """Write strict JSON, one level of indent per depth, keys in the order given."""
    write_text(path, json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Target, *, most_bytes: int = MOST_METADATA_BYTES) -> Any:
    """Read JSON from a regular file of at most so many bytes.

    Raises
    ------
    InputNotFoundError
        If the file is absent or cannot be read.
    DataError
        If it is not strict JSON (`NaN` literals included); line and column are named.
    """
    try:
        text = read_regular(path, most_bytes).decode("utf-8")
        return parse_json(text, parse_constant=_refuse_constant)
    except OSError as error:
        raise InputNotFoundError(f"cannot read {path}: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not valid JSON: {error}. Was it cut short or edited?"
        ) from error


def parse_json(content: str | bytes, *, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """The content of a JSON document of bounded depth and size.

    Raises
    ------
    ValueError
        If it is no JSON, nested more than 64 deep, or has more than 500,000 lists and objects:
        parsed, each takes twenty times the bytes that it takes in the file.
    RecursionError
        If it is nested deeper than Python's parser goes.
    """
    opening: tuple[Any, ...] = ("[", "{") if isinstance(content, str) else (b"[", b"{")
    if sum(map(content.count, opening)) > _MOST_CONTAINERS:
        raise ValueError(f"it has more than {_MOST_CONTAINERS:,} lists and objects")
    value = json.loads(content, parse_constant=parse_constant)
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [item for node in level for item in _items(node)]
        if not level:
            return
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


def _items(node: Any) -> list[Any]:
    """The lists and objects right below a list or object."""
    below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [item for item in below if isinstance(item, dict | list)]


def plain(value: Any) -> Any:
    """The same value in what JSON has: dict, list, str, int, float, bool, None.

    Raises
    ------
    TypeError
        If a value has no place in JSON (an object, bytes).
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _plain_scalar(value)


@contextmanager
def written_aside(path: Target) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its name, synced, when the body has ended without error.

    Where the name is a link, the link is replaced, not what it leads to.
    """
    with output_errors(path), entry_of(path) as entry, entry.written_aside() as file:
        yield file


def encoded(text: str) -> bytes:
    """UTF-8; what it has no bytes for (half a surrogate pair) is spelled out."""
    return text.encode("utf-8", "backslashreplace")


@contextmanager
def output_errors(path: object) -> Iterator[None]:
    """The operating system's refusals to write, in words and with what to do."""
    try:
        yield
    except OSError as error:
        is_in_the_way = isinstance(error, IrregularFileError | IrregularFolderError)
        remedy = "Remove it" if is_in_the_way else "Make room or give write permission"
        raise OutputFailedError(
            f"cannot write {path}: {reason(error)}. {remedy}, then run the same command again."
        ) from error


def reason(error: OSError) -> str:
    """The reason that the operating system gives."""
    return error.strerror or str(error)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _plain_scalar(value: Any) -> str | int | float | bool | None:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return float(value)
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)  # an IntEnum becomes its number
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON: {value!r}")
