"""What an array's metadata say its numbers and dimensions mean: CF masks and packing, and maps.

Nothing is decoded here: an array whose stored numbers are not the values meant is refused by name,
and so is a map of one variable, whose columns are no features.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from dgmm.data.feature_names import safe_text
from dgmm.data.fill_value import FillValue
from dgmm.data.zarr_node import ArrayNode, array_beside
from dgmm.errors import DataError

#: Where xarray keeps the dimensions' names in version 2.
V2_DIMENSIONS = "_ARRAY_DIMENSIONS"
#: Kinds of coordinates that measure a place or a time; text and booleans name features.
_NUMERIC = frozenset("iufmM")
_MASKS = ("_FillValue", "missing_value")
#: Values of these attributes that leave the stored numbers as they are.
_IDENTITIES = {"scale_factor": 1.0, "add_offset": 0.0}
_REMEDY = (
    "dgmm does not decode them yet. Write the decoded values (NaN where they are missing) without "
    "these attributes; from xarray: "
    "ds.drop_encoding().to_zarr(path, encoding={name: {'_FillValue': None}})"
)


class Neighbour(NamedTuple):
    """Shape and NumPy kind of an array that lies beside another."""

    shape: object
    kind: str


def refuse_encoded(folder: str, attributes: Mapping[str, Any], kind: str) -> None:
    """Refuse attributes by which stored numbers are not the values meant (CF conventions).

    A mask that is NaN, a scale of 1 and an offset of 0 need no decoding.

    Parameters
    ----------
    folder, attributes
        The array's.
    kind : str
        The array's NumPy kind: `_Unsigned` changes what integers mean.

    Raises
    ------
    DataError
        Naming the attributes.
    """
    found = [name for name in (*_IDENTITIES, *_MASKS) if _changes_values(name, attributes)]
    if _is_other_sign(attributes.get("_Unsigned"), kind):
        found.append("_Unsigned")
    if found:
        shown = ", ".join(f"{name} = {_shown(attributes[name])}" for name in found)
        raise DataError(
            f"{folder}: attributes {', '.join(found)} say that the stored numbers are encoded "
            f"({shown}), and {_REMEDY}"
        )


def fill_value_of(
    folder: str, zarr_format: int, fill_value: Any, attributes: Mapping[str, Any]
) -> FillValue | None:
    """The array's fill value where it could stand among its values; None of NaN or no value.

    In version 2 xarray keeps `_FillValue` as the array's `fill_value`, and reads every one that is
    not null as a mask. 0 is also the default of other writers, so that it is a mask only where
    cells are equal to it.

    Raises
    ------
    DataError
        If it is a mask other than 0.
    """
    value = _number(fill_value)
    if value is None or math.isnan(value):
        return None
    is_mask = zarr_format == 2 and V2_DIMENSIONS in attributes
    if is_mask and value != 0.0:
        raise DataError(
            f"{folder}: its fill_value {value:.6g} is a mask: xarray keeps _FillValue there in "
            f"Zarr version 2 (the array has {V2_DIMENSIONS}), and {_REMEDY}. If cells of that "
            "value are data, set fill_value to null in .zarray"
        )
    return FillValue(value, is_mask)


def refuse_map(node: ArrayNode, shape: tuple[int, int]) -> None:
    """Refuse a stored map of one variable: see `refuse_map_of`."""

    def beside(name: str) -> Neighbour | None:
        array = array_beside(node, name)
        return None if array is None else Neighbour(array.metadata.get("shape"), _kind(array))

    names = node.attributes.get(V2_DIMENSIONS)
    if node.zarr_format == 3:
        names = node.metadata.get("dimension_names")
    refuse_map_of(node.folder, names, shape, node.attributes, beside)


def refuse_map_of(
    source: str,
    names: object,
    shape: tuple[int, int],
    attributes: Mapping[str, Any],
    beside: Callable[[str], Neighbour | None],
) -> None:
    """Refuse a map of one variable: both dimensions have numeric coordinates, or some span both.

    An array that names its features (attribute `feature_names`) is none.

    Parameters
    ----------
    source, names, shape, attributes
        Of the array; `names` are those of its dimensions, where it has any.
    beside
        The array of a name that lies beside this one, None where there is none.

    Raises
    ------
    DataError
        Naming both dimensions.
    """
    if not _are_names(names) or attributes.get("feature_names") is not None:
        return
    coordinates = list(_coordinates(names, shape, attributes.get("coordinates"), beside))
    if not coordinates:
        return
    rows, columns = (safe_text(name) for name in names)
    raise DataError(
        f"{source}: its dimensions {rows} and {columns} have numeric coordinates "
        f"({', '.join(map(safe_text, coordinates))}): a map of one variable, expected rows × "
        f"features. Write every variable of the map as a column (from xarray: "
        f"ds.to_dataarray('feature').stack(row=('{rows}', '{columns}')).transpose('row', "
        f"'feature')). If the {shape[1]:,} columns along {columns} are features, write their names "
        "into the array's attribute feature_names (a list of strings), or leave the coordinates "
        f"of {columns} out (from xarray: ds.drop_vars('{columns}'))"
    )


def _changes_values(name: str, attributes: Mapping[str, Any]) -> bool:
    if name not in attributes:
        return False
    stored = attributes[name]
    values = [_number(v) for v in (stored if isinstance(stored, list) else [stored])]
    if name in _IDENTITIES:
        return values != [_IDENTITIES[name]]
    return not all(v is not None and math.isnan(v) for v in values)


def _is_other_sign(value: object, kind: str) -> bool:
    return {"true": "i", "false": "u"}.get(str(value).lower()) == kind


def _number(stored: Any) -> float | None:
    """The number that JSON, text or xarray's base64 of eight bytes stands for; None of none."""
    if isinstance(stored, bool | int | float | np.number | np.bool_):
        return _of_real(stored)
    if not isinstance(stored, str):
        return None
    try:
        return float(stored)
    except ValueError:
        pass
    try:
        (value,) = struct.unpack("<d", base64.b64decode(stored, validate=True))
    except (struct.error, binascii.Error, ValueError):
        return None
    return float(value)


