"""The coordinates of rows: found as xarray finds them, copied to a map as they are stored."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sample_grid import Interval
from dgmm.data.sources.labelled.collection import Collection
from dgmm.data.sources.labelled.opening import xarray_library
from dgmm.errors import DataError

#: Attributes that name other variables, which go with a coordinate.
_RELATED = ("bounds", "climatology", "grid_mapping")


def named_in(attributes: Mapping[str, Any]) -> list[str]:
    """Names in the attribute `coordinates`."""
    value = attributes.get("coordinates")
    return value.split() if isinstance(value, str) else []


def coordinate_names(collection: Collection, sample_dims: Sequence[str]) -> list[str]:
    """Coordinates over no other dimension than those of the rows, in the file's order.

    Those are a variable called as its dimension, and what the attribute `coordinates` of a variable
    or of the group names.
    """
    dataset = collection.first.dataset
    attributes = [dataset.attrs, *(v.attrs for v in dataset.variables.values())]
    names = {name for each in attributes for name in named_in(each)} | set(sample_dims)
    return [
        n for n in collection.names() if n in names and set(collection.dims(n)) <= {*sample_dims}
    ]


def related_names(
    collection: Collection, coordinates: Sequence[str], variable: str, sample_dims: Sequence[str]
) -> list[str]:
    """Bounds of coordinates, and the grid mapping of a variable: no coordinates for xarray."""
    variables = collection.first.dataset.variables
    found = [
        word.strip(":")
        for name in (*coordinates, variable)
        for key in _RELATED
        for word in str(variables[name].attrs.get(key, "")).split()
        if key == "grid_mapping" or name != variable
    ]
    kept = [name for name in dict.fromkeys(found) if name in variables and name not in coordinates]
    return [name for name in kept if not _is_foreign(collection, name, sample_dims)]


def _is_foreign(collection: Collection, name: str, sample_dims: Sequence[str]) -> bool:
    """Whether a variable runs over a dimension of the features, or over too many of its own."""
    return len([dim for dim in collection.dims(name) if dim not in sample_dims]) > 1


def check_joined(collection: Collection, names: Sequence[str]) -> None:
    """Refuse coordinates along `concat_dim` that files encode differently.

    Raises
    ------
    DataError
        Naming the files, the coordinate, and the attribute.
    """
    for name in names:
        if collection.concat_dim not in collection.dims(name):
            continue
        own = collection.first.dataset.variables[name].attrs
        for file in collection.files[1:]:
            found = file.dataset.variables.get(name)
            if found is None:
                raise DataError(f"{file} has no coordinate {name!r}, which {collection.first} has")
            for key in ("units", "calendar", "scale_factor", "add_offset", "_FillValue"):
                if not _is_same(own.get(key), found.attrs.get(key)):
                    raise DataError(
                        f"{file}: coordinate {name} has {key} = {found.attrs.get(key)}; expected "
                        f"{own.get(key)} as in {collection.first}: coordinates along "
                        "data.concat_dim are joined as they are stored. Write the files with one "
                        f"encoding (from xarray: encoding={{{name!r}: {{{key!r}: …}}}})"
                    )


def _is_same(a: Any, b: Any) -> bool:
    both_nan = isinstance(a, float) and isinstance(b, float) and a != a and b != b  # noqa: PLR0124
    return both_nan or bool(np.all(np.asarray(a == b)))


def stored_values(collection: Collection, name: str, taken: Mapping[str, Interval]) -> NDArray[Any]:
    """The stored values of a variable at the places that are taken, all files together."""
    dims = collection.dims(name)
    place = {dim: taken[dim] for dim in dims if dim in taken}
    parts = [segment.values for segment in collection.stored(name, place)]
    axis = dims.index(collection.concat_dim) if collection.concat_dim in dims else 0
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def copy_variables(
    collection: Collection,
    names: Sequence[str],
    taken: Mapping[str, Interval],
    attributes: Mapping[str, Any],
    path: str,
    zarr_format: int,
) -> None:
    """Copy variables into the Zarr group at a path as they are stored: values and attributes.

    One at a time is in memory. Dates are numbers all along, so no calendar changes them.
    """
    library = xarray_library()
    how = {"mode": "a", "consolidated": False, "write_empty_chunks": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # text has no specification in Zarr 3: all readers have it
        for variable in _copies(collection, names, taken):
            dataset = library.Dataset(variable, attrs=dict(attributes))
            dataset.to_zarr(path, zarr_format=zarr_format, **how)


def _copies(
    collection: Collection, names: Sequence[str], taken: Mapping[str, Interval]
) -> Iterator[dict[str, Any]]:
    library = xarray_library()
    for name in names:
        variable = collection.first.dataset.variables[name]
        values = stored_values(collection, name, taken)
        encoding = {} if "_FillValue" in variable.attrs else {"_FillValue": None}
        copied = library.Variable(variable.dims, values, dict(variable.attrs), encoding)
        # With a dimension's own coordinate xarray would build an index, and read it in the end.
        yield {name: copied}
