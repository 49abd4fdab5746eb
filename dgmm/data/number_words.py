"""Numbers in messages: values of the data, and sizes."""

from __future__ import annotations

import math

import numpy as np

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def exact(value: float) -> str:
    """The value in as many digits as it was written with, at most 12.

    Six digits are too few for identifiers and for data far from the origin (10,000,001 would read
    1e+07). A value that float32 holds exactly gets the digits of float32: 0.1, not 0.100000001490.
    Integers below 10¹² have all of theirs.
    """
    if abs(value) < 1e12 and float(value).is_integer():
        return f"{value:.0f}"
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return f"{float(str(single)) if float(single) == value else value:.12g}"


def in_units(n_bytes: float) -> str:
    """Bytes in the largest unit of which there is one."""
    power = min(int(math.log(n_bytes, 1024)), len(_UNITS) - 1) if n_bytes else 0
    number = n_bytes / 1024**power
    return f"{number:.3g} {_UNITS[power]}" if number < 999.5 else f"{number:,.0f} {_UNITS[power]}"