def _shown(stored: Any) -> str:
    """A value as its attribute means it."""
    number = _number(stored)
    return safe_text(str(stored)) if number is None else f"{number:.6g}"


def _of_real(stored: Any) -> float:
    try:
        return float(stored)
    except OverflowError:
        return math.inf


def _are_names(names: object) -> TypeGuard[tuple[str, str] | list[str]]:
    """Whether both dimensions have names of their own."""
    return (
        isinstance(names, list | tuple)
        and len(names) == 2
        and all(isinstance(name, str) for name in names)
        and names[0] != names[1]
    )


def _coordinates(
    names: tuple[str, str] | list[str],
    shape: tuple[int, int],
    listed: object,
    beside: Callable[[str], Neighbour | None],
) -> list[str]:
    """Names of the arrays that make it a map: one for each dimension, or some over both."""

    def is_numeric(name: str, sizes: list[int]) -> bool:
        found = beside(name)
        return found is not None and found.kind in _NUMERIC and found.shape == sizes

    if all(is_numeric(name, [size]) for name, size in zip(names, shape, strict=True)):
        return list(names)
    others = listed.split() if isinstance(listed, str) else []
    return [name for name in others if is_numeric(name, list(shape))]


def _kind(node: ArrayNode) -> str:
    """The NumPy kind of an array's values; nothing where it is no plain type."""
    name = node.metadata.get("data_type" if node.zarr_format == 3 else "dtype")
    if isinstance(name, Mapping):  # such as numpy.datetime64, an extension of version 3
        name = str(name.get("name")).removeprefix("numpy.")
    try:
        return np.dtype(name).kind if isinstance(name, str) else ""
    except TypeError:
        return ""
