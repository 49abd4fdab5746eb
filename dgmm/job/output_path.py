"""The folder that a run writes to: its own user's, found through no link of a stranger."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections import deque
from pathlib import Path

from dgmm.errors import OutputExistsError
from dgmm.storage.atomic_files import reason
from dgmm.storage.folders import Folder

_MOST_LINKS = 40


def open_run_folder(path: str | Path) -> Folder:
    """Make the folder where it is absent, and hold it open.

    Parameters
    ----------
    path
        Of the job file. Links are followed, but for those that somebody else has put into a folder
        that everybody may write to.

    Raises
    ------
    OutputExistsError
        If it cannot be made, is no folder, belongs to another user, or lies behind such a link.
    """
    shown = Path(path)
    try:
        place = _followed(Path(path))
        place.mkdir(parents=True, exist_ok=True)
        return _checked(Folder(place, shown))
    except OSError as error:
        raise OutputExistsError(
            f"cannot create the run directory {shown}: {reason(error)}"
        ) from error


def _checked(folder: Folder) -> Folder:
    try:
        _check_path(folder)
        _check_owner(folder)
    except BaseException:
        folder.close()
        raise
    return folder


def _check_path(folder: Folder) -> None:
    if os.path.realpath(folder.path) != str(folder.path):
        raise OSError(errno.ELOOP, "a symbolic link was put into the path meanwhile")


def _followed(path: Path) -> Path:
    """The path without links and `..`; what is absent is taken as it is written.

    Raises
    ------
    OutputExistsError
        If a link on the way is not to be trusted.
    OSError
        If a part cannot be looked at, or links lead in a circle.
    """
    start = path if path.is_absolute() else Path.cwd() / path
    waiting, place, n_links = deque(start.parts), Path("/"), 0
    while waiting:
        part = waiting.popleft()
        if part == os.pardir:
            place = place.parent
            continue
        place = place / part
        try:
            status = place.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISLNK(status.st_mode):
            continue
        n_links += 1
        if n_links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        _check_link(path, place, status)
        waiting.extendleft(reversed(place.readlink().parts))
        place = place.parent
    return place


def _check_link(path: Path, link: Path, status: os.stat_result) -> None:
    """Refuse a link that any user may have put there: as Linux does in sticky folders."""
    folder = link.parent.stat()
    is_open_to_all = bool(folder.st_mode & stat.S_IWOTH)
    if is_open_to_all and status.st_uid not in {os.geteuid(), 0, folder.st_uid}:
        raise OutputExistsError(
            f"{path} leads through {link}, a symbolic link of another user (uid {status.st_uid}) "
            "in a directory that everybody may write to: it is not followed. Remove it, or choose "
            "another output.path"
        )


def _check_owner(folder: Folder) -> None:
    """Refuse a folder of another user, who may put links into it at any time.

    Some file systems show files as another user's than the one who made them (network mounts that
    map users): there the folder is ours if a file that we make in it has the same owner.
    """
    owner = folder.status().st_uid
    if owner in {os.geteuid(), 0}:
        return
    name = f".owner.{secrets.token_hex(8)}.tmp"
    try:
        descriptor = folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except PermissionError:
        maker = None
    else:
        maker = os.fstat(descriptor).st_uid
        os.close(descriptor)
        folder.remove(name)
    if maker != owner:
        raise OutputExistsError(
            f"the run directory {folder} belongs to another user (uid {owner}; this process runs "
            f"as uid {os.geteuid()}). Choose another output.path, or run as its owner"
        )
