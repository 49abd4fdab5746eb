"""Arrays that consecutive rows may have beside their values, one behind the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def joined_arrays(arrays: Iterable[NDArray[Any] | None]) -> NDArray[Any] | None:
    """Those that are there, as one; None where none is.

    Examples
    --------
    >>> joined_arrays([np.zeros(2), np.ones(1)]).tolist()
    [0.0, 0.0, 1.0]
    >>> joined_arrays([None, None]) is None
    True
    """
    there = [array for array in arrays if array is not None]
    return np.concatenate(there) if there else None
