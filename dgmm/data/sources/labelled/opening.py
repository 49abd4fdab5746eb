"""Opening a Zarr group or a NetCDF file by xarray: lazily, as stored, once in each process."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.labelled.chunk_store import WholeChunksStore
from dgmm.data.zarr.chunk_files import ChunkFiles
from dgmm.errors import DataError, DataNotFoundError, DgmmError, UnavailableError
from dgmm.storage.retry import with_retries

if TYPE_CHECKING:
    import xarray

_METADATA = ("zarr.json", ".zgroup", ".zarray")
#: Files whose metadata a process keeps; xarray keeps as many of them open.
_MOST_OPEN = 128


def xarray_library() -> ModuleType:
    """The library.

    Raises
    ------
    UnavailableError
        If it is not installed.
    """
    try:
        import xarray  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise UnavailableError(
            f"labelled arrays are opened by xarray, which cannot be imported ({error}). Install it "
            "with: pip install 'dgmm[xarray]'"
        ) from None
    return xarray


class LabelledFile:
    """One Zarr group or NetCDF file; picklable, opened once in each process that reads it.

    Variables are as they are stored: nothing is decoded, no coordinate is read.

    Parameters
    ----------
    path : str
        Absolute.
    group : str or None
        A group within it.
    chunks : mapping
        Of a Zarr group: by name, the files of the arrays that are read.
    version : str
        What is stored, as a digest: files of one version are opened once in a process. Empty while
        it is not known.
    """

    def __init__(
        self,
        path: str,
        group: str | None = None,
        chunks: Mapping[str, ChunkFiles] | None = None,
        version: str = "",
    ) -> None:
        self.path, self.group, self.version = path, group, version
        self.chunks = dict(chunks or {})

    def __reduce__(self) -> tuple[type[LabelledFile], tuple[Any, ...]]:
        return type(self), (self.path, self.group, self.chunks, self.version)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelledFile) or type(other) is not type(self):
            return False
        return self is other or bool(self.version and self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key) if self.version else id(self)

    @property
    def _key(self) -> tuple[str, str | None, str]:
        return self.path, self.group, self.version

    def with_chunks(self, chunks: Mapping[str, ChunkFiles], version: str = "") -> LabelledFile:
        """The same file, of whose arrays the chunks are known."""
        return type(self)(self.path, self.group, chunks, version)

    def __str__(self) -> str:
        return self.root if self.is_zarr else f"{self.path}{f', {self.group}' * bool(self.group)}"

    @cached_property
    def is_zarr(self) -> bool:
        """Whether it is a folder of Zarr's."""
        return is_zarr_folder(self.path)

    @property
    def root(self) -> str:
        """The folder of the Zarr group."""
        return str(Path(self.path) / self.group) if self.group else self.path

    @cached_property
    def dataset(self) -> xarray.Dataset:
        """Its variables as they are stored.

        Raises
        ------
        DataError, DataNotFoundError
            If it cannot be opened.
        """
        return _shared(self) if self.version else self.opened_anew()

    def opened_anew(self) -> xarray.Dataset:
        """The file opened once more; see `dataset`."""
        library = xarray_library()
        options = {
            "decode_cf": False,
            "chunks": None,
            "cache": False,
            "create_default_indexes": False,
        }
        return self._checked(lambda: self._open(library, options))

    def _open(self, library: ModuleType, options: dict[str, Any]) -> Any:
        if self.is_zarr:
            store = WholeChunksStore(self.root, self.chunks)
            return library.open_dataset(store, engine="zarr", consolidated=False, **options)
        if find_spec("netCDF4") is None:
            raise UnavailableError(
                "NetCDF files are opened by xarray and netCDF4, which is not installed. Install it "
                "with: pip install 'dgmm[xarray]'"
            )
        return library.open_dataset(self.path, engine="netcdf4", group=self.group, **options)

    def _checked(self, open_file: Callable[[], xarray.Dataset]) -> xarray.Dataset:
        try:
            with warnings.catch_warnings():
                # Of types without a specification in Zarr, such as text, of variables not read.
                warnings.simplefilter("ignore")
                return with_retries(open_file)
        except (MemoryError, DgmmError):
            raise
        except FileNotFoundError:
            raise DataNotFoundError(f"data.path {safe_text(self.path)} does not exist") from None
        except PermissionError:
            raise DataNotFoundError(
                f"{safe_text(self.path)}: permission denied; it exists but is not yours to read"
            ) from None
        except Exception as error:  # of two libraries, which raise anything on damaged files
            raise DataError(
                f"{safe_text(str(self))} cannot be opened as labelled arrays: "
                f"{type(error).__name__}: {safe_text(str(error))}. Expected a Zarr group or a "
                "NetCDF file"
            ) from error

    def stored(self, name: str, place: Mapping[str, slice]) -> NDArray[Any]:
        """The stored values of a variable at [start, stop) along some of its dimensions.

        Raises
        ------
        DataError
            If they are damaged, or chunks are gone.
        """
        variable = self.dataset.variables[name]
        own = {dim: where for dim, where in place.items() if dim in variable.dims}
        try:
            return np.asarray(with_retries(lambda: variable.isel(own).values))
        except (MemoryError, DgmmError):
            raise
        except Exception as error:  # codecs raise anything on damaged bytes
            shown = ", ".join(f"{dim} {s.start} to {s.stop}" for dim, s in own.items())
            raise DataError(
                f"{safe_text(str(self))}: variable {safe_text(name)} cannot be read at {shown}: "
                f"{type(error).__name__}: {safe_text(str(error))}. Write it again"
            ) from error


@lru_cache(maxsize=_MOST_OPEN)
def _shared(file: LabelledFile) -> xarray.Dataset:
    """One opened file for all tasks of a process that are sent the same one."""
    return file.opened_anew()


def is_zarr_folder(path: str) -> bool:
    """Whether a folder holds metadata of Zarr."""
    return any((Path(path) / name).is_file() for name in _METADATA)


def decoded(name: str, dims: tuple[str, ...], stored: NDArray[Any], attributes: Any) -> Any:
    """Stored values as xarray decodes them, dates left as numbers."""
    library = xarray_library()
    variable = library.Variable(dims, stored, dict(attributes))
    return library.conventions.decode_cf_variable(name, variable, decode_times=False).values
