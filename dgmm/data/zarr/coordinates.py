"""Where an array's coordinates are found: beside it and in the groups above, or in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr

from dgmm.data.variable_maps import Neighbour, refuse_map_of
from dgmm.data.zarr.conventions import V2_DIMENSIONS
from dgmm.data.zarr.node import ArrayNode, array_beside, group_attributes


def refuse_map(node: ArrayNode, shape: tuple[int, int]) -> None:
    """Refuse a map of one variable in a local folder.

    Coordinates of the groups above count as well: xarray writes those of a DataTree once.

    Raises
    ------
    DataError
        Naming both dimensions.
    """

    def beside(name: str) -> Neighbour | None:
        array = array_beside(node, name)
        if array is None:
            return None
        return Neighbour(array.metadata.get("shape"), _kind(array), _dimensions(array))

    listed = _listed(node.attributes, *group_attributes(node))
    refuse_map_of(node.folder, _dimensions(node), shape, node.attributes, listed, beside)


def refuse_map_in_store(X: zarr.Array[Any]) -> None:
    """Refuse a map of one variable in a store that is no local folder (in memory, a zip file).

    Raises
    ------
    DataError
        Naming both dimensions.
    """
    groups = [X.path.rpartition("/")[0]]
    while groups[-1]:
        groups.append(groups[-1].rpartition("/")[0])

    def beside(name: str) -> Neighbour | None:
        for group in groups if name and "/" not in name else ():
            found = _opened(X, f"{group}/{name}".lstrip("/"))
            if isinstance(found, zarr.Array):
                kind = _marked(found.dtype.kind, found.attrs.asdict())
                return Neighbour(list(found.shape), kind, _dimensions_of(found))
        return None

    if X.ndim == 2:
        attributes = X.attrs.asdict()
        above = [_opened(X, group) for group in groups]
        listed = _listed(attributes, *(g.attrs.asdict() for g in above if g is not None))
        shape = (X.shape[0], X.shape[1])
        refuse_map_of("X", _dimensions_of(X), shape, attributes, listed, beside)


def refuse_labelled_map(X: Any) -> None:
    """Refuse an xarray.DataArray that is a map of one variable.

    Raises
    ------
    DataError
        Naming both dimensions.
    """
    dims, coords = getattr(X, "dims", None), getattr(X, "coords", None)
    if not isinstance(coords, Mapping) or not isinstance(dims, tuple) or len(dims) != 2:
        return

    def beside(name: str) -> Neighbour | None:
        if name not in coords:  # else xarray makes one up, numbers from 0
            return None
        found = coords[name]
        return Neighbour(list(found.shape), found.dtype.kind, found.dims)

    others = [name for name in coords if isinstance(name, str) and name not in dims]
    refuse_map_of("X", dims, tuple(X.shape), X.attrs, others, beside)


def _listed(*attributes: Mapping[str, Any]) -> list[str]:
    """Names in the attribute `coordinates` of an array and of its groups."""
    values = (each.get("coordinates") for each in attributes)
    return [name for value in values if isinstance(value, str) for name in value.split()]


def _dimensions(node: ArrayNode) -> object:
    if node.zarr_format == 3:
        return node.metadata.get("dimension_names")
    return node.attributes.get(V2_DIMENSIONS)


def _dimensions_of(X: zarr.Array[Any]) -> object:
    if X.metadata.zarr_format == 3:
        return X.metadata.dimension_names
    return X.attrs.asdict().get(V2_DIMENSIONS)


def _opened(X: zarr.Array[Any], path: str) -> zarr.Array[Any] | zarr.Group | None:
    """What lies at a path of the array's store; None where nothing can be read there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types without a specification, such as text
            return zarr.open(store=X.store, path=path, mode="r", zarr_format=X.metadata.zarr_format)
    except Exception:  # noqa: BLE001 - of whatever store it is
        return None


def _kind(node: ArrayNode) -> str:
    """The NumPy kind of an array's values; nothing where it is no plain type."""
    name = node.metadata.get("data_type" if node.zarr_format == 3 else "dtype")
    if isinstance(name, Mapping):  # such as numpy.datetime64, an extension of version 3
        name = str(name.get("name")).removeprefix("numpy.")
    try:
        kind = np.dtype(name).kind if isinstance(name, str) else ""
    except TypeError:
        kind = ""
    return _marked(kind, node.attributes)


def _marked(kind: str, attributes: Mapping[str, Any]) -> str:
    """The kind of what xarray stored: until 2026.7 it wrote booleans as int8, and marked them."""
    return "b" if attributes.get("dtype") == "bool" else kind
