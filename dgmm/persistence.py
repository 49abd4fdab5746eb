"""Files appear whole or not at all: written aside, synced, renamed.

JSON written here is strict JSON: NaN becomes `null`, infinities become the strings `"Infinity"` and
`"-Infinity"`, NumPy scalars and arrays become numbers and lists. Arrays travel as npz without
pickle, with the same bytes for the same arrays.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.errors import DataError, InputNotFoundError, OutputFailedError

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold: bytes must not tell the time


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    Raises
    ------
    OutputFailedError
        With the path and the system's reason (disk full, read-only, no such folder).
    """
    with _written_aside(Path(path)) as file:
        file.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write strict JSON, one level of indent per depth, keys in the order given."""
    write_text(path, json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises
    ------
    InputNotFoundError
        If the file is absent or cannot be read.
    DataError
        If it is not strict JSON (`NaN` literals included); line and column are named.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_refuse_constant)
    except OSError as error:
        raise InputNotFoundError(f"cannot read {path}: {_reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not valid JSON: {error}. Was it cut short or edited?"
        ) from error


def plain(value: Any) -> Any:
    """The same value in what JSON has: dict, list, str, int, float, bool, None.

    Raises
    ------
    TypeError
        If a value has no place in JSON (an object, bytes).
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _plain_scalar(value)


def write_arrays(path: str | Path, **arrays: NDArray[Any]) -> None:
    """Write an uncompressed npz; the same arrays give the same bytes.

    Raises
    ------
    ValueError
        If an array holds Python objects: that would be pickle.
    OutputFailedError
        If the file cannot be written.
    """
    with _written_aside(Path(path)) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH)
            member.create_system, member.external_attr = 3, 0o644 << 16  # Unix, on any system
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, _little_endian(array), allow_pickle=False)


def read_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote, refusing anything else.

    Raises
    ------
    InputNotFoundError
        If the file is absent or cannot be read.
    DataError
        If it is cut short, corrupted, holds pickle, or names its members by a path.
    """
    try:
        with Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
            return {_array_name(path, m): _read_member(archive, m) for m in archive.infolist()}
    except DataError:
        raise
    except OSError as error:
        raise InputNotFoundError(f"cannot read {path}: {_reason(error)}") from error
    except (zipfile.BadZipFile, EOFError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(
            f"{path} is not an intact npz file of plain arrays: {error}. "
            "Write it again, or take it from a backup."
        ) from error


class _Lines:
    """A text file that grows line by line; each line is one write, so none is ever half there.

    Parameters
    ----------
    path : str or Path
        Created when absent, appended to when there.

    Raises
    ------
    OutputFailedError
        If the file cannot be opened or a line cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with _output(self.path):
            self._file = self.path.open("ab", buffering=0)
            self._is_empty = self._file.tell() == 0
            if not self._is_empty and not _ends_with_newline(self.path):
                self._write_line("")  # a killed run left half a line: end it there

    def _write_line(self, line: str) -> None:
        data = line.encode() + b"\n"
        with _output(self.path):
            if self._file.write(data) != len(data):
                raise OSError("the line was written only in part (is the disk full?)")

    def close(self) -> None:
        """Bring the lines to disk and close the file; may be called again."""
        if not self._file.closed:
            with _output(self.path), self._file:
                os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OutputFailedError) if error is not None else nullcontext():
            self.close()  # what ended the body matters more


class JsonLines(_Lines):
    """Appends one JSON object a line."""

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record; it is in the file when this returns."""
        self._write_line(json.dumps(plain(record), allow_nan=False, ensure_ascii=False))


class CsvLines(_Lines):
    """Appends one row a line under a fixed heading; None and NaN are empty cells.

    Parameters
    ----------
    path : str or Path
        Created when absent, appended to when there.
    columns : sequence of str
        The heading, written when the file is new.
    """

    def __init__(self, path: str | Path, columns: Sequence[str]) -> None:
        super().__init__(path)
        self.columns = tuple(columns)
        if self._is_empty:
            self._write_line(_csv_line(self.columns))

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one row; it is in the file when this returns.

        Raises
        ------
        ValueError
            If the record has a key that is no column.
        """
        if unknown := set(record) - set(self.columns):
            raise ValueError(f"{self.path} has no column {', '.join(sorted(unknown))}")
        self._write_line(_csv_line([_cell(record.get(name)) for name in self.columns]))


@contextmanager
def _written_aside(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its name, synced, when the body has ended without error."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _output(path):
        try:
            with aside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise
        sync_folder(path.parent)


def sync_folder(folder: str | Path) -> None:
    """Bring a folder's list of names to disk: a rename is durable only after that."""
    with _output(Path(folder)):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _output(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputFailedError(
            f"cannot write {path}: {_reason(error)}. Make room or give write permission, "
            "then run the same command again."
        ) from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _plain_scalar(value: Any) -> str | int | float | bool | None:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return float(value)
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)  # an IntEnum becomes its number
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON: {value!r}")


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """C order and one byte order, so that equal arrays are equal bytes on every machine."""
    array = np.asarray(array, order="C")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _array_name(path: str | Path, member: zipfile.ZipInfo) -> str:
    name, dot, extension = member.filename.rpartition(".")
    if not dot or extension != "npy" or not name.isidentifier():
        raise DataError(f"{path} holds a member named {member.filename!r}; a plain NAME.npy is due")
    if member.compress_type != zipfile.ZIP_STORED:
        raise DataError(f"{path}: {member.filename} is compressed; dgmm writes plain arrays")
    return name


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):  # reading to the end also checks the sum
            raise ValueError(f"{member.filename} is longer than its array")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _csv_line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return "" if value is None or value != value else value  # noqa: PLR0124 - NaN alone is not itself
