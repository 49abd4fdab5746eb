"""Arrays in npz files without pickle, with the same bytes for the same arrays; sealed or not."""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dgmm.errors import DataError, InputNotFoundError
from dgmm.storage.atomic_files import reason, written_aside
from dgmm.storage.folders import Target
from dgmm.storage.regular_files import IrregularFileError, open_regular

_ZIP_EPOCH = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the earliest date a zip can hold: bytes must not depend on the time


#: Called with name, shape and type of an array.
Admit = Callable[[str, tuple[int, ...], np.dtype[Any]], None]
#: What reading a damaged archive raises: zip's flags may ask for a password or another version.
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    ValueError,
    OverflowError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    SyntaxError,
    TypeError,
    KeyError,
    struct.error,
)


class DamagedFileError(DataError):
    """A sealed file that does not match its checksum."""


def write_arrays(path: Target, **arrays: NDArray[Any]) -> None:
    """Write an uncompressed npz; the same arrays give the same bytes.

    Raises
    ------
    ValueError
        If an array holds Python objects: that would be pickle.
    OutputFailedError
        If the file cannot be written.
    """
    with written_aside(path) as file:
        _write_members(file, arrays)


def write_sealed(path: Target, **arrays: NDArray[Any]) -> None:
    """Write arrays as `write_arrays` does, and behind them the SHA-256 of all bytes before it.

    Raises
    ------
    ValueError
        If an array holds Python objects.
    OutputFailedError
        If the file cannot be written.
    """
    with written_aside(path) as file:
        hashing = _Hashing(file)
        _write_members(hashing, arrays)
        file.write(hashing.sha256.digest() + _SEAL)


def read_sealed(path: Target) -> dict[str, NDArray[Any]]:
    """Read what `write_sealed` wrote.

    Raises
    ------
    InputNotFoundError
        If the file is absent or cannot be read.
    DamagedFileError
        If a single bit of it is not as it was written.
    DataError
        If it is, and what was written is no npz file of plain arrays.
    """
    try:
        with open_regular(path) as file:
            _check_seal(path, file)
    except (IrregularFileError, IsADirectoryError) as error:
        raise DamagedFileError(f"{path} is damaged: {reason(error)}") from error
    except OSError as error:
        raise InputNotFoundError(f"cannot read {path}: {reason(error)}") from error
    return read_arrays(path)


def read_arrays(path: Target, admit: Admit | None = None) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote, refusing anything else.

    Parameters
    ----------
    path
        The file.
    admit
        Called with name, shape and type of each array before it is read; raises where it is not
        one that is expected.

    Raises
    ------
    InputNotFoundError
        If the file is absent, no regular file, or cannot be read.
    DataError
        If it is cut short, corrupted, holds pickle, or names its members by a path.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = [_array_name(path, member) for member in members]
            _check_sizes(members, os.fstat(file.fileno()).st_size)
            for name, member in zip(names, members, strict=True):
                claimed = _header(archive, member)
                if admit is not None:
                    admit(name, *claimed)
            return {n: _read_member(archive, m) for n, m in zip(names, members, strict=True)}
    except DataError:
        raise
    except OSError as error:
        raise InputNotFoundError(f"cannot read {path}: {reason(error)}") from error
    except _DAMAGE as error:
        raise DataError(
            f"{path} is not an intact npz file of plain arrays: {error}. "
            "Write it again, or take it from a backup."
        ) from error


#: The last bytes of a sealed file.
_SEAL = b"dgmmseal"
_HASHED_AT_ONCE = 1 << 20


class _Hashing:
    """A stream for a zip archive that hashes what passes; it cannot go back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _check_seal(path: Target, file: BinaryIO) -> None:
    left = file.seek(0, os.SEEK_END) - len(_SEAL) - hashlib.sha256().digest_size
    file.seek(0)
    found = hashlib.sha256()
    while left > 0:
        data = file.read(min(left, _HASHED_AT_ONCE))
        if not data:
            break
        found.update(data)
        left -= len(data)
    if left != 0 or file.read() != found.digest() + _SEAL:
        raise DamagedFileError(f"{path} is damaged: its checksum is not that of its bytes")


def _write_members(file: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH)
            member.create_system, member.external_attr = 3, 0o644 << 16  # Unix, on any system
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, _little_endian(array), allow_pickle=False)


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """C order and one byte order, so that equal arrays are equal bytes on every machine."""
    array = np.asarray(array, order="C")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _array_name(path: Target, member: zipfile.ZipInfo) -> str:
    name, dot, extension = member.filename.rpartition(".")
    if not dot or extension != "npy" or not name.isidentifier():
        raise DataError(f"{path} holds a member named {member.filename!r}; a plain NAME.npy is due")
    if member.compress_type != zipfile.ZIP_STORED:
        raise DataError(f"{path}: {member.filename} is compressed; dgmm writes plain arrays")
    return name


def _check_sizes(members: Sequence[zipfile.ZipInfo], n_bytes: int) -> None:
    """Refuse members that overlap: together they would be larger than the archive."""
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two arrays have one name")
    if sum(member.file_size for member in members) > n_bytes:
        raise ValueError("its arrays are together larger than the file")


def _header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an array claims."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        known = {(1, 0): np.lib.format.read_array_header_1_0}
        read = known.get(version, np.lib.format.read_array_header_2_0)
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds Python objects, which are pickle")
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} claims more numbers than it has bytes for")
    return shape, dtype


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):  # reading to the end also checks the sum
            raise ValueError(f"{member.filename} is longer than its array")
    return array.astype(array.dtype.newbyteorder("="), copy=False)
