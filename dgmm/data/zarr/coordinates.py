"""Where an array's coordinates are found, beside it, in the groups above, or in memory; names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr

from dgmm.data.feature_coordinates import names_or_why, unnamed
from dgmm.data.variable_maps import Beside, Neighbour, naming_coordinate
from dgmm.data.zarr.chunk_reading import coordinate_values
from dgmm.data.zarr.conventions import V2_DIMENSIONS
from dgmm.data.zarr.node import ArrayNode, array_beside, group_attributes

#: Names of the features, None where there are none, and warnings.
Names = tuple[Any, tuple[str, ...]]


def feature_names(node: ArrayNode, shape: tuple[int, int]) -> Names:
    """What names the features of an array in a local folder: its attribute, or a coordinate.

    Coordinates of the groups above count as well: xarray writes those of a DataTree once.

    Raises
    ------
    DataError
        If it is a map of one variable, naming both dimensions.
    """

    def beside(name: str) -> Neighbour | None:
        array = array_beside(node, name)
        if array is None:
            return None
        return Neighbour(
            *(array.metadata.get("shape"), _kind(array), _dimensions(array), array.attributes),
            read=lambda: coordinate_values(array),
        )

    listed = _listed(node.attributes, *group_attributes(node))
    return _names(node.folder, _dimensions(node), shape, node.attributes, listed, beside)


def feature_names_in_store(X: zarr.Array[Any]) -> Names:
    """The same of an array in a store that is no local folder (in memory, a zip file, remote).

    Raises
    ------
    DataError
        If it is a map of one variable, naming both dimensions.
    """
    groups = [X.path.rpartition("/")[0]]
    while groups[-1]:
        groups.append(groups[-1].rpartition("/")[0])

    def beside(name: str) -> Neighbour | None:
        for group in groups if name and "/" not in name else ():
            found = _opened(X, f"{group}/{name}".lstrip("/"))
            if isinstance(found, zarr.Array):
                return _neighbour(found)
        return None

    attributes = X.attrs.asdict()
    above = [_opened(X, group) for group in groups]
    listed = _listed(attributes, *(g.attrs.asdict() for g in above if g is not None))
    shape = (X.shape[0], X.shape[1])
    return _names("X", _dimensions_of(X), shape, attributes, listed, beside)


def feature_names_of_labelled(X: Any) -> Names:
    """The same of a two-dimensional xarray.DataArray.

    Raises
    ------
    DataError
        If it is a map of one variable, naming both dimensions.
    """
    dims, coords = getattr(X, "dims", None), getattr(X, "coords", None)
    if not isinstance(coords, Mapping) or not isinstance(dims, tuple) or len(dims) != 2:
        return None, ()

    def beside(name: str) -> Neighbour | None:
        if name not in coords:  # else xarray makes one up, numbers from 0
            return None
        found = coords[name]
        return Neighbour(
            *(list(found.shape), found.dtype.kind, found.dims, found.attrs),
            read=lambda: found.values,
        )

    others = [name for name in coords if isinstance(name, str) and name not in dims]
    return _names("X", dims, tuple(X.shape), X.attrs, others, beside)


def _names(
    source: str,
    dimensions: object,
    shape: tuple[int, int],
    attributes: Mapping[str, Any],
    listed: Sequence[str],
    beside: Beside,
) -> Names:
    name = naming_coordinate(source, dimensions, shape, attributes, listed, beside)
    if attributes.get("feature_names") is not None or name is None:
        return attributes.get("feature_names"), ()
    found = beside(name)
    if found is None:
        return None, ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types without a specification, such as text
            values = found.read()
    except Exception as error:  # noqa: BLE001 - of whatever store, or codec, it is
        return None, (unnamed(source, name, f"{type(error).__name__}: {error}"),)
    return names_or_why(name, values, found.attributes, source)


def _neighbour(found: zarr.Array[Any]) -> Neighbour:
    attributes = found.attrs.asdict()
    kind = _marked(found.dtype.kind, attributes)
    return Neighbour(
        *(list(found.shape), kind, _dimensions_of(found), attributes), read=lambda: found[...]
    )


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
