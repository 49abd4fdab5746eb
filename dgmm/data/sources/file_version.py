"""One file as it was when it was described: size and time, by which a change is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgmm.data.zarr.node import read_local
from dgmm.errors import DataError, DataNotFoundError
from dgmm.storage.regular_files import check_regular


@dataclass(frozen=True, slots=True)
class FileVersion:
    """A regular file; one of another size or time is another version.

    Attributes
    ----------
    path : str
    n_bytes, modified_ns : int
    """

    path: str
    n_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: str) -> FileVersion:
        """The version that is there now.

        Raises
        ------
        DataNotFoundError
            If there is none, or it cannot be read.
        """
        found = read_local(lambda: check_regular(Path(path)), f"data.path {path}")
        if found is None:
            raise DataNotFoundError(f"data.path {path} does not exist")
        return cls(path, found.st_size, found.st_mtime_ns)

    def check_unchanged(self) -> None:
        """Raise a DataError if the file is another version now."""
        if FileVersion.of(self.path) != self:
            raise DataError(
                f"{self.path} changed after the run had begun. Run again when nothing writes to it"
            )

    def fingerprint(self) -> dict[str, Any]:
        """Size and time; not the path, under which another run may find it."""
        return {"bytes": self.n_bytes, "modified_ns": self.modified_ns}
