"""What labelled arrays hold, and which of them a first job would take: for `dgmm inspect`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dgmm.data.sources.labelled.collection import Collection
from dgmm.data.sources.labelled.coordinates import coordinate_names, named_in
from dgmm.data.sources.labelled.opening import LabelledFile
from dgmm.data.sources.named_paths import expanded

#: Names of dimensions over which values are features of a place more often than places.
_VERTICAL = re.compile(
    r"(depth|deptht|lev|level|pressure|pres|plev|z|height|altitude|band|channel|wavelength"
    r"|frequency|feature|variable|component)s?$",
    re.IGNORECASE,
)
_PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
#: How CF calls variables that say how good others are.
_ANCILLARY = re.compile(r"(_qc|_flag|_mask|_bnds|_bounds|status_flag)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VariableLook:
    """One variable as it is stored.

    Attributes
    ----------
    name : str
    dims : tuple of str
    dtype : str
    chunks : tuple of int or None
    attributes : mapping
        Those that say what the numbers mean: units, packing, fill values.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    chunks: tuple[int, ...] | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LabelledLook:
    """A group of labelled arrays, and the rows × features that they suggest.

    Attributes
    ----------
    sizes : mapping
        Of the dimensions.
    variables : tuple of VariableLook
    features : tuple of str
        Variables that make features; () where none are numbers over a dimension.
    sample_dims, feature_dims : tuple of str
    concat_dim : str or None
        Along which several files are joined; None for one, or where no dimension suggests itself.
    """

    sizes: Mapping[str, int]
    variables: tuple[VariableLook, ...]
    features: tuple[str, ...]
    sample_dims: tuple[str, ...]
    feature_dims: tuple[str, ...]
    concat_dim: str | None = None


def look_at_labelled(path: str, group: str | None = None) -> LabelledLook:
    """Read the metadata of a Zarr group or of a NetCDF file, or of all files that match a pattern.

    Raises
    ------
    DataError
        If it is neither, or damaged.
    UnavailableError
        If xarray is not installed.
    """
    files = [LabelledFile(str(each), group) for each in expanded(path)]
    concat_dim = _concat_dim(files)
    collection = Collection.of(files if concat_dim is not None else files[:1], concat_dim)
    names = collection.names()
    if collection.first.is_zarr:  # listed as the file system does
        names = sorted(names)
    variables = tuple(_variable(collection, name) for name in names)
    features = _features(collection, variables)
    dims = list(dict.fromkeys(dim for name in features for dim in collection.dims(name)))
    vertical = [dim for dim in dims if _is_vertical(collection, dim)]
    sample = [dim for dim in dims if dim not in vertical]
    if not sample:
        sample, vertical = dims, []
    return LabelledLook(
        *(collection.sizes, variables, tuple(features), tuple(sample), tuple(vertical)),
        concat_dim,
    )


def _concat_dim(files: Sequence[LabelledFile]) -> str | None:
    """The only dimension along which the first two files differ: in size or in coordinate."""
    if len(files) < 2:
        return None
    one, other = files[:2]
    sizes = [{str(dim): int(n) for dim, n in each.dataset.sizes.items()} for each in (one, other)]
    found = [dim for dim in sizes[0] if dim in sizes[1] and _differs(one, other, dim)]
    return found[0] if len(found) == 1 and all(found[0] in f.dataset.sizes for f in files) else None


def _differs(one: LabelledFile, other: LabelledFile, dim: str) -> bool:
    if one.dataset.sizes[dim] != other.dataset.sizes[dim]:
        return True
    if not all(dim in each.dataset.variables for each in (one, other)):
        return False
    return not np.array_equal(one.stored(dim, {}), other.stored(dim, {}))


def _variable(collection: Collection, name: str) -> VariableLook:
    stored = collection.first.dataset.variables[name]
    chunks = stored.encoding.get("preferred_chunks")
    attributes = {
        key: stored.attrs.get(key, stored.encoding.get(key))
        for key in ("units", *_PACKING)
        if key in stored.attrs
    }
    return VariableLook(
        name,
        collection.dims(name),
        str(stored.dtype),
        tuple(int(chunks[dim]) for dim in stored.dims) if chunks else None,
        attributes,
    )


def _features(collection: Collection, variables: tuple[VariableLook, ...]) -> list[str]:
    """Numbers over the most dimensions, without coordinates, flags and marks of quality."""
    stored = collection.first.dataset.variables
    others = {*coordinate_names(collection, list(collection.sizes)), *collection.sizes}
    for variable in stored.values():
        for key in ("ancillary_variables", "bounds", "grid_mapping"):
            others |= set(str(variable.attrs.get(key, "")).split())
        others |= set(named_in(variable.attrs))
    found = [
        v
        for v in variables
        if v.name not in others
        and np.dtype(v.dtype).kind in "fiu"
        and v.dims
        and not _ANCILLARY.search(v.name)
        and "flag_values" not in stored[v.name].attrs
        and "flag_masks" not in stored[v.name].attrs
    ]
    most = max((len(v.dims) for v in found), default=0)
    first = next((set(v.dims) for v in found if len(v.dims) == most), set())
    return [v.name for v in found if set(v.dims) == first]


def _is_vertical(collection: Collection, dim: str) -> bool:
    """By CF's attributes of the coordinate, where there is one; else by the name."""
    coordinate = collection.first.dataset.variables.get(dim)
    attributes = {} if coordinate is None else coordinate.attrs
    axis = str(attributes.get("axis", "")).upper()
    if axis in {"X", "Y", "T"}:
        return False
    return axis == "Z" or "positive" in attributes or _VERTICAL.match(dim) is not None
