"""Feature names from what lies along the features: the values of a coordinate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dgmm.data.feature_names import feature_names_from, safe_text
from dgmm.errors import DataError


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
