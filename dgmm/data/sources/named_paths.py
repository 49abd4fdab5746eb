"""What a job's `data.path` names: the one expansion that detection and all readers share."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from dgmm.data.feature_names import safe_text
from dgmm.errors import DataNotFoundError


def is_hidden(name: str) -> bool:
    """Whether readers leave a file or folder out: `_SUCCESS`, `.part-0.crc`."""
    return name.startswith(("_", "."))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts digits within a name as numbers.

    Examples
    --------
    >>> sorted(["part-10", "part-2", "part-1"], key=natural_key)
    ['part-1', 'part-2', 'part-10']
    """
    pieces = re.split(r"([0-9]+)", name)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in pieces]


def natural_path_key(path: Path) -> list[list[tuple[int, int, str]]]:
    """Sorts paths folder by folder, digits as numbers."""
    return [natural_key(part) for part in path.parts]


def expanded(path: str) -> list[Path]:
    """A path that exists, whatever characters are in it; else what the pattern matches, in order.

    `**` matches folders of any depth, none too. Names that begin with `_` or `.` are left out.

    Raises
    ------
    DataNotFoundError
        If the path does not exist, or the pattern matches nothing.
    """
    try:
        if _exists(path):
            return [Path(path)]
        if not glob.has_magic(path):
            raise DataNotFoundError(f"data.path {safe_text(path)} does not exist")
        root = literal_folder(path)
    except OSError as error:
        raise DataNotFoundError(
            f"data.path {safe_text(path)}: cannot be read: {error.strerror}"
        ) from error
    pattern = str(Path(path).relative_to(root))
    names = map(Path, glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207 - follows links
    found = {root / name for name in names if not any(map(is_hidden, name.parts))}
    if not found:
        raise DataNotFoundError(
            f"data.path {safe_text(path)} matches nothing (names that begin with _ or . are left "
            "out)"
        )
    return sorted(found, key=natural_path_key)


def _exists(path: str) -> bool:
    """As `Path.exists`, which passes over a loop of links."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def literal_folder(path: str) -> Path:
    """The folders of a pattern before its first part that is a pattern and no folder's name."""
    found = Path()
    for part in Path(path).parts:
        if glob.has_magic(part) and not (found / part).is_dir():
            break
        found /= part
    return found
