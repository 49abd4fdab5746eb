"""Feature names from what lies along the features: the values of a coordinate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dgmm.data.feature_names import feature_names_from, safe_text
from dgmm.data.feature_units import is_same_unit
from dgmm.errors import DataError

#: `=50 dbar` or `=50` in a feature's name, up to the next coordinate.
_COORDINATE = re.compile(r"=(-?[0-9][0-9.e+-]*)((?: [^,\]]+)?)")
#: From here float32 lacks whole numbers, such as seconds since 1970.
_WHOLE_FLOAT32 = 2.0**24


def coordinate_names(dimension: str, values: Any, units: object = None) -> list[str]:
    """What the places along a dimension are called: by the coordinate's text, or `depth=50 dbar`.

    Parameters
    ----------
    dimension
        The coordinate's name.
    values : (d,)
        Texts, numbers or dates.
    units
        The unit of numbers; other things than text are none.

    Examples
    --------
    >>> coordinate_names("depth", np.array([0.5, 50.0], np.float32), "dbar")
    ['depth=0.5 dbar', 'depth=50 dbar']
    >>> coordinate_names("gene", np.array(["CD4", "CD8A"]))
    ['CD4', 'CD8A']
    """
    found = np.asarray(values)
    if found.dtype.kind not in "biufmM":
        return [value.decode() if isinstance(value, bytes) else str(value) for value in found]
    unit = f" {units}" if isinstance(units, str) and units.strip() and units != "1" else ""
    return [f"{dimension}={str(value).removesuffix('.0')}{unit}" for value in found]


def names_or_why(
    dimension: str, values: Any, attributes: Mapping[str, Any], source: str
) -> tuple[Sequence[str] | None, tuple[str, ...]]:
    """Names along a dimension; None and a warning where its coordinate gives no unique ones."""
    found = coordinate_names(dimension, values, attributes.get("units"))
    try:
        return list(feature_names_from(found, len(found), f"coordinate {dimension}")), ()
    except DataError as error:
        return None, (unnamed(source, dimension, str(error)),)


def unnamed(source: str, dimension: str, why: str) -> str:
    """The warning that a coordinate along the features names none."""
    return (
        f"{source}: coordinate {safe_text(dimension)} names no features ({safe_text(why)}); they "
        "are called x0, x1, …. A list of names in the array's attribute feature_names does"
    )


def matching_coordinates(own: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """Which of the data's features are those of a model that states a coordinate's unit, or not.

    Only of those names that the data lack: `SR[depth=50 dbar]` is the model's `SR[depth=50]`.

    Parameters
    ----------
    own
        Names of the data's features.
    names
        Of the model's.

    Raises
    ------
    DataError
        If both sides state a unit, and these differ; or if two of the model's features would be
        one of the data's.

    Examples
    --------
    >>> matching_coordinates(["SR[depth=50 dbar]", "SR[depth=5 dbar]"], ["SR[depth=5]"])
    {'SR[depth=5]': 1}
    """
    known = set(own)
    missing = [name for name in names if name not in known]
    if not missing:
        return {}
    places: dict[str, list[int]] = {}
    for i, name in enumerate(own):
        places.setdefault(_without_units(name), []).append(i)
    found: dict[str, int] = {}
    taken = {name: name for name in names if name in known}
    for name in missing:
        candidates = places.get(_without_units(name), [])
        if len(candidates) != 1:
            continue
        other = own[candidates[0]]
        pairs = zip(_units_in(name), _units_in(other), strict=True)
        if any(one and unit and not is_same_unit(one, unit) for one, unit in pairs):
            raise DataError(
                f"the data have {other} where the model has {name}: the coordinates are in other "
                "units. Convert them to the model's, or write its unit to the coordinate where "
                "both are names of one unit"
            )
        if other in taken:
            raise DataError(
                f"the data's feature {other} would be {taken[other]} and {name} of the model: the "
                "coordinates differ in their unit alone. Write the unit to the data's coordinate, "
                "and give a feature for each of the model's"
            )
        taken[other] = name
        found[name] = candidates[0]
    return found


def _units_in(name: str) -> list[str]:
    """The unit of each coordinate with a number in a feature's name; empty where it has none."""
    return [found[2].strip() for found in _COORDINATE.finditer(name)]


def _without_units(name: str) -> str:
    """A feature's name without the units of its coordinates, these as float32 has them."""
    return _COORDINATE.sub(lambda found: f"={_as_float32(found[1])}", name)


def _as_float32(text: str) -> str:
    """A coordinate of float64 as one of float32: `0.10000000149011612` is `0.1`.

    Whole numbers, dates and numbers that float32 has no place for stay as they are.
    """
    try:
        value = float(text)
    except ValueError:
        return text
    if text.lstrip("-").isdigit() or not 1e-37 < abs(value) < _WHOLE_FLOAT32:
        return text
    return str(np.float32(value)).removesuffix(".0")
