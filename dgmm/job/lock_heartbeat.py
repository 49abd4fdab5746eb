"""A lock that this process holds: it beats, and knows when it has lost what it held."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from dgmm.errors import DgmmError, OutputExistsError, OutputFailedError, StoppedError
from dgmm.job.lock_holder import NAME, Holder, read_holder, read_named, write_holder
from dgmm.runtime import stop_flag as stopping
from dgmm.storage.folders import Folder


class Lock:
    """A lock that is held until another run takes it over, or the path leads elsewhere.

    Parameters
    ----------
    folder, handle
        The run directory, held open, and the lock file in it.
    holder
        What the file holds.
    beat_s, lease_s
        Seconds between two beats, and for which a count may stand still.
    """

    def __init__(
        self, folder: Folder, handle: int, holder: Holder, *, beat_s: float, lease_s: float
    ) -> None:
        self._folder, self._handle, self._holder = folder, handle, holder
        self._beat_s, self._lease_s = beat_s, lease_s
        self._ended, self._has_stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether nothing may be written any more; see `loss`."""
        return self.loss() is not None

    def loss(self) -> DgmmError | None:
        """Why nothing may be written any more; None while the lock is held.

        Returns
        -------
        OutputFailedError
            The folder or its lock was removed, moved or replaced.
        OutputExistsError
            The file says that somebody else holds the lock.
        """
        found, shown = read_holder(self._handle), self._folder
        if found is not None and self._gives_way_to(found):
            return OutputExistsError(
                f"{shown} was taken over by {found}, because this run had not renewed its lock for "
                f"{self._lease_s:g} s: it stops, and the other one goes on with its work"
            )
        if not (self._folder.is_in_place() or self._is_ours_by_path()):
            return OutputFailedError(
                f"the run directory {shown} was removed, moved or replaced while the run worked: "
                "nothing more is written, and nothing to what is there now. Run the same command "
                "again to start over"
            )
        if not (_is_named(self._folder, self._handle) or self._is_ours_by_path()):
            return OutputFailedError(
                f"{shown / NAME} was removed or replaced while the run worked, so that another run "
                "may enter: nothing more is written. Run the same command again to go on"
            )
        return None

    def _gives_way_to(self, found: Holder) -> bool:
        """Whether the file names another holder; one of a lower number writes too late."""
        own = self._holder
        return found.token != own.token and found.number >= own.number

    def check(self) -> None:
        """Refuse to continue where the lock is lost.

        Raises
        ------
        OutputFailedError, OutputExistsError
            See `loss`.
        """
        if (loss := self.loss()) is not None:
            raise loss

    def _is_ours_by_path(self) -> bool:
        """Whether the path leads to a lock with the content of ours.

        On some file systems a file has one number when it is open and another by its path.
        """
        try:
            with Folder(self._folder.path) as found:
                return read_named(found, NAME) == read_holder(self._handle)
        except OSError:
            return False

    @contextmanager
    def loss_named(self) -> Iterator[None]:
        """However the body ends once the lock is lost, also without error, it is an error.

        Raises
        ------
        OutputFailedError, OutputExistsError
            See `loss`.
        """
        try:
            yield
        except (Exception, StoppedError) as error:
            loss = self.loss()
            if loss is None or str(error) == str(loss):
                raise
            raise loss from error
        self.check()

    def _beat(self) -> None:
        while not self._ended.wait(self._beat_s):
            if self.is_lost:
                self._has_stopped = stopping.stop_tasks()
                return
            self._holder = replace(self._holder, beats=self._holder.beats + 1)
            with suppress(OSError):  # storage may fail for a while
                write_holder(self._handle, self._holder)

    def release(self) -> None:
        """Stop beating and mark the lock as released: nobody has to wait for a lease."""
        self._ended.set()
        self._thread.join()
        if self._has_stopped:
            stopping.requested.clear()  # this process may continue with something else
        if not self.is_lost:
            with suppress(OSError):
                write_holder(self._handle, replace(self._holder, is_released=True))


def _is_named(directory: Folder, handle: int) -> bool:
    """Whether the lock's name still is that of the open file; True where storage does not tell."""
    try:
        return os.path.samestat(directory.status(NAME), os.fstat(handle))
    except FileNotFoundError:
        return False
    except OSError:
        return True
