"""An array of labels (n,) beside the rows of a Zarr group: integers, or text of any encoding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.data.zarr.node import find_array
from dgmm.errors import DataError

#: Rows that are decoded at a time, at least.
_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class LabelArray:
    """Labels that lie beside rows.

    Attributes
    ----------
    folder : str
        Of the array.
    """

    folder: str

    @classmethod
    def of(cls, group: str, name: str) -> LabelArray:
        """The array of that name in a group.

        Raises
        ------
        DataError
            If its metadata are damaged.
        DataNotFoundError
            If it is absent.
        """
        return cls(find_array(group, name).folder)

    def read(self) -> Iterator[NDArray[Any]]:
        """Yield the labels of some rows, in order.

        Raises
        ------
        DataError
            If they cannot be decoded.
        """
        try:
            array: Any = zarr.open_array(self.folder, mode="r")
            step = max(_ROWS // array.chunks[0], 1) * array.chunks[0]
            for start in range(0, array.shape[0], step):
                yield np.asarray(array[start : start + step])
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise DataError(f"{self.folder}: labels cannot be read: {error}") from error

    def digest(self) -> str:
        """sha256 over name, size and time of each of the array's files."""
        digest = hashlib.sha256()
        for path in sorted(Path(self.folder).rglob("*")):
            if path.is_file():
                status = path.stat()
                name = path.relative_to(self.folder).as_posix()
                digest.update(f"{name} {status.st_size} {status.st_mtime_ns};".encode())
        return digest.hexdigest()
