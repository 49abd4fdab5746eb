"""Features of labelled arrays: a variable at each place of its feature dimensions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dgmm.data.encoded_times import refuse_times
from dgmm.data.feature_names import safe_text
from dgmm.data.sample_grid import Interval
from dgmm.data.sources.labelled.collection import Collection
from dgmm.data.sources.labelled.opening import decoded
from dgmm.errors import DataError

LatitudeUnit = Literal["degrees", "radians"]
#: As CF and common files write them.
_DEGREES = re.compile(r"(deg|degrees?)[ _]?(n|s|north|south)?", re.IGNORECASE)
_RADIANS = re.compile(r"rad|radians?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable that features are made of.

    Attributes
    ----------
    name : str
    dims : tuple of str
        As stored.
    sample_dims, feature_dims : tuple of str
        Those of its dimensions, in the job's order.
    dtype
        Of its decoded values.
    stored_bytes : int
        Of one stored value.
    """

    name: str
    dims: tuple[str, ...]
    sample_dims: tuple[str, ...]
    feature_dims: tuple[str, ...]
    dtype: np.dtype[Any]
    stored_bytes: int

    @property
    def order(self) -> tuple[int, ...]:
        """Axes as stored of (samples, features)."""
        return tuple(self.dims.index(dim) for dim in (*self.sample_dims, *self.feature_dims))


def variable_of(
    collection: Collection, name: str, sample_dims: Sequence[str], feature_dims: Sequence[str]
) -> Variable:
    """A variable as features.

    Raises
    ------
    DataError
        If its values are no numbers, or dates, or it has a dimension that is neither.
    """
    dims = collection.dims(name)
    for dim in dims:
        if dim not in sample_dims and dim not in feature_dims:
            raise DataError(
                f"{collection.first}: dimension {safe_text(dim)} of variable {safe_text(name)} is "
                "neither in data.sample_dims nor in data.feature_dims; add it to one of them: rows "
                "run over the first, features over the second"
            )
    where = f"{collection.first}: variable {safe_text(name)}"
    types = [_types(file.dataset.variables[name], name, where) for file in collection.files]
    dtype = np.result_type(*(each for each, _ in types))
    return Variable(
        name,
        dims,
        tuple(dim for dim in sample_dims if dim in dims),
        tuple(dim for dim in feature_dims if dim in dims),
        dtype,
        max(size for _, size in types),
    )


def _types(variable: Any, name: str, where: str) -> tuple[np.dtype[Any], int]:
    """Type of a variable's decoded values, and bytes of a stored one."""
    refuse_times(where, variable.attrs)
    stored = np.dtype(variable.dtype)
    if stored.kind in "fiub":
        dims = tuple(map(str, variable.dims))
        values = decoded(name, dims, np.empty((0,) * len(dims), stored), variable.attrs)
        if values.dtype.kind in "fiub":
            return values.dtype, stored.itemsize
    raise DataError(
        f"{where} holds {_meaning(stored)}; expected numbers. Leave it out of data.variables"
    )


def _meaning(dtype: np.dtype[Any]) -> str:
    kinds = {"M": "dates", "m": "time spans", "c": "complex numbers", "U": "text", "S": "text"}
    return f"{kinds.get(dtype.kind, 'objects')} ({dtype})"


def row_dtype(variables: Sequence[Variable]) -> np.dtype[Any]:
    """float32 or float64: the type that holds all decoded values exactly."""
    dtype = np.result_type(np.float32, *(v.dtype for v in variables))
    return np.dtype(np.float32 if dtype == np.float32 else np.float64)


def latitude_unit(collection: Collection, name: str) -> LatitudeUnit:
    """The unit of latitudes whose cosines weigh rows; degrees where none is written.

    Raises
    ------
    DataError
        If a file has another one.
    """
    found: set[LatitudeUnit] = set()
    for file in collection.files:
        unit = str(file.dataset.variables[name].attrs.get("units", "")).strip()
        if unit and not _DEGREES.fullmatch(unit) and not _RADIANS.fullmatch(unit):
            raise DataError(
                f"{file}: data.weights takes the cosine of {safe_text(name)}, which has units = "
                f"{safe_text(unit)}; expected degrees (degrees_north) or radians. Name the "
                "variable that holds latitudes"
            )
        found.add("radians" if _RADIANS.fullmatch(unit) else "degrees")
    if len(found) > 1:
        raise DataError(
            f"data.weights takes the cosine of {safe_text(name)}, which has units = radians in "
            "some files and none in others; write the unit to each"
        )
    return found.pop()


def names_of(
    collection: Collection, variable: Variable, place: Mapping[str, Interval]
) -> list[str]:
    """Names of a variable's features: `SR[depth=50 dbar]`, or `SR`."""
    if not variable.feature_dims:
        return [safe_text(variable.name)]
    labels = [_labels(collection, dim, place[dim]) for dim in variable.feature_dims]
    places = itertools.product(*labels)
    return [safe_text(f"{variable.name}[{', '.join(each)}]") for each in places]


def _labels(collection: Collection, dim: str, interval: Interval) -> list[str]:
    """`depth=50 dbar` for each place; its index where there is no coordinate."""
    start, stop = interval
    if dim not in collection.names() or collection.dims(dim) != (dim,):
        return [f"{dim}={i}" for i in range(start, stop)]
    unit = collection.first.dataset.variables[dim].attrs.get("units")
    suffix = f" {unit}" if isinstance(unit, str) and unit and unit != "1" else ""
    values = collection.values(dim, {dim: interval})
    labels = [f"{dim}={_shown(value)}{suffix}" for value in values]
    repeated = len(set(labels)) < len(labels)
    return [f"{each}, {start + i}" for i, each in enumerate(labels)] if repeated else labels


def _shown(value: Any) -> str:
    """A coordinate: the shortest number that is the same in its type."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.floating):
        text = str(value)
        return text.removesuffix(".0")
    return str(value)
