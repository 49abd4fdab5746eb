"""What identifies the stored data of a labelled file: names, sizes and times of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from dgmm.data.sources.labelled.chunk_store import list_files
from dgmm.data.sources.labelled.opening import LabelledFile
from dgmm.errors import DataError


def digest_of(file: LabelledFile, arrays: Sequence[str]) -> str:
    """A digest of a NetCDF file, or of arrays of a Zarr group, that any change of them changes.

    Raises
    ------
    DataError
        If one of them is gone.
    """
    digest = hashlib.sha256()
    if file.is_zarr:
        for name in arrays:
            digest.update(f"{name}\0{list_files(file.root, name, fill=True)[1]}\n".encode())
        return digest.hexdigest()
    try:
        status = Path(file.path).stat()
    except FileNotFoundError:
        raise DataError(f"{file} was there when it was opened and is gone. Restore it") from None
    digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()
