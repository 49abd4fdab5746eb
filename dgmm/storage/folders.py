"""Folders held open, and the files in them: reached through no link, whatever becomes of the path.

No library serves: pathlib and fsspec look paths up anew; what is held here are `dir_fd` handles.
A path is looked up anew each time it is used. Whoever may write to one of its folders can meanwhile
lead it elsewhere: by a link, or by another folder of the same name. A folder that is held open
stays what it is; names are looked up in it alone, and a name that is a link is not followed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from dgmm.storage.exchange import exchanged, name_aside, replaced_in_two_steps
from dgmm.storage.file_kinds import irregular, opened_folder

#: Through no link; without waiting for a FIFO's writer or becoming this process's terminal.
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FILE_MODE, _FOLDER_MODE = 0o666, 0o777


class Folder:
    """A folder held open; a context manager that closes it.

    Parameters
    ----------
    path
        Where it is. Links on the way are followed, a link in its last place only where
        `follow` is set.
    shown
        How messages name it.

    Raises
    ------
    OSError
        If there is none (IrregularFolderError where something else is there).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place, Folder(place) as folder:
    ...     with (folder / "notes").written_aside() as file:
    ...         _ = file.write(b"whole or not at all")
    ...     folder.names()
    ['notes']
    """

    def __init__(
        self, path: str | Path, shown: Path | None = None, *, follow: bool = False
    ) -> None:
        self.path, self.shown = Path(path), Path(path) if shown is None else shown
        #: Called before anything in it, or below it, is made, renamed or removed.
        self.guard: Callable[[], None] = _nothing
        flags = _FOLDER if follow else _FOLDER | os.O_NOFOLLOW
        self._descriptor = opened_folder(
            self.shown, lambda: os.open(path, flags), lambda: os.lstat(path)
        )

    @classmethod
    def _within(cls, parent: Folder, name: str) -> Self:
        folder, flags = cls.__new__(cls), _FOLDER | os.O_NOFOLLOW
        folder.path, folder.shown = parent.path / name, parent.shown / name
        folder.guard = parent.guard
        folder._descriptor = opened_folder(  # noqa: SLF001 - it is of this class
            folder.shown,
            lambda: os.open(name, flags, dir_fd=parent._descriptor),
            lambda: parent.status(name),
        )
        return folder

    def __str__(self) -> str:
        return str(self.shown)

    def __truediv__(self, name: str) -> Entry:
        """What has a name in this folder, whether it is there or not."""
        return Entry(self, name)

    def folder(self, name: str) -> Folder:
        """A folder in this one, held open too."""
        return Folder._within(self, name)

    def make_folder(self, name: str) -> Folder:
        """Make a folder in this one; it is open and empty."""
        self.guard()
        os.mkdir(name, _FOLDER_MODE, dir_fd=self._descriptor)
        return self.folder(name)

    def folder_made(self, name: str) -> Folder:
        """A folder in this one, made where it is absent, also by somebody else at the same time."""
        if not self.holds(name):
            with suppress(FileExistsError):
                return self.make_folder(name)
        return self.folder(name)

    def names(self) -> list[str]:
        """The names in it, sorted."""
        return sorted(os.listdir(self._descriptor))  # noqa: PTH208 - of a descriptor

    def folders(self) -> list[str]:
        """The names of folders in it, sorted."""
        with os.scandir(self._descriptor) as entries:
            return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))

    def status(self, name: str = ".") -> os.stat_result:
        """The status of a name, a link's own where it is one; of the folder itself by default."""
        if name == ".":
            return os.fstat(self._descriptor)
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def holds(self, name: str) -> bool:
        """Whether something has that name, be it a link that leads nowhere."""
        try:
            self.status(name)
        except FileNotFoundError:
            return False
        return True

    def holds_folder(self, name: str) -> bool:
        """Whether a folder has that name, not a link to one."""
        return self.holds(name) and stat.S_ISDIR(self.status(name).st_mode)

    def remove(self, name: str) -> None:
        """Remove a file, a folder with all that is in it, or a link alone; absent is well too."""
        self.guard()
        self._remove(name)

    def _remove(self, name: str) -> None:
        try:
            if self.holds_folder(name):
                shutil.rmtree(name, dir_fd=self._descriptor)
            else:
                os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return

    def rename(self, name: str, new: str) -> None:
        """Give a name to what has another; a file or a link that has it is replaced."""
        self.guard()
        os.rename(name, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def replace(self, name: str, new: str) -> None:
        """Give the name of a folder to another one, on disk; the folder that had it is removed.

        At any moment one of the two has the name, except on file systems that cannot exchange
        names: there the old one is `.NAME.….old` for a moment.
        """
        self.guard()
        old = name
        if not self.holds(new):
            self.rename(name, new)
        elif not exchanged(self._descriptor, name, new):
            old = replaced_in_two_steps(self._descriptor, name, new)
        self.sync()
        self.remove(old)

    def sync(self) -> None:
        """Bring the list of names to disk: a rename is durable only after that."""
        os.fsync(self._descriptor)

    def is_in_place(self) -> bool:
        """Whether its path still leads to it; True where storage does not tell."""
        try:
            found = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return os.path.samestat(found, self.status())

    def close(self) -> None:
        """Close its descriptor; may be called again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a regular file in it; created files are for the user's mask to close.

        Raises
        ------
        OSError
            If it cannot be opened, or is no regular file (IrregularFileError).
        """
        if flags & _WRITES:
            self.guard()
        try:
            descriptor = os.open(name, flags | _FLAGS, _FILE_MODE, dir_fd=self._descriptor)
        except OSError as error:
            with suppress(FileNotFoundError):
                mode = self.status(name).st_mode
                if not stat.S_ISREG(mode) and not flags & os.O_EXCL:
                    raise irregular(self.shown / name, mode) from error
            raise
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise irregular(self.shown / name, mode)
        return descriptor


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder that is held open."""

    folder: Folder
    name: str

    def __str__(self) -> str:
        return str(self.folder.shown / self.name)

    def reading(self) -> int:
        """A descriptor for reading; see `Folder.open`."""
        return self.folder.open(self.name, os.O_RDONLY)

    def appending(self) -> int:
        """A descriptor for reading anywhere and writing at the end of a file that has one name.

        What else names the file keeps it as it is: with a hard link it is copied first.
        """
        descriptor = self.folder.open(self.name, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        if os.fstat(descriptor).st_nlink > 1:
            with os.fdopen(descriptor, "rb") as shared:
                self._copied(shared)
            descriptor = self.folder.open(self.name, os.O_RDWR | os.O_APPEND)
        return descriptor

    def sync(self) -> None:
        """Bring the file's content to disk; its name is the folder's."""
        descriptor = self.reading()
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _copied(self, shared: BinaryIO) -> None:
        with self.written_aside() as file:
            os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(shared.fileno()).st_mode))
            shutil.copyfileobj(shared, file)

    @contextmanager
    def folder_aside(self) -> Iterator[Folder]:
        """A new folder that takes the name when the body has ended without error."""
        aside = name_aside(self.name)
        try:
            with self.folder.make_folder(aside) as made:
                yield made
            self.folder.replace(aside, self.name)
        except BaseException:
            with suppress(OSError):
                self.folder._remove(aside)  # noqa: SLF001 - whatever the guard says, it is ours
            raise

    @contextmanager
    def written_aside(self, *, is_synced: bool = True) -> Iterator[BinaryIO]:
        """A new file that takes the name, synced, when the body has ended without error.

        What is not synced here is for the caller to bring to disk, file and folder.
        """
        folder, aside = self.folder, name_aside(self.name)
        try:
            descriptor = folder.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                if is_synced:
                    os.fsync(file.fileno())
            folder.rename(aside, self.name)
        except BaseException:
            with suppress(OSError):
                folder._remove(aside)  # noqa: SLF001 - whatever the guard says, it is ours
            raise
        if is_synced:
            folder.sync()


#: A file by its path, or by its name in a folder that is held open.
Target = str | Path | Entry


@contextmanager
def entry_of(target: Target) -> Iterator[Entry]:
    """A target as a name in an open folder; links on the way to a path's folder are followed."""
    if isinstance(target, Entry):
        yield target
        return
    path = Path(target)
    with Folder(path.parent, follow=True) as parent:
        yield parent / path.name


def _nothing() -> None:
    """The guard of a folder without one."""
