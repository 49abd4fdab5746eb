"""Coordinates of an array: what names its features, and maps of one variable, refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard

from dgmm.data.feature_names import safe_text
from dgmm.errors import DataError

#: Kinds of coordinates that measure a place or a time; text and booleans name features.
_NUMERIC = frozenset("iufmM")
_BOOLEAN = "b"


class Neighbour(NamedTuple):
    """An array that may be another's coordinate: its shape, NumPy kind and dimensions' names.

    The kind is "" of text and of other types that are no numbers; `dimensions` is None where they
    have no names. `read` gives its values.
    """

    shape: object
    kind: str
    dimensions: object = None
    attributes: Mapping[str, Any] = MappingProxyType({})
    read: Callable[[], Any] = tuple


Beside = Callable[[str], Neighbour | None]


@dataclass(frozen=True, slots=True)
class _Coordinates:
    """Names of numeric coordinates: along rows, along columns, and over both dimensions.

    `naming` is the one along columns, of any kind, that can name them.
    """

    rows: list[str]
    columns: list[str]
    both: list[str]
    naming: str | None

    def make_a_map(self) -> bool:
        """Whether rows and columns are places or times alike."""
        return bool(self.both or (self.rows and self.columns))


def naming_coordinate(
    source: str,
    names: object,
    shape: tuple[int, int],
    attributes: Mapping[str, Any],
    listed: Sequence[str],
    beside: Beside,
) -> str | None:
    """The coordinate along the columns that names them, where there is one.

    A map of one variable is refused: both dimensions have numeric coordinates, or some span both.
    An array that names its features (attribute `feature_names`, or text along its columns) is
    none.

    Parameters
    ----------
    source, names, shape, attributes
        Of the array; `names` are those of its dimensions, where it has any.
    listed
        Names of coordinates that are not called as their dimension.
    beside
        The array of a name that lies beside this one, None where there is none.

    Raises
    ------
    DataError
        Naming both dimensions.
    """
    if not _are_names(names) or attributes.get("feature_names") is not None:
        return None
    found = _coordinates(names, shape, list(dict.fromkeys(listed)), beside)
    if not found.make_a_map():
        return found.naming
    rows, columns = (safe_text(name) for name in names)
    shown = ", ".join(safe_text(name) for name in (*found.rows, *found.columns, *found.both))
    dropped = [safe_text(name) for name in (*found.columns, *found.both)]
    raise DataError(
        f"{source}: its dimensions {rows} and {columns} have numeric coordinates ({shown}): a map "
        f"of one variable, expected rows × features. A map? sample_dims: [{rows}, {columns}] makes "
        "each of its points a row; so does writing every variable of the map as a column (from "
        f"xarray: {_stacked(rows, columns)}, and fit its array rows). If the {shape[1]:,} "
        f"columns along {columns} are features, write their names into the array's attribute "
        f"feature_names (a list of strings), or leave the coordinates of {columns} out (from "
        f"xarray: ds.drop_vars({dropped[0] if len(dropped) == 1 else dropped!r}))"
    )


def _stacked(rows: str, columns: str) -> str:
    """Python by which a map's variables become columns of an array `rows` in a store."""
    row = "sample" if "row" in {rows, columns} else "row"
    feature = "variable" if "feature" in {rows, columns} else "feature"
    return (
        f"ds.to_dataarray({feature!r}).stack({row}=({rows!r}, {columns!r}))"
        f".transpose({row!r}, {feature!r}).reset_index({row!r}).to_dataset(name='rows')"
        f".drop_encoding().chunk({row}=65536, {feature}=-1).to_zarr(path)"
    )


def _are_names(names: object) -> TypeGuard[Sequence[str]]:
    """Whether both dimensions have names of their own."""
    return (
        isinstance(names, list | tuple)
        and len(names) == 2
        and all(isinstance(name, str) for name in names)
        and names[0] != names[1]
    )


def _coordinates(
    names: Sequence[str], shape: tuple[int, int], listed: list[str], beside: Beside
) -> _Coordinates:
    arrays = {name: beside(name) for name in dict.fromkeys((*names, *listed))}
    found = {name: array for name, array in arrays.items() if array is not None}
    others = {name: array for name, array in found.items() if name in listed}
    both = [
        name
        for name, array in others.items()
        if array.kind in _NUMERIC and array.shape == list(shape)
    ]
    along = [
        {name: a for name, a in found.items() if _lies_along(name, a, axis, names, shape)}
        for axis in (0, 1)
    ]
    named_by_text = names[1] not in along[1] and bool(_texts(along[1]))
    columns = [] if named_by_text else _numeric(names[1], along[1])
    naming = _naming(names[1], along[1])
    return _Coordinates(_numeric(names[0], along[0]), columns, both, naming)


def _numeric(dimension: str, along: Mapping[str, Neighbour]) -> list[str]:
    """Names of the numeric coordinates along a dimension; none where its own is of another kind."""
    own = along.get(dimension)
    if own is not None and not _is_numeric(own):
        return []
    return [name for name, array in along.items() if _is_numeric(array)]


def _naming(dimension: str, along: Mapping[str, Neighbour]) -> str | None:
    """The dimension's own coordinate, else the only text or the only numbers along it."""
    if dimension in along:
        return dimension if along[dimension].kind != _BOOLEAN else None
    only = _texts(along) or _numeric(dimension, along)
    return only[0] if len(only) == 1 else None


def _texts(along: Mapping[str, Neighbour]) -> list[str]:
    return [n for n, array in along.items() if not _is_numeric(array) and array.kind != _BOOLEAN]


def _is_numeric(array: Neighbour) -> bool:
    return array.kind in _NUMERIC


def _lies_along(
    name: str, array: Neighbour, axis: int, names: Sequence[str], shape: tuple[int, int]
) -> bool:
    """Whether an array has that dimension alone; told by its size where dimensions lack names."""
    if array.shape != [shape[axis]]:
        return False
    if name in names:
        return name == names[axis]
    if isinstance(array.dimensions, list | tuple):
        return list(array.dimensions) == [names[axis]]
    return shape[0] != shape[1]
