"""Zarr's store over a folder that is held open: chunks go there, whatever becomes of its path."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from dgmm.storage.folders import Entry, Folder

#: File in a group that is not finished: which run of which job writes it.
RUN_FILE = "run.sha256"
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class FolderStore(LocalStore):
    """A store whose files are reached through no link; the folder is for its user to close.

    Parameters
    ----------
    folder
        The root.
    read_only
        Refuse to write.
    """

    def __init__(self, folder: Folder, *, read_only: bool = False) -> None:
        super().__init__(folder.path, read_only=read_only)
        self.folder = folder

    def with_read_only(self, read_only: bool = False) -> Self:
        """The same folder for other purposes."""
        return type(self)(self.folder, read_only=read_only)

    async def _open(self, *, mode: Any = None) -> None:  # noqa: ARG002 - zarr's
        self._is_open = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FolderStore) and self.folder is other.folder

    def __hash__(self) -> int:
        return id(self.folder)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """The file's bytes; None where there is no such file."""
        if byte_range is not None:
            raise NotImplementedError("outputs have no shards: chunks are read whole")
        prototype = prototype or default_buffer_prototype()
        try:
            return prototype.buffer.from_bytes(await asyncio.to_thread(self._read, key))
        except _ABSENT:
            return None

    async def set(self, key: str, value: Any) -> None:
        """Write a file, whole or not at all; it is not synced."""
        self._check_writable()
        await asyncio.to_thread(self._write, key, value.as_buffer_like())

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        """Write a file that is not there."""
        if not await self.exists(key):
            await self.set(key, value)

    async def delete_dir(self, prefix: str) -> None:
        """Remove a folder with all that is in it."""
        await self.delete(prefix)

    async def delete(self, key: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        self._check_writable()
        try:
            with self.entry(key) as entry:
                entry.folder.remove(entry.name)
        except _ABSENT:
            return

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return self.status(key) is not None

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names in a folder, of what is Zarr's."""
        try:
            with self.entry(f"{prefix}/.".strip("/")) as entry:
                names = [name for name in entry.folder.names() if name != RUN_FILE]
        except _ABSENT:
            return
        for name in names:
            yield name

    async def list(self) -> AsyncIterator[str]:
        """All files."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """All files below a folder."""
        async for name in self.list_dir(prefix):
            key = f"{prefix}/{name}".strip("/")
            if self.status(key) is not None:
                yield key
            else:
                async for below in self.list_prefix(key):
                    yield below

    def status(self, key: str) -> os.stat_result | None:
        """The status of a regular file; None where there is none."""
        try:
            with self.entry(key) as entry:
                found = entry.folder.status(entry.name)
        except _ABSENT:
            return None
        return found if stat.S_ISREG(found.st_mode) else None

    @contextmanager
    def entry(self, key: str, *, make: bool = False) -> Iterator[Entry]:
        """A key as a name in its folder; with `make`, folders on the way are made."""
        *folders, name = key.split("/")
        with ExitStack() as opened:
            folder = self.folder
            for part in folders:
                inner = folder.folder_made(part) if make else folder.folder(part)
                folder = opened.enter_context(inner)
            yield folder / name

    def _read(self, key: str) -> bytes:
        with self.entry(key) as entry, os.fdopen(entry.reading(), "rb") as file:
            return file.read()

    def _write(self, key: str, content: Any) -> None:
        with self.entry(key, make=True) as entry, entry.written_aside(is_synced=False) as file:
            file.write(content)
