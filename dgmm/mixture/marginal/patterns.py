"""Patterns of missing values: the rows of a block by which of their values are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

#: Bits of the words that patterns are compared by; the narrowest that holds them is sorted fastest.
_WORDS = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32), np.dtype(np.uint64))


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


def missing_bits(values: NDArray[Any]) -> NDArray[Any]:
    """The missing features of rows (n, d) as words (n, w); all 0 where a row is complete."""
    packed = np.packbits(np.isnan(values), axis=1)
    n, n_bytes = packed.shape
    word = next((w for w in _WORDS if n_bytes <= w.itemsize), _WORDS[-1])
    width = -(-n_bytes // word.itemsize) * word.itemsize
    if width != n_bytes:
        wide = np.zeros((n, width), np.uint8)
        wide[:, :n_bytes] = packed
        packed = wide
    return packed.view(word)


def rows_by_pattern(values: NDArray[Any]) -> Iterator[PatternRows]:
    """The rows (n, d) pattern by pattern, in the order of their bits; complete rows first.

    A function of the values alone.
    """
    words = missing_bits(values)
    if not words.any():
        yield PatternRows(np.ones(values.shape[1], np.bool_), slice(None))
        return
    order = np.lexsort(words.T[::-1]) if words.shape[1] > 1 else words[:, 0].argsort(kind="stable")
    ordered = words[order]
    changes = np.flatnonzero((ordered[1:] != ordered[:-1]).any(axis=1)) + 1
    starts = np.concatenate([[0], changes])
    observed = ~np.isnan(values[order[starts]])
    for mask, rows in zip(observed, np.split(order, changes), strict=True):
        yield PatternRows(mask, rows)


def complete_and_other_rows(values: NDArray[Any]) -> Iterator[PatternRows]:
    """The complete rows (n, d), then those that lack a value, whatever their patterns."""
    is_complete = ~missing_bits(values).any(axis=1)
    d = values.shape[1]
    if is_complete.any():
        rows = slice(None) if is_complete.all() else np.flatnonzero(is_complete)
        yield PatternRows(np.ones(d, np.bool_), rows)
    if not is_complete.all():
        rows = np.flatnonzero(~is_complete) if is_complete.any() else slice(None)
        yield PatternRows(np.zeros(d, np.bool_), rows)
