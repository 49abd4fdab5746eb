"""Numbers as attributes hold them: JSON, text, arrays, or xarray's base64 of eight bytes."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any

import numpy as np

from dgmm.data.feature_names import safe_text
from dgmm.data.number_words import exact


def numbers_in(stored: Any) -> list[float | None]:
    """The numbers of an attribute, one or several; None for what is no number."""
    values = stored.ravel() if isinstance(stored, np.ndarray) else stored
    several = isinstance(values, list | tuple | np.ndarray)
    return [number_of(value) for value in (values if several else [values])]


def number_of(stored: Any) -> float | None:
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


def shown(stored: Any) -> str:
    """A value as its attribute means it."""
    number = number_of(stored)
    return safe_text(str(stored)) if number is None else exact(number)


def _of_real(stored: Any) -> float | None:
    try:
        return float(stored)
    except OverflowError:
        return math.inf
    except TypeError:  # a complex number
        return None
