"""Patterns of missing values: the rows of a block by which of their values are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import Backend, NumpyBackend
from dgmm.mixture.backends.gaps import COMPLETE

Mask = NDArray[np.bool_]

_FEWEST_ROWS = 96.0


@dataclass(frozen=True, slots=True, eq=False)
class PatternRows:
    """The rows of one pattern.

    Attributes
    ----------
    observed : (d,) bool
        Features that have a value.
    rows : (m,)
        Numbers of the rows, ascending; a slice of all where every row has the pattern.
    """

    observed: Mask
    rows: NDArray[np.intp] | slice

    @property
    def is_complete(self) -> bool:
        """Whether no value is missing."""
        return bool(self.observed.all())


def fewest_rows(n_missing: NDArray[np.intp]) -> NDArray[np.float64]:
    """Rows of a pattern below which they are taken one by one, by the number of missing features.

    Preparing and lifting a pattern takes as long as that many rows: a row by itself takes the
    longer, the more it lacks (measured at 8, 27 and 64 features).
    """
    return np.asarray(_FEWEST_ROWS / (1.0 + n_missing**2 / 16.0))


def rows_by_pattern(
    values: NDArray[Any], backend: Backend | None = None, *, apart: bool = False
) -> Iterator[PatternRows]:
    """The rows (n, d) pattern by pattern, in the order of their bits; complete rows first.

    Bit j stands for feature j. A function of the values alone. With `apart`, rows of patterns that
    few have come last and together, as if nothing of them were observed.
    """
    d = values.shape[1]
    words = (backend or NumpyBackend()).missing_words(values)
    if not words.any():
        yield PatternRows(np.ones(d, np.bool_), slice(None))
        return
    if words.shape[1] > 1:
        order = np.lexsort(words.T)
        ordered = words[order]
        is_new = (ordered[1:] != ordered[:-1]).any(axis=1)
    else:
        of_rows = words.ravel()
        order = of_rows.argsort(kind="stable")
        ordered = of_rows.take(order)
        is_new = ordered[1:] != ordered[:-1]
    ends = np.concatenate([np.flatnonzero(is_new) + 1, [len(order)]])
    counts = np.diff(ends, prepend=0)
    observed = ~np.isnan(values[order[ends - counts]])
    n_missing = d - observed.sum(axis=1)
    is_few = (n_missing > 0) & (counts < fewest_rows(n_missing)) & apart
    for i in np.flatnonzero(~is_few):
        yield PatternRows(observed[i], order[ends[i] - counts[i] : ends[i]])
    if is_few.any():
        yield PatternRows(np.zeros(d, np.bool_), order[np.repeat(is_few, counts)])


def complete_and_other_rows(
    values: NDArray[Any], backend: Backend | None = None, lacks: Mask | None = None
) -> Iterator[PatternRows]:
    """The complete rows (n, d), then those that lack a value, whatever their patterns.

    `lacks` (n,) are the latter, where that is known.
    """
    if lacks is None:
        lacks = (backend or NumpyBackend()).row_gaps(values) != COMPLETE
    is_complete = ~lacks
    d = values.shape[1]
    if is_complete.any():
        rows = slice(None) if is_complete.all() else np.flatnonzero(is_complete)
        yield PatternRows(np.ones(d, np.bool_), rows)
    if not is_complete.all():
        rows = np.flatnonzero(~is_complete) if is_complete.any() else slice(None)
        yield PatternRows(np.zeros(d, np.bool_), rows)
