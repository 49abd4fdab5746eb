"""A lock of one output among others in a folder: a folder beside it, for as long as it is held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dgmm.errors import OutputExistsError
from dgmm.job.lock import is_lock_file, locked
from dgmm.storage.folders import Folder


@contextmanager
def locked_beside(folder: Folder, path: Path) -> Iterator[None]:
    """Hold the lock of an output; its folder, `NAME.lock`, is removed at the end.

    Parameters
    ----------
    folder, path
        The folder that holds the output, and the output's path.

    Raises
    ------
    OutputExistsError
        If another process holds it, or something else has that name.
    """
    name = f"{path.name}.lock"
    if folder.holds(name) and not folder.holds_folder(name):
        raise _foreign(folder, name)
    with folder.folder_made(name) as made:
        if not all(map(is_lock_file, made.names())):
            raise _foreign(folder, name)
        with locked(made, path):
            if not made.is_in_place():  # its holder has ended and removed it meanwhile
                raise OutputExistsError(f"{path} was in use a moment ago: run the command again")
            try:
                yield
            finally:
                folder.remove(name)


def _foreign(folder: Folder, name: str) -> OutputExistsError:
    return OutputExistsError(
        f"{folder / name} exists and is no lock of dgmm. Move it away, or choose another path"
    )
