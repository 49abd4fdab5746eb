"""Where single rows lie: their coordinates, by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sources.labelled.coordinates import coordinate_names
from dgmm.data.sources.labelled.labelled_source import LabelledSource
from dgmm.data.sources.labelled.opening import xarray_library

#: Values of a coordinate that are read whole; of a larger one each row's alone.
_MOST_READ = 1 << 20


def row_coordinates(source: LabelledSource, rows: NDArray[np.int64]) -> dict[str, list[Any]]:
    """Coordinates of rows (m,), by name: numbers, text, and dates as ISO 8601 writes them.

    A dimension without a coordinate has the index of the row along it.
    """
    dims = source.grid.dims
    found_places = [source.grid.place_of(int(row)) for row in rows]
    places = np.array(found_places, dtype=np.int64).reshape(len(rows), len(dims))
    at = {dim: source.taken[dim][0] + places[:, i] for i, dim in enumerate(dims)}
    names = coordinate_names(source.collection, dims)
    found = {dim: at[dim].tolist() for dim in dims if dim not in names}
    return found | {name: _shown(source, name, _values(source, name, at)) for name in names}


def _values(source: LabelledSource, name: str, at: dict[str, NDArray[np.int64]]) -> NDArray[Any]:
    """A coordinate's values (m,) at the rows' indices along its dimensions."""
    collection = source.collection
    dims = collection.dims(name)
    if math.prod(stop - start for start, stop in (source.taken[dim] for dim in dims)) <= _MOST_READ:
        whole = collection.values(name, {dim: source.taken[dim] for dim in dims})
        n = len(next(iter(at.values())))
        return np.broadcast_to(whole[tuple(at[d] - source.taken[d][0] for d in dims)], (n,))
    own = zip(*(at[dim].tolist() for dim in dims), strict=True)
    each = [dict(zip(dims, ((i, i + 1) for i in place), strict=True)) for place in own]
    return np.array([collection.values(name, place).item() for place in each])


def _shown(source: LabelledSource, name: str, values: NDArray[Any]) -> list[Any]:
    """As Python's numbers and text; dates decoded, as far as xarray can."""
    attributes = source.collection.first.dataset.variables[name].attrs
    time = {key: attributes[key] for key in ("units", "calendar") if key in attributes}
    if " since " not in str(time.get("units", "")):
        return list(values.tolist())
    library = xarray_library()
    try:
        decoded = library.decode_cf(library.Dataset({name: (("row",), values, time)}))[name].values
    except (ValueError, TypeError, OverflowError):
        return list(values.tolist())
    if decoded.dtype.kind == "M":
        return list(np.datetime_as_string(decoded.astype("datetime64[s]")).tolist())
    return [str(value) for value in decoded.tolist()]
