"""A value of the data in messages: with the digits that tell it from its neighbours."""

from __future__ import annotations

import numpy as np


def exact(value: float) -> str:
    """The value in as many digits as it was written with, at most 12.

    Six digits are too few for identifiers and for data far from the origin (10,000,001 would read
    1e+07). A value that float32 holds exactly gets the digits of float32: 0.1, not 0.100000001490.
    """
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return f"{float(str(single)) if float(single) == value else value:.12g}"
