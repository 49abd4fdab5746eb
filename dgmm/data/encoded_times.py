"""Dates and time spans that are stored as numbers (CF conventions): refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dgmm.data.feature_names import safe_text
from dgmm.errors import DataError

#: A unit of time, and a date: "days since launch" is a duration.
_SINCE = re.compile(
    r"\s*(nano|micro|milli|[nuµm])?(s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?|d|days?|weeks?"
    r"|months?|(common_)?years?)\s+since\s+[-+]?\d",
    re.IGNORECASE,
)
#: How xarray marks time spans: their units alone are those of any measured duration.
_MARKER = re.compile(r"[<>=|]?(timedelta64|datetime64|[mM]8)\b")
#: Calendars whose dates NumPy has.
_NUMPY_CALENDARS = frozenset({"standard", "gregorian", "proleptic_gregorian"})
_WRITTEN = ".to_dataset(name=name).to_zarr(path)"
_HOUR = "numpy.timedelta64(1, 'h')"
_FROM_DATES = (
    f"; from xarray, as hours: ((ds[name] - numpy.datetime64('2000-01-01')) / {_HOUR}){_WRITTEN}"
)
_FROM_SPANS = f"; from xarray, as hours: (ds[name] / {_HOUR}){_WRITTEN}"


def refuse_times(folder: str, attributes: Mapping[str, Any]) -> None:
    """Refuse numbers that stand for dates or time spans, one of which may be NaT.

    Dates have units such as `hours since 2001-01-01`, or a calendar; time spans have the type
    `timedelta64` in the attribute `dtype`.

    Raises
    ------
    DataError
        Naming the attributes.
    """
    units, calendar = attributes.get("units"), attributes.get("calendar")
    is_since = isinstance(units, str) and _SINCE.match(units) is not None
    is_span = _MARKER.match(str(attributes.get("dtype"))) is not None
    found = [
        *(["units"] if is_since else []),
        *(["calendar"] if isinstance(calendar, str) else []),
        *(["dtype"] if is_span else []),
    ]
    if not found:
        return
    is_date = found != ["dtype"]
    in_numpy = not isinstance(calendar, str) or calendar.lower() in _NUMPY_CALENDARS
    remedy = (_FROM_DATES if in_numpy else "") if is_date else _FROM_SPANS
    shown = ", ".join(f"{name} = {safe_text(str(attributes[name]))}" for name in found)
    raise DataError(
        f"{folder}: attributes {', '.join(found)} say that the stored numbers are encoded "
        f"{'dates' if is_date else 'time spans'} ({shown}), whose missing values (NaT) are numbers "
        "too; expected measured values. dgmm does not decode them yet. Write them as float64 in "
        f"one unit, with NaN where they are missing and without these attributes{remedy}"
    )
