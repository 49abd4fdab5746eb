"""What a Python user may hand over that is no array of rows × features, refused by what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import zarr
from zarr.abc.store import Store

from dgmm.data.feature_names import safe_text
from dgmm.errors import DataTypeError
from dgmm.terminal_text import listed

_EXPECTED = "expected rows × features: an array, a table of numbers, or the path of a Zarr array"
#: What makes an array of an object that is none, by the library it is of and its class.
_REMEDIES = {
    ("xarray", "DataTree"): "X['node/name'] is one of its arrays",
    ("h5py", "File"): "X['name'] is one of its arrays",
    ("h5py", "Group"): "X['name'] is one of its arrays",
    ("netCDF4", "Dataset"): "X['name'][:] is one of its arrays",
    ("numpy", "NpzFile"): "X['name'] is one of its arrays",
    ("polars", "LazyFrame"): "X.collect() is a table",
    ("sklearn", "Bunch"): "X.data is its array",
}
#: How an array of NumPy is made of another library's.
_CONVERSIONS = {
    "torch": "X.detach().cpu().numpy(), for bfloat16 X.detach().float().cpu().numpy()",
    "cupy": "X.get()",
    "cudf": "X.to_pandas()",
    "pyspark": "X.toPandas()",
    "tensorflow": "X.numpy()",
}
_MOST_NAMES = 1000


def refuse_unreadable(X: Any) -> None:
    """Refuse what is known to be no array.

    Raises
    ------
    DataTypeError
        Saying what it is, and what would do.
    """
    if X is None:
        raise DataTypeError(f"X is None; {_EXPECTED}")
    if isinstance(X, bytes | bytearray):
        raise DataTypeError(f"X is {type(X).__name__}; {_EXPECTED}. A path is text: os.fsdecode(X)")
    if isinstance(X, zarr.Group):
        names = [safe_text(name) for name in _array_names(X)]
        content = f"Its arrays: {listed(names)}" if names else "It holds no arrays"
        raise DataTypeError(
            f"X is a Zarr group (zarr.Group); expected one of its arrays, such as "
            f"X['{[*names, 'name'][0]}']. "
            f"{content}"
        )
    if isinstance(X, Store):
        raise DataTypeError(
            f"X is a zarr store ({type(X).__name__}); expected an array: zarr.open_array(X)"
        )
    if (remedy := _REMEDIES.get((library_of(X), type(X).__name__))) is not None:
        raise DataTypeError(f"X is {kind_of(X)}; {_EXPECTED}. {remedy}")
    if is_sparse(X):
        raise DataTypeError(
            f"X is {kind_of(X)}, a sparse matrix; expected a dense array: "
            f"X.{_dense(X)}() where it fits into memory. For more features than that, reduce "
            "them first (such as by sklearn.decomposition.TruncatedSVD)"
        )
    if isinstance(X, Mapping):
        raise DataTypeError(
            f"X is {kind_of(X)}; {_EXPECTED}. Of columns by name: pandas.DataFrame(X)"
        )
    if isinstance(X, Iterator):
        raise DataTypeError(f"X is {kind_of(X)}; {_EXPECTED}. Of rows: numpy.array(list(X))")


def no_array(X: Any, why: str) -> DataTypeError:
    """The error for what looks like an array and cannot be made one of NumPy's."""
    remedy = _CONVERSIONS.get(library_of(X))
    return DataTypeError(
        f"X is {kind_of(X)} and cannot be made an array of rows × features: "
        f"{safe_text(why).rstrip('.')}. Give a NumPy array{f': {remedy}' if remedy else ''}"
    )


def kind_of(X: Any) -> str:
    """The type in words: `of type list`, `of type torch.Tensor`."""
    kind, library = type(X), library_of(X)
    bare = library in {"builtins", "__main__"}
    return "of type " + safe_text(kind.__name__ if bare else f"{library}.{kind.__name__}")


def library_of(X: Any) -> str:
    """The library that X's type is of, by its name (`numpy`, `torch`)."""
    return str(type(X).__module__).partition(".")[0]


def _array_names(group: Any) -> list[str]:
    try:
        return list(islice(group.array_keys(), _MOST_NAMES))
    except Exception:  # noqa: BLE001 - the list is a help within a message; any store may fail
        return []


def is_sparse(X: Any) -> bool:
    """SciPy's and CuPy's matrices, pydata/sparse, and sparse tensors of PyTorch."""
    return hasattr(X, "toarray") or hasattr(X, "todense") or getattr(X, "is_sparse", False) is True


def _dense(X: Any) -> str:
    return next((name for name in ("toarray", "todense") if hasattr(X, name)), "to_dense")
