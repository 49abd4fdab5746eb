"""Reading the rows of a part: stored values once, decoded and laid out as rows batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sample_grid import Box, Interval, cut
from dgmm.data.sources.array_values import check_exact
from dgmm.data.sources.labelled.collection import Collection, Segment
from dgmm.data.sources.labelled.features import Variable
from dgmm.data.sources.labelled.opening import decoded
from dgmm.data.zarr.conventions import meaning_of
from dgmm.errors import DataError

#: Decoded bytes of a batch.
BATCH_BYTES = 8 * 1024 * 1024

_PACKED = ("scale_factor", "add_offset")
_RANGES = ("valid_range", "valid_min", "valid_max")


@dataclass(frozen=True, slots=True)
class VariableValues:
    """The stored values of a variable at the places of a part.

    Attributes
    ----------
    variable : Variable
    segments : list of Segment
        Axes in the order samples, features; of one file each.
    axis : int
        Along which the segments are joined.
    sample_axes : tuple of int or None
        For each sample dimension of the rows the axis of the values; None where it is broadcast.
    origin : tuple of int
        Index of the first value along each sample dimension.
    """

    variable: Variable
    segments: list[Segment]
    axis: int
    sample_axes: tuple[int | None, ...]
    origin: tuple[int, ...]

    def rows(self, box: Box) -> NDArray[Any]:
        """Decoded values of the places of a box, as rows (b, features)."""
        place: list[Any] = [slice(None)] * len(self.variable.dims)
        for (start, stop), axis, origin in zip(box, self.sample_axes, self.origin, strict=True):
            if axis is not None:
                place[axis] = slice(start - origin, stop - origin)
        dims = (*self.variable.sample_dims, *self.variable.feature_dims)
        parts = [self._decoded(segment, dims, tuple(place)) for segment in self.segments]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, self.axis)
        n_sample = len(self.variable.sample_dims)
        shape = tuple(
            1 if axis is None else stop - start
            for (start, stop), axis in zip(box, self.sample_axes, strict=True)
        )
        features = int(np.prod(values.shape[n_sample:]))
        spread = tuple(stop - start for start, stop in box)
        laid_out = values.reshape(*shape, features)
        return np.broadcast_to(laid_out, (*spread, features)).reshape(-1, features)

    def _decoded(self, segment: Segment, dims: tuple[str, ...], place: Any) -> NDArray[Any]:
        """Values of one file; those outside a valid range, which xarray ignores, are refused."""
        stored = segment.values[place]
        values: NDArray[Any] = decoded(self.variable.name, dims, stored, segment.attributes)
        where = f"{segment.path}: variable {safe_text(self.variable.name)}"
        _check_integers(where, stored, values, segment.attributes)
        if not any(name in segment.attributes for name in _RANGES):
            return values
        valid = meaning_of(where, segment.attributes, stored.dtype, 3, None).valid_range
        if valid is not None and (count := valid.count_outside(values)):
            raise DataError(f"{where}: {valid.refusal(f'{count:,} of the {values.size:,} read')}")
        return values


def _check_integers(
    where: str, stored: NDArray[Any], values: NDArray[Any], attributes: Mapping[str, Any]
) -> None:
    """Refuse integers that rows would round; packed ones are decoded to floats and are exempt."""
    if (
        stored.dtype.kind not in "iu"
        or stored.itemsize < 8
        or any(n in attributes for n in _PACKED)
    ):
        return
    if attributes.get("_Unsigned") == "true":
        stored = stored.view(stored.dtype.str.replace("i", "u"))
    is_masked = values.dtype.kind == "f"
    check_exact(stored[~np.isnan(values)] if is_masked else stored, where)


def read_variable(
    collection: Collection,
    variable: Variable,
    dims: Sequence[str],
    box: Box | None,
    taken: Mapping[str, Interval],
) -> VariableValues:
    """Read a variable at the places of a box of rows, or at all places that are taken."""
    place = {dim: taken[dim] for dim in variable.dims}
    origin = [0] * len(dims)
    if box is not None:
        for number, (dim, (start, stop)) in enumerate(zip(dims, box, strict=True)):
            if dim in variable.dims:
                first = taken[dim][0]
                place[dim] = (first + start, first + stop)
                origin[number] = start
    segments = [
        replace(s, values=np.transpose(s.values, variable.order))
        for s in collection.stored(variable.name, place)
    ]
    ordered = (*variable.sample_dims, *variable.feature_dims)
    axis = ordered.index(collection.concat_dim) if collection.concat_dim in ordered else 0
    axes = tuple(
        variable.sample_dims.index(dim) if dim in variable.sample_dims else None for dim in dims
    )
    return VariableValues(variable, segments, axis, axes, tuple(origin))


def batches(
    columns: Sequence[VariableValues], box: Box, n_features: int, dtype: np.dtype[Any]
) -> Iterator[tuple[Box, NDArray[Any]]]:
    """Yield the rows of a box in order, (b, d) at a time, each with its own box."""
    most = max(1, BATCH_BYTES // (n_features * dtype.itemsize))
    for piece in cut(box, most):
        n_rows = int(np.prod([stop - start for start, stop in piece]))
        rows, first = np.empty((n_rows, n_features), dtype), 0
        for each in columns:
            values = each.rows(piece)
            rows[:, first : first + values.shape[1]] = values
            first += values.shape[1]
        yield piece, rows
