"""Which places of each dimension are taken: those whose coordinate lies in an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dgmm.data.feature_names import safe_text
from dgmm.data.sample_grid import Interval
from dgmm.data.sources.labelled.collection import Collection, unknown
from dgmm.errors import DataError


def selected(
    collection: Collection, dims: Sequence[str], select: Mapping[str, Any]
) -> dict[str, Interval]:
    """By dimension, the interval of indices that is taken: all of them where `select` has none.

    Both ends of an interval of coordinates are included, in either order; null is open.

    Raises
    ------
    DataError
        If there is no such dimension or coordinate, it is not a numeric one, or what is taken is
        empty or not contiguous.
    """
    sizes = collection.sizes
    for name in select:
        if name not in dims:
            what = f"dimension {safe_text(str(name))!r} (data.select) among those of the variables"
            raise unknown(str(collection.first), what, str(name), list(dims))
    taken = {dim: (0, sizes[dim]) for dim in dims}
    return taken | {str(dim): _interval(collection, str(dim), ends) for dim, ends in select.items()}


def _interval(collection: Collection, dim: str, ends: Any) -> Interval:
    where = f"{collection.first}: data.select of {safe_text(dim)}"
    low, high = _ends(where, ends)
    if dim not in collection.names() or collection.dims(dim) != (dim,):
        raise DataError(
            f"{where}: the dimension has no coordinate to select by; leave it out, or write one"
        )
    values = collection.values(dim, {})
    if values.dtype.kind not in "fiu":
        raise DataError(f"{where}: its coordinate is {values.dtype}, no numbers; leave it out")
    inside = np.flatnonzero((values >= low) & (values <= high))
    if not len(inside):
        raise DataError(
            f"{where}: no coordinate lies in [{low:g}, {high:g}]; they run from "
            f"{np.nanmin(values):g} to {np.nanmax(values):g}{_unit_of(collection, dim)}"
        )
    start, stop = int(inside[0]), int(inside[-1]) + 1
    if len(inside) != stop - start:
        raise DataError(
            f"{where}: the places in [{low:g}, {high:g}] are not contiguous, as the coordinate is "
            "not sorted; select contiguous places, or sort the data by it"
        )
    return start, stop


def _ends(where: str, ends: Any) -> tuple[float, float]:
    is_pair = isinstance(ends, list | tuple) and len(ends) == 2
    numbers = (
        [-np.inf if ends[0] is None else ends[0], np.inf if ends[1] is None else ends[1]]
        if (is_pair)
        else []
    )
    if not numbers or not all(isinstance(v, int | float) and v == v for v in numbers):  # noqa: PLR0124 - NaN
        raise DataError(
            f"{where} is {safe_text(repr(ends))}; expected [first, last], two numbers in the "
            "coordinate's stored units (dates are numbers too)"
        )
    return min(numbers), max(numbers)


def _unit_of(collection: Collection, dim: str) -> str:
    unit = collection.first.dataset.variables[dim].attrs.get("units")
    return f" {safe_text(unit)}" if isinstance(unit, str) else ""
