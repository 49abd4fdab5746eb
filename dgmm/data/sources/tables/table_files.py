"""The files of a table, in natural order (1, 2, 10), with the values that their folders give.

A folder `month=2` gives every file below it a column `month`, as Hive and Spark write tables, where
it is named itself too. Names that begin with `_` or `.` (`_SUCCESS`, `.part.crc`) are no data.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.named_paths import (
    expanded,
    is_hidden,
    literal_folder,
    natural_path_key,
)
from dgmm.errors import DataError, DataNotFoundError

#: What Hive writes for a null in the name of a folder.
_NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,14})")


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file of a table.

    Attributes
    ----------
    path, name : str
        Where it is, and what messages call it: relative to what the job names.
    size, mtime_ns : int
        As they were when the table was opened.
    partition : mapping
        Text by column, from the names of its folders; None where that is null.
    """

    path: str
    name: str
    size: int
    mtime_ns: int
    partition: Mapping[str, str | None] = field(default_factory=dict)

    def check_unchanged(self) -> None:
        """Raise a DataError if size or time differ from what they were."""
        try:
            found = Path(self.path).stat()
        except OSError as error:
            raise DataError(f"{self.name} was there and is gone: {error.strerror}") from error
        if (found.st_size, found.st_mtime_ns) != (self.size, self.mtime_ns):
            raise DataError(
                f"{self.name} changed since the table was opened ({self.size:,} bytes then, "
                f"{found.st_size:,} now). Run again when nothing writes to it"
            )


def table_files(paths: Sequence[str]) -> tuple[TableFile, ...]:
    """All files below some files, folders and patterns, in the order given, naturally within each.

    Raises
    ------
    DataNotFoundError
        If a path is absent, holds no file, or matches none.
    DataError
        If a file is empty or named twice (by any spelling or link), or something else than a file
        lies there.
    """
    found: dict[str, TableFile] = {}
    for path in paths:
        root, files = _found(path)
        if not files:
            raise DataNotFoundError(
                f"data.path {path} holds no file (names that begin with _ or . are left out)"
            )
        for file in files:
            place = os.path.realpath(file)
            if place in found:
                raise DataError(
                    f"data.path names {safe_text(place)} twice (as {safe_text(found[place].path)} "
                    f"and as {safe_text(str(file))}); each file is read once"
                )
            found[place] = _described(file, root)
    return tuple(found.values())


def partition_values(texts: Iterable[str | None]) -> list[str | int | None]:
    """Integers where all texts are such, as Python writes them; else the texts as they are."""
    every = list(texts)
    if all(text is None or _INTEGER.fullmatch(text) for text in every):
        return [None if text is None else int(text) for text in every]
    return list(every)


def _found(path: str) -> tuple[Path, list[Path]]:
    """The folder that names are told from, and the files in order."""
    matched = expanded(path)
    files = [file for each in matched for file in (_below(each) if each.is_dir() else [each])]
    if [Path(path)] != matched:
        root = literal_folder(path)
    else:
        root = matched[0] if matched[0].is_dir() else matched[0].parent
    while "=" in root.name:  # a partition that is named itself, and those that it lies in
        root = root.parent
    return root, sorted(set(files), key=natural_path_key)


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from (Path(parent, name) for name in names if not is_hidden(name))


def _described(file: Path, root: Path) -> TableFile:
    try:
        found = file.stat()
    except OSError as error:
        raise DataNotFoundError(f"{file} cannot be read: {error.strerror}") from error
    name = safe_text(str(file.relative_to(root.parent)))
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{name} is no regular file")
    if found.st_size == 0:
        raise DataError(f"{name} is empty (0 bytes): write it again, or move it away")
    return TableFile(
        str(file), name, found.st_size, found.st_mtime_ns, _partition(file.relative_to(root))
    )


def _partition(relative: Path) -> dict[str, str | None]:
    """Values in the names of folders: `month=2`."""
    pairs = (part.split("=", 1) for part in relative.parts[:-1] if "=" in part)
    return {
        unquote(name): None if value == _NULL else unquote(value) for name, value in pairs if name
    }
