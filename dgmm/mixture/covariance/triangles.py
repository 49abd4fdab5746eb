"""Symmetric matrices as their upper triangles, row by row."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

#: Triangles of matrices up to this size are cached, 130 KiB at most each: of a small fit, whose
#: passes are short, computing them anew took a sixth of the time.
_SMALL = 128


def triangle(d: int) -> tuple[Index, Index]:
    """Indices of an upper triangle, row by row; those of small matrices are asked for often."""
    return _small_triangle(d) if d <= _SMALL else np.triu_indices(d)


@cache
def _small_triangle(d: int) -> tuple[Index, Index]:
    i, j = np.triu_indices(d)
    i.flags.writeable = j.flags.writeable = False
    return i, j


def pack(matrices: Array) -> Array:
    """Upper triangles (…, d, d) to (…, d(d+1)/2), row by row."""
    d = matrices.shape[-1]
    i, j = triangle(d)
    # One index of one axis takes a quarter of the time of two.
    return np.asarray(matrices.reshape(*matrices.shape[:-2], d * d).take(i * d + j, axis=-1))


def unpack(packed: Array, d: int) -> Array:
    """Symmetric matrices (…, d, d) from packed upper triangles."""
    places = _small_square(d) if d <= _SMALL else _square(d)
    return packed.take(places, axis=-1).reshape(*packed.shape[:-1], d, d)


def _square(d: int) -> Index:
    """Where each entry of a matrix stands in its packed triangle, (d·d,)."""
    i, j = np.indices((d, d))
    low, high = np.minimum(i, j), np.maximum(i, j)
    return np.asarray(low * d - low * (low - 1) // 2 + high - low).ravel()


@cache
def _small_square(d: int) -> Index:
    places = _square(d)
    places.flags.writeable = False
    return places
