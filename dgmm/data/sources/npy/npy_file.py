"""Values of a .npy file, or of a member of a .npz file, read in pieces."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.file_version import FileVersion
from dgmm.data.sources.npy.header import NpyHeader, read_header
from dgmm.data.sources.stored_arrays import arrays_in_words
from dgmm.errors import DataError
from dgmm.storage.regular_files import open_regular
from dgmm.storage.retry import with_retries

#: Local header of a zip archive's member: its length without name and extra field, and where their
#: lengths stand.
_LOCAL_HEADER, _LENGTHS = 30, 26
#: A compressed array in Fortran order has to be unpacked whole.
_MOST_UNPACKED = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NpyArray:
    """An array of numbers in a file, from `offset` on as they lie in memory.

    Attributes
    ----------
    version : FileVersion
    where : str
        File, and member, for messages.
    header : NpyHeader
    offset : int
        Where the values begin; of no meaning in a compressed member.
    member : str
        Name of the compressed member of a .npz file; empty where values can be read at any place.
    """

    version: FileVersion
    where: str
    header: NpyHeader
    offset: int
    member: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    is_text = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return self.header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value, in native byte order."""
        return self.header.native_dtype

    @property
    def chunks(self) -> None:
        """None: any rows can be read alone, or come one after another."""
        return

    @property
    def is_sequential(self) -> bool:
        """Whether it is a compressed member, unpacked from the first row on."""
        return bool(self.member)

    def open(self) -> NpyArray:
        """Itself: the file is opened for each read."""
        return self

    def fingerprint(self) -> dict[str, Any]:
        """Size and time of the file, and where the values stand in it."""
        return self.version.fingerprint() | {"offset": self.offset, "member": self.member}

    def check_unchanged(self) -> None:
        """Raise a DataError if the file has changed since it was described."""
        self.version.check_unchanged()

    def n_absent(self) -> int:
        """None: a short file is an error."""
        return 0

    def batches(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[Any]]:
        """Yield rows [start, stop), `n_rows` at a time, in native byte order.

        Raises
        ------
        DataError
            If the file ends before them, or a compressed member is damaged.
        """
        self.version.check_unchanged()
        if self.member:
            yield from self._unpacked(start, stop, n_rows)
            return
        with open_regular(self.version.path, buffering=0) as file:
            for first in range(start, stop, n_rows):
                yield self._rows(file, first, min(first + n_rows, stop))

    def _rows(self, file: BinaryIO, start: int, stop: int) -> NDArray[Any]:
        n, d = self.shape
        size = self.header.dtype.itemsize
        if not self.header.is_fortran:
            at = self.offset + start * d * size
            return self._values(file, at, (stop - start) * d).reshape(-1, d)
        out = np.empty((stop - start, d), self.dtype)
        for j in range(d):
            out[:, j] = self._values(file, self.offset + (j * n + start) * size, stop - start)
        return out

    def _values(self, file: BinaryIO, at: int, count: int) -> NDArray[Any]:
        def read() -> bytes:
            file.seek(at)
            return _exactly(file, count * self.header.dtype.itemsize, self.where)

        return np.frombuffer(with_retries(read), self.header.dtype).astype(self.dtype, copy=False)

    def _unpacked(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[Any]]:
        """Rows of a compressed member: those before `start` are unpacked and left out."""
        try:
            with (
                open_regular(self.version.path) as file,
                zipfile.ZipFile(file) as archive,
                archive.open(self.member) as stream,
            ):
                read_header(stream, self.where)
                if self.header.is_fortran:
                    whole = self._next_rows(stream, self.shape[1], self.shape[0]).T
                    for first in range(start, stop, n_rows):
                        yield np.ascontiguousarray(whole[first : min(first + n_rows, stop)])
                    return
                for first in range(0, start, n_rows):
                    self._next_rows(stream, min(n_rows, start - first), self.shape[1])
                for first in range(start, stop, n_rows):
                    yield self._next_rows(stream, min(n_rows, stop - first), self.shape[1])
                if stop == self.shape[0]:
                    stream.read(1)  # the checksum is compared at the end
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(
                f"{self.where}: damaged ({safe_text(str(error))}). Save the array again"
            ) from None

    def _next_rows(self, stream: IO[bytes], n_rows: int, width: int) -> NDArray[Any]:
        content = _exactly(stream, n_rows * width * self.header.dtype.itemsize, self.where)
        values = np.frombuffer(content, self.header.dtype).astype(self.dtype, copy=False)
        return values.reshape(n_rows, width)


