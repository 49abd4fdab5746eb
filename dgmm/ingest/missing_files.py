"""What the rows of a group lack, as arrays of the file that is written when the group is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.summary.missing_counts import MissingCounts
from dgmm.data.summary.missing_patterns import MissingPatterns

_BITS, _COUNTS, _SUMS = "missing_bits", "missing_counts", "missing_sums"


def arrays_of(missing: MissingCounts, rows: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """The arrays, by name; `rows` are the first row of the group and the one after the last."""
    found = missing.patterns
    sums = (
        *rows,
        *(found.is_more, found.n_rows, found.n_partial),
        *(missing.n_empty, missing.n_missing, missing.n_weightless, missing.is_unlisted),
    )
    return {_BITS: found.bits, _COUNTS: found.counts, _SUMS: np.array(sums, np.int64)}


def counts_in(arrays: Mapping[str, NDArray[Any]], rows: tuple[int, int]) -> MissingCounts | None:
    """What `arrays_of` was given; None where the file has none of it, or is of other rows."""
    if _SUMS not in arrays:
        return None
    start, stop, is_more, n_rows, n_partial, *others = arrays[_SUMS].tolist()
    n_empty, n_missing, n_weightless, *rest = others  # earlier versions left no patterns out
    if (start, stop) != rows:
        return None
    patterns = MissingPatterns(arrays[_BITS], arrays[_COUNTS], bool(is_more), n_rows, n_partial)
    return MissingCounts(patterns, n_empty, n_missing, n_weightless, rest == [1])
