"""What rows lack: how backends tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What a row lacks: nothing, some values, all of them, or one that is infinite.
COMPLETE, INCOMPLETE, EMPTY, INFINITE = range(4)
#: Words that missing features are told by; the narrowest that holds them is sorted fastest.
_WORDS = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"), np.dtype("<u8"))


@dataclass(frozen=True, slots=True, eq=False)
class Gaps:
    """What rows lack: row i features missing[starts[i] : starts[i + 1]], ascending."""

    missing: NDArray[np.intp]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, is_missing: NDArray[np.bool_]) -> Gaps:
        """From the mask (d, b)."""
        d, b = is_missing.shape
        missing = np.flatnonzero(np.ascontiguousarray(is_missing.T))
        missing %= d
        starts = np.zeros(b + 1, np.intp)
        np.cumsum(is_missing.sum(axis=0), out=starts[1:])
        return cls(missing, starts)

    @property
    def n_covariances(self) -> int:
        """Numbers of the lower triangles of all rows."""
        m = np.diff(self.starts)
        return int((m * (m + 1) // 2).sum())


def word_of(d: int) -> np.dtype[Any]:
    """The type of the words that d features are told by."""
    return next((word for word in _WORDS if d <= 8 * word.itemsize), _WORDS[-1])