def open_npy(path: str) -> NpyArray:
    """The array of a .npy file.

    Raises
    ------
    DataError
        If the file is damaged or cut, or its values are no real numbers.
    DataNotFoundError
        If it is absent or not readable.
    """
    version = FileVersion.of(path)
    with open_regular(path) as file:
        header = read_header(file, path)
    _refuse_cut(path, version.n_bytes - header.n_bytes, header)
    return NpyArray(version, path, header, header.n_bytes)


def open_npz(path: str, array: str | None) -> NpyArray:
    """An array of a .npz file: the one of that name, or the only one.

    Raises
    ------
    DataError
        As `open_npy`; or if there is none of that name, or several and no name.
    """
    version = FileVersion.of(path)
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            member = _member(path, archive, array)
            where = f"{path}: {safe_text(member.filename.removesuffix('.npy'))}"
            with archive.open(member) as stream:
                header = read_header(stream, where)
            if member.compress_type != zipfile.ZIP_STORED:
                _refuse_cut(where, member.file_size - header.n_bytes, header)
                _refuse_large(where, header)
                return NpyArray(version, where, header, 0, member.filename)
            begin = _begin_of(file, member)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: damaged ({safe_text(str(error))}). Save it again") from None
    _refuse_cut(where, version.n_bytes - begin - header.n_bytes, header)
    return NpyArray(version, where, header, begin + header.n_bytes)


def npz_members(path: str) -> list[str]:
    """Names of the arrays in a .npz file, as `data.array` takes them."""
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _member(path: str, archive: zipfile.ZipFile, array: str | None) -> zipfile.ZipInfo:
    found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if array is None and len(found) == 1:
        return next(iter(found.values()))
    if array is None or array not in found:
        what = "name one of its arrays in data.array" if array is None else "no array of that name"
        said = "" if array is None else f" {safe_text(array)!r}:"
        raise DataError(f"{path}:{said} {what}. {arrays_in_words(sorted(found))}")
    return found[array]


def _begin_of(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: its local header may be longer than the central one."""
    file.seek(member.header_offset + _LENGTHS)
    lengths = np.frombuffer(file.read(4), "<u2")
    return member.header_offset + _LOCAL_HEADER + int(lengths.sum())


def _refuse_cut(where: str, n_bytes: int, header: NpyHeader) -> None:
    if n_bytes < header.value_bytes:
        raise DataError(
            f"{where}: cut short: its header claims {header.shape} {header.dtype.name} "
            f"({header.value_bytes:,} bytes), and {max(n_bytes, 0):,} bytes follow. Save it again"
        )


def _refuse_large(where: str, header: NpyHeader) -> None:
    if header.is_fortran and header.value_bytes > _MOST_UNPACKED:
        raise DataError(
            f"{where}: compressed and in Fortran order, so that all {header.value_bytes:.3g} bytes "
            "would have to be unpacked for one row. Save it as a .npy file: "
            "np.save(path, np.ascontiguousarray(X))"
        )


def _exactly(stream: IO[bytes], n_bytes: int, where: str) -> bytes:
    """So many bytes of a stream, which may give fewer at a time."""
    parts, left = [], n_bytes
    while left and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    if left:
        raise DataError(f"{where}: cut short, {left:,} bytes are missing. Save the array again")
    return parts[0] if len(parts) == 1 else b"".join(parts)
