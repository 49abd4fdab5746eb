"""An HDF5 file's groups and datasets, opened once in each process; faults in plain words."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import getitem
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.file_version import FileVersion
from dgmm.data.validation import native
from dgmm.errors import DataError, UnavailableError
from dgmm.storage.retry import is_transient, with_retries

T = TypeVar("T")
MISSING_LIBRARY = "reading HDF5 needs h5py: pip install 'dgmm[hdf5]'"


@dataclass(frozen=True, slots=True)
class Hdf5File:
    """How an HDF5 file is opened: the version that was described."""

    version: FileVersion

    @property
    def path(self) -> str:
        """The file."""
        return self.version.path

    def open(self) -> Hdf5Hierarchy:
        """Its groups and datasets.

        Raises
        ------
        DataError
            If it is damaged, or another version lies there now.
        UnavailableError
            If h5py is not installed.
        """
        return _opened(self.version)

    def fingerprint(self) -> dict[str, Any]:
        """Size and time of the file."""
        return self.version.fingerprint()

    def check_unchanged(self) -> None:
        """Raise a DataError if the file has changed since it was described."""
        self.version.check_unchanged()


@functools.lru_cache(maxsize=8)
def _opened(version: FileVersion) -> Hdf5Hierarchy:
    version.check_unchanged()
    try:
        import h5py  # noqa: PLC0415 - an extra of dgmm
    except ImportError:
        raise UnavailableError(f"{version.path}: {MISSING_LIBRARY}") from None
    file = _in_words(lambda: h5py.File(version.path, "r", locking="best-effort"), version.path)
    return Hdf5Hierarchy(version.path, file)


@dataclass(frozen=True, slots=True, eq=False)
class Hdf5Hierarchy:
    """An open file; `file` is h5py's."""

    where: str
    file: Any

    def attributes(self, path: str) -> Mapping[str, Any]:
        """Attributes of a group; empty where there is none."""
        found = self._found(path)
        return {} if found is None else _attributes(found, self.where)

    def members(self, path: str) -> dict[str, Literal["array", "group"]]:
        """What a group holds; links that lead nowhere are left out."""
        group = self._found(path)
        if group is None or not hasattr(group, "keys"):
            return {}
        names = _in_words(lambda: sorted(group.keys()), self.where)
        found = {name: self._found(f"{path}/{name}") for name in names}
        return {
            name: "array" if hasattr(each, "shape") else "group"
            for name, each in found.items()
            if each is not None
        }

    def array(self, path: str) -> Hdf5Array | None:
        """The dataset of that path; None where there is none."""
        found = self._found(path)
        is_array = found is not None and hasattr(found, "shape")
        return Hdf5Array(f"{self.where}: {safe_text(path)}", found) if is_array else None

    def _found(self, path: str) -> Any:
        name = path.strip("/") or "/"
        try:
            return _in_words(lambda: _followed(self.file, name), self.where)
        except KeyError:  # such as a link to a file that is not there
            return None


@dataclass(frozen=True, slots=True, eq=False)
class Hdf5Array:
    """An open dataset; `dataset` is h5py's."""

    where: str
    dataset: Any

    is_sequential = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes; none for a dataset without a data space."""
        return tuple(self.dataset.shape or ())

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value, in native byte order."""
        return native(self.dataset.dtype)

    @property
    def is_text(self) -> bool:
        """Whether its values are text, of fixed length or not."""
        import h5py  # noqa: PLC0415 - an extra of dgmm

        return h5py.check_string_dtype(self.dataset.dtype) is not None

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a chunk; None where the values lie in one piece."""
        chunks = self.dataset.chunks
        return None if chunks is None else tuple(chunks)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The dataset's own."""
        return _attributes(self.dataset, self.where)

    def n_absent(self) -> int:
        """Chunks without storage: HDF5 reads its fill value there without a word."""
        data = self.dataset
        if data.is_virtual or data.external or math.prod(self.shape) == 0:
            return 0
        if data.chunks is None:
            return int(data.id.get_storage_size() == 0)
        n_chunks: int = math.prod(-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True))
        return n_chunks - int(_in_words(data.id.get_num_chunks, self.where))

    def batches(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[Any]]:
        """Yield [start, stop) of the first dimension, `n_rows` at a time, text as objects."""
        values = self.dataset.asstr() if self.is_text else self.dataset
        for first in range(start, stop, n_rows):
            last = min(first + n_rows, stop)
            place = f"{self.where}, rows {first:,} to {last - 1:,}"
            yield np.asarray(_in_words(partial(getitem, values, slice(first, last)), place))


def _followed(file: Any, name: str) -> Any:
    """What lies at a path; None where its links lead nowhere, or to one another."""
    try:
        return file.get(name)
    except RuntimeError as error:
        if "too many links" in str(error):
            return None
        raise


def _attributes(found: Any, where: str) -> dict[str, Any]:
    """Attributes as plain values; those of types that h5py does not read are left out."""
    attributes: dict[str, Any] = {}
    for name in _in_words(lambda: list(found.attrs.keys()), where):
        try:
            value = found.attrs[name]
        except (OSError, TypeError, KeyError, ValueError):
            continue
        attributes[name] = _plain(value)
    return attributes


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _in_words(read: Callable[[], T], where: str) -> T:
    """What `read` returns; h5py's errors as one that says what is damaged.

    Raises
    ------
    DataError
        If the file is cut, damaged, or its chunks are packed by a filter that is not installed.
    UnavailableError
        If storage fails for longer than it is waited for.
    """
    try:
        return with_retries(read)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: its text is not UTF-8 ({error.reason})") from None
    except (OSError, RuntimeError, ValueError) as error:
        if is_transient(error):
            raise UnavailableError(
                f"{where}: cannot be read: {error}. Run the same command again when the storage "
                "is back (storage.retry_s: how long it is waited for)"
            ) from None
        text = safe_text(str(error))
        if "filter" in text and ("required" in text or "plugin" in text):
            raise DataError(
                f"{where}: its chunks are packed by a filter that h5py does not have ({text}). "
                "Install it (pip install hdf5plugin, and set HDF5_PLUGIN_PATH to its folder), or "
                "write the file again with gzip"
            ) from None
        raise DataError(
            f"{where}: cut or damaged, HDF5 cannot read it ({text}). Restore it from its source"
        ) from None
