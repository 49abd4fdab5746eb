"""Colour maps: viridis for order, red and blue about a middle, blues for amounts.

Viridis (van der Walt and Smith 2015) at 17 places, interpolated: within 6 of 256 levels of it. The
others are ColorBrewer's (Harrower and Brewer 2003).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def _table(text: str) -> NDArray[np.float64]:
    return np.array([list(bytes.fromhex(colour)) for colour in text.split()]) / 255.0


VIRIDIS = _table(
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 "
    "84d44b addc30 d8e219 fde725"
)
DIVERGING = _table("053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f")
BLUES = _table("f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b")


def coloured(table: NDArray[np.float64], places: Any) -> NDArray[np.float64]:
    """RGB (…, 3) in [0, 1] at places in [0, 1] of a map; those beyond have the colour of an end."""
    at = np.asarray(places, dtype=np.float64)
    ends = np.linspace(0.0, 1.0, len(table))
    return np.stack([np.interp(at, ends, table[:, c]) for c in range(3)], axis=-1)
