"""Formats that a job's rows are stored in; another package adds its own to `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dgmm.data.stored_dataset import StoredDataset
from dgmm.registry import Registry


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where rows lie.

    Attributes
    ----------
    path : str
        Absolute.
    array : str or None
        Name of the array, in a format that holds several.
    absent_chunks : {"error", "fill"}
        Whether parts that were never written are an error or hold the fill value.
    """

    path: str
    array: str | None = None
    absent_chunks: Literal["error", "fill"] = "error"


#: Opens rows and reads nothing but metadata; the data set is picklable, for workers.
Format = Callable[[DataSource], StoredDataset]


def format_name(name: str) -> str:
    """The format that a job's `data.format` means; `auto` is Zarr."""
    return "zarr" if name == "auto" else name


def open_stored(name: str, source: DataSource) -> StoredDataset:
    """Open rows in the format of that name, or `auto`.

    Raises
    ------
    DataError
        If there is no such format, or the rows are none of it.
    DataNotFoundError
        If the path is absent or not readable.
    """
    return FORMATS.named(format_name(name))(source)


def _zarr(source: DataSource) -> StoredDataset:
    from dgmm.data.zarr.dataset import open_zarr  # noqa: PLC0415 - job files are checked without it

    return open_zarr(source.path, source.array, absent_chunks=source.absent_chunks)


FORMATS: Registry[Format] = Registry("data.format", "dgmm.formats", {"zarr": _zarr}, Callable)
