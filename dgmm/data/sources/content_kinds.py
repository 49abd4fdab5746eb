"""What a path holds, told by the first bytes of its files and never by its name."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from dgmm.data.data_source import DataSource
from dgmm.data.sources.hdf5.marks import marks_of
from dgmm.data.sources.named_paths import expanded, is_hidden
from dgmm.data.zarr.node import read_local
from dgmm.errors import DgmmError
from dgmm.storage.regular_files import open_regular

#: `zarr`: an array or a group of version 2 or 3; `hdf5`: neither AnnData nor NetCDF.
ContentKind = Literal[
    "zarr", "anndata", "netcdf", "hdf5", "parquet", "csv", "npy", "npz", "other", "unknown"
]
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
NPY_SIGNATURE = b"\x93NUMPY"
_SIGNATURES: tuple[tuple[bytes, ContentKind], ...] = (
    (b"PAR1", "parquet"),
    (NPY_SIGNATURE, "npy"),
    (b"CDF\x01", "netcdf"),
    (b"CDF\x02", "netcdf"),
    (b"CDF\x05", "netcdf"),
)
#: Text that pyarrow reads compressed.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
#: Formats that are recognised to be refused by name; docs/data.md shows how some are written anew.
_OTHERS = {
    b"SIMPLE  =": "a FITS file",
    b"root": "a ROOT file",
    b"FCS2.0": "an FCS file",
    b"FCS3.": "an FCS file",
    b"ARROW1": "an Arrow IPC (Feather) file",
    b"FEA1": "a Feather file of version 1",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"MATLAB 5.0 MAT-file": "a MATLAB file",
    b"SQLite format 3\0": "an SQLite data base",
    b"GRIB": "a GRIB file",
    b"\x89PNG": "a PNG image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an Excel file of before 2007",
    b"\x1f\x9d": "a compress (.Z) file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x80\x02": "a pickle, which is never read",
    b"\x80\x03": "a pickle, which is never read",
    b"\x80\x04": "a pickle, which is never read",
    b"\x80\x05": "a pickle, which is never read",
}
#: HDF5 may follow a block of the user's own, of 512 bytes doubled any number of times.
_USER_BLOCKS = (512, 1024, 2048, 4096)
_HEAD = 1 << 16
_MOST_FILES = 2000
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zmetadata")
_UNICODE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")


@dataclass(frozen=True, slots=True)
class Content:
    """What a path holds.

    Attributes
    ----------
    kind : str
    words : str
        For messages: `an AnnData file (HDF5)`.
    """

    kind: ContentKind
    words: str


def content_of(path: str) -> Content:
    """What a file or folder holds; the first regular file of a folder of tables decides.

    Raises
    ------
    DataNotFoundError
        If the path is not readable.
    UnavailableError
        If storage fails in a way that may pass, for longer than it is waited for.
    """
    where = Path(path)
    if where.is_dir():
        return _folder(where)
    head = read_local(lambda: _head(where), str(where))
    return Content("unknown", "no file") if head is None else _file(where, head)


def kind_at(source: DataSource) -> ContentKind:
    """The kind of the first thing that a job's paths name; `unknown` where nothing can be read."""
    try:
        return content_of(first_of(source)).kind
    except (DgmmError, OSError):
        return "unknown"


def first_of(source: DataSource) -> str:
    """The first file or folder that a job's paths name.

    Raises
    ------
    DataNotFoundError
        If there is none.
    """
    return str(expanded((source.paths or (source.path,))[0])[0])


def _head(path: Path) -> bytes:
    with open_regular(path, buffering=0) as file:
        return file.read(_HEAD)


def _file(path: Path, head: bytes) -> Content:
    if head.startswith(HDF5_SIGNATURE) or any(
        head[at : at + 8] == HDF5_SIGNATURE for at in _USER_BLOCKS
    ):
        return _hdf5(path, head)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path)
    return _signed(head) or _text(head)


def _signed(head: bytes) -> Content | None:
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return Content(kind, _WORDS[kind])
    for signature, words in _OTHERS.items():
        if head.startswith(signature):
            return Content("other", words)
    return None


def _text(head: bytes) -> Content:
    for signature, words in _COMPRESSED.items():
        if head.startswith(signature):
            return Content("csv", f"a file compressed by {words}, read as text (CSV)")
    if _is_text(head):
        return Content("csv", _WORDS["csv"])
    what = "an empty file" if not head else f"a file that begins with {head[:8]!r}"
    return Content("unknown", what)


_WORDS: dict[ContentKind, str] = {
    "parquet": "a Parquet file",
    "npy": "a .npy file",
    "netcdf": "a NetCDF file",
    "csv": "a text file (CSV)",
}


def _hdf5(path: Path, head: bytes) -> Content:
    """NetCDF-4 and AnnData are HDF5, and mark the root group.

    Where h5py is not installed, or the file is damaged, the first bytes are searched: attributes
    of the root group come early in what the libraries write.
    """
    marks = marks_of(str(path))
    if marks is None:
        is_anndata = b"encoding-type" in head and b"anndata" in head
        marks = {"anndata"} if is_anndata else {"netcdf"} if b"_NCProperties" in head else set()
    if "anndata" in marks:
        return Content("anndata", "an AnnData file (HDF5)")
    if "netcdf" in marks:
        return Content("netcdf", "a NetCDF-4 file (HDF5)")
    return Content("hdf5", "an HDF5 file")


def _zip(path: Path) -> Content:
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        return Content("unknown", f"a damaged zip archive ({error})")
    if names and all(name.endswith(".npy") for name in names):
        return Content("npz", "a .npz file")
    if "xl/workbook.xml" in names:
        return Content("other", "an Excel workbook")
    if any(name.rpartition("/")[2] in _ZARR_FILES for name in names):
        return Content("other", "a Zarr store in a zip archive: unpack it")
    return Content("other", "a zip archive: unpack it")


def _is_text(head: bytes) -> bool:
    if head.startswith(_UNICODE_MARKS):
        return True
    control = sum(head.count(byte) for byte in range(32) if byte not in b"\t\n\r\f")
    return bool(head) and control == 0


def _folder(folder: Path) -> Content:
    if any((folder / name).is_file() for name in _ZARR_FILES):
        return _zarr(folder)
    for file in _files(folder):
        if file.name in _ZARR_FILES:
            return Content("zarr", "a folder of Zarr arrays")
        found = content_of(str(file))
        if found.kind != "unknown":
            return Content(found.kind, f"a folder whose first file is {found.words}")
    return Content("unknown", "a folder without files that are read")


def _zarr(folder: Path) -> Content:
    """AnnData's groups are marked as such, and old ones are known by their members."""
    files = [folder / name for name in ("zarr.json", ".zattrs")]
    marks = b"".join(read_local(partial(_head, file), str(file)) or b"" for file in files)
    is_marked = b"encoding-type" in marks and b'"anndata"' in marks
    has_members = (folder / "obs").is_dir() and (folder / "var").is_dir()
    if is_marked or (has_members and (folder / "obsm").is_dir()):
        return Content("anndata", "an AnnData store (Zarr)")
    return Content("zarr", "a Zarr array or group")


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below a folder, hidden ones left out; folders after files, by name."""
    waiting, n_seen = [folder], 0
    for each in waiting:
        entries = sorted(os.scandir(each), key=lambda entry: entry.name)
        for entry in entries:
            n_seen += 1
            if n_seen > _MOST_FILES:
                return
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                waiting.append(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)
