"""What an HDF5 file's root group says that the file is: AnnData, NetCDF-4, or neither."""

from __future__ import annotations

from typing import Any


def marks_of(path: str) -> set[str] | None:
    """`anndata` or `netcdf` where the root group bears it; None where h5py cannot look.

    NetCDF-4 before 2016 wrote no `_NCProperties`; its dimensions are known by an attribute of
    their scales.
    """
    try:
        import h5py  # noqa: PLC0415 - an extra of dgmm
    except ImportError:
        return None
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return {mark for mark, is_there in _TESTS.items() if is_there(file)}
    except (OSError, RuntimeError, KeyError):
        return None


def _is_anndata(file: Any) -> bool:
    marked = file.attrs.get("encoding-type")
    return marked in {"anndata", b"anndata"} or {"obs", "var"} <= set(file.keys())


def _is_netcdf(file: Any) -> bool:
    if "_NCProperties" in file.attrs:
        return True
    first = (file.get(name) for name in sorted(file.keys())[:100])
    return any(each is not None and "_Netcdf4Dimid" in each.attrs for each in first)


_TESTS = {"anndata": _is_anndata, "netcdf": _is_netcdf}
