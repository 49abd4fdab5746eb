"""Rows that are places of a grid, in the order chunk by chunk: which row is which place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Attributes of an array whose rows are such places.
DIMS, SHAPE, CHUNKS = "sample_dims", "sample_shape", "sample_chunks"

Interval = tuple[int, int]
Box = tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class SampleGrid:
    """The places of a grid cut into chunks; rows run over the chunks in C order, and in each in C
    order over its places.

    Parameters
    ----------
    dims : tuple of str
        Names of the dimensions, the slowest first.
    edges : tuple of tuple of int
        For each dimension where its chunks begin, ascending from 0, and its size.

    Examples
    --------
    >>> grid = SampleGrid(("lat", "lon"), ((0, 2, 3), (0, 2, 4)))
    >>> grid.rows_of(np.indices(grid.shape))
    array([[ 0,  1,  4,  5],
           [ 2,  3,  6,  7],
           [ 8,  9, 10, 11]])
    """

    dims: tuple[str, ...]
    edges: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Self | None:
        """The grid that an array's attributes declare; None where they declare none."""
        try:
            dims, shape, chunks = (attributes[name] for name in (DIMS, SHAPE, CHUNKS))
            grid = cls(tuple(map(str, dims)), tuple(map(_edges_of, chunks)))
            is_valid = len(grid.dims) == len(grid.edges) and list(grid.shape) == list(shape)
        except (KeyError, TypeError, ValueError):
            return None
        return grid if is_valid and all(map(_are_edges, grid.edges)) else None

    @property
    def attributes(self) -> dict[str, Any]:
        """What an array of such rows says of their places, for `of`."""
        chunks = [_sizes_and_counts(each) for each in self.edges]
        return {DIMS: list(self.dims), SHAPE: list(self.shape), CHUNKS: chunks}

    @property
    def shape(self) -> tuple[int, ...]:
        """Places along each dimension."""
        return tuple(each[-1] for each in self.edges)

    @property
    def n_rows(self) -> int:
        """Places."""
        return math.prod(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Chunks along each dimension."""
        return tuple(len(each) - 1 for each in self.edges)

    @property
    def n_parts(self) -> int:
        """Chunks, each of which is a part."""
        return math.prod(self.chunks)

    def box(self, part: int) -> Box:
        """The places of a part: [start, stop) along each dimension."""
        place = np.unravel_index(part, self.chunks)
        return tuple((e[i], e[i + 1]) for e, i in zip(self.edges, map(int, place), strict=True))

    def part_sizes(self) -> NDArray[np.int64]:
        """Rows of each part (n_parts,)."""
        sizes = np.ones(1, np.int64)
        for each in self.edges:
            sizes = np.multiply.outer(sizes, np.diff(each)).ravel()
        return sizes

    def first_row(self, box: Box) -> int:
        """The first row of a part, given by its box."""
        return int(self.rows_of([start for start, _ in box]))

    def rows_of(self, places: Sequence[ArrayLike] | NDArray[Any]) -> NDArray[np.int64]:
        """Rows of places that are given by one array of indices for each dimension."""
        rows: Any = np.int64(0)
        within: Any = np.int64(0)
        inner: Any = np.int64(1)  # places of the chunk along the dimensions before
        for axis, each in enumerate(self.edges):
            index, bounds = np.asarray(places[axis]), np.asarray(each)
            chunk = np.searchsorted(bounds, index, side="right") - 1
            size = bounds[chunk + 1] - bounds[chunk]
            rows = rows + inner * bounds[chunk] * math.prod(self.shape[axis + 1 :])
            within = within * size + (index - bounds[chunk])
            inner = inner * size
        return np.asarray(rows + within)

    def place_of(self, row: int) -> tuple[int, ...]:
        """The place of a row: its index along each dimension."""
        box: list[Interval] = []
        inner, left = 1, row
        for axis, each in enumerate(self.edges):
            unit = inner * math.prod(self.shape[axis + 1 :])
            chunk = int(np.searchsorted(np.asarray(each), left // unit, side="right")) - 1
            box.append((each[chunk], each[chunk + 1]))
            left -= unit * each[chunk]
            inner *= each[chunk + 1] - each[chunk]
        within = np.unravel_index(left, [stop - start for start, stop in box])
        return tuple(start + int(i) for (start, _), i in zip(box, within, strict=True))


def overlapping(edges: Sequence[int], start: int, stop: int) -> range:
    """The chunks, of those that the edges cut, that share places with [start, stop)."""
    first = int(np.searchsorted(np.asarray(edges), start, side="right")) - 1
    last = int(np.searchsorted(np.asarray(edges), stop, side="left"))
    return range(first, last)


def cut(box: Box, most: int) -> list[Box]:
    """A box in boxes of at most `most` places (at least 1), consecutive in C order.

    Examples
    --------
    >>> cut(((0, 3), (0, 4)), 8)
    [((0, 2), (0, 4)), ((2, 3), (0, 4))]
    """
    if not box:
        return [box]
    (start, stop), rest = box[0], box[1:]
    inner = math.prod(b - a for a, b in rest)
    if inner > most:
        return [((i, i + 1), *each) for i in range(start, stop) for each in cut(rest, most)]
    step = max(1, most // max(inner, 1))
    return [((i, min(i + step, stop)), *rest) for i in range(start, stop, step)]


def _sizes_and_counts(edges: Sequence[int]) -> list[list[int]]:
    """Chunks as [size, how many of it follow each other]: grids have many of few sizes."""
    sizes = [b - a for a, b in itertools.pairwise(edges)]
    return [[size, len([*group])] for size, group in itertools.groupby(sizes)]


def _edges_of(chunks: Sequence[Sequence[int]]) -> tuple[int, ...]:
    sizes = itertools.chain.from_iterable([int(size)] * int(count) for size, count in chunks)
    return (0, *itertools.accumulate(sizes))


def _are_edges(edges: Sequence[int]) -> bool:
    return len(edges) > 1 and edges[0] == 0 and all(a < b for a, b in itertools.pairwise(edges))
