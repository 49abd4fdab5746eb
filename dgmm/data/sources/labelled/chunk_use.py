"""Which parts the rows come in, and how often each chunk of the source is decoded for them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dgmm.data.feature_names import safe_text
from dgmm.data.sample_grid import Interval, SampleGrid, overlapping
from dgmm.data.sources.labelled.collection import Collection
from dgmm.data.sources.labelled.features import Variable
from dgmm.errors import DataError

#: Decoded bytes of a part where the storage has no chunks.
_PART_BYTES = 32 * 1024 * 1024
#: Each chunk may be decoded so often, on average.
MOST_DECODED = 4.0
#: A variable without one of the sample dimensions is kept in memory up to this size.
KEPT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChunkUse:
    """How often the chunks of one variable are decoded, on average; `is_kept`: once a process."""

    name: str
    decoded: float
    is_kept: bool

    @property
    def note(self) -> str:
        """For the plan."""
        if self.is_kept:
            return f"{self.name}: read once by each process, and kept in memory"
        times = "once" if self.decoded == 1.0 else f"{self.decoded:.3g} times"
        return f"{self.name}: each source chunk is decoded {times}"


def sample_grid(
    collection: Collection,
    variables: Sequence[Variable],
    dims: Sequence[str],
    taken: Mapping[str, Interval],
    row_bytes: int,
) -> SampleGrid:
    """The grid of rows, cut as the chunks of the first variable are (and of the next ones along
    dimensions that it lacks).

    Raises
    ------
    DataError
        If no variable has one of the dimensions.
    """
    owners = {dim: _owner(collection, variables, dim) for dim in dims}
    default = _without_chunks({dim: taken[dim][1] - taken[dim][0] for dim in dims}, row_bytes)
    edges = []
    for dim, owner in owners.items():
        start, stop = taken[dim]
        bounds = _bounds(collection, owner, dim, default[dim])
        inner = [b - start for b in bounds if start < b < stop]
        edges.append((0, *inner, stop - start))
    return SampleGrid(tuple(dims), tuple(edges))


def _owner(collection: Collection, variables: Sequence[Variable], dim: str) -> Variable:
    """The first variable that has a dimension."""
    for variable in variables:
        if dim in variable.dims:
            return variable
    raise DataError(
        f"{collection.first}: no variable of data.variables has the dimension {safe_text(dim)} of "
        "data.sample_dims; leave it out"
    )


def _without_chunks(lengths: Mapping[str, int], row_bytes: int) -> dict[str, int]:
    """Chunks of bounded size that keep C order: whole along the last dimensions."""
    left, sizes = max(1, _PART_BYTES // row_bytes), {}
    for dim, length in reversed([*lengths.items()]):
        sizes[dim] = max(1, min(length, left))
        left //= sizes[dim]
    return sizes


def chunk_sizes(collection: Collection, number: int, name: str) -> dict[str, int]:
    """Sizes of the chunks that a file decodes at once, by dimension; empty without chunks."""
    variable = collection.files[number].dataset.variables[name]
    encoding: Mapping[str, Any] = variable.encoding
    sizes = encoding.get("chunks") or encoding.get("chunksizes")
    if not sizes or encoding.get("contiguous"):
        return {}
    return dict(zip(map(str, variable.dims), map(int, sizes), strict=True))


def _bounds(collection: Collection, variable: Variable, dim: str, default: int) -> list[int]:
    """Where the chunks of a variable begin along a dimension, all files together, and its end."""
    total = collection.sizes[dim]
    if dim != collection.concat_dim:
        size = chunk_sizes(collection, 0, variable.name).get(dim, default)
        return [*range(0, total, size), total]
    bounds: list[int] = []
    for number, (start, stop) in enumerate(itertools.pairwise(collection.starts)):
        size = chunk_sizes(collection, number, variable.name).get(dim, default)
        bounds += range(start, stop, size)
    return [*bounds, total]


def chunk_uses(
    collection: Collection,
    variables: Sequence[Variable],
    grid: SampleGrid,
    taken: Mapping[str, Interval],
) -> list[ChunkUse]:
    """How often the chunks of each variable are decoded."""
    return [_use(collection, variable, grid, taken) for variable in variables]


def refuse_repeated(
    collection: Collection, variables: Sequence[Variable], uses: Sequence[ChunkUse]
) -> None:
    """Refuse parts for which chunks are decoded more than four times.

    Raises
    ------
    DataError
        Naming the variable, and what to do.
    """
    worst = max(uses, key=lambda use: 0.0 if use.is_kept else use.decoded)
    if worst.is_kept or worst.decoded <= MOST_DECODED:
        return
    first = variables[0].name
    chunks = {v.name: chunk_sizes(collection, 0, v.name) for v in variables}
    raise DataError(
        f"{collection.first}: rows run chunk by chunk of {safe_text(first)} "
        f"({_in_words(chunks[first])}), for which each chunk of {safe_text(worst.name)} "
        f"({_in_words(chunks[worst.name])}) is decoded {worst.decoded:.3g} times; at most "
        f"{MOST_DECODED:g} are accepted. Name {safe_text(worst.name)} first in data.variables if "
        f"its chunks hold whole ones of the others, or rewrite {safe_text(worst.name)} in chunks "
        f"of {safe_text(first)}"
    )


def _in_words(chunks: Mapping[str, int]) -> str:
    return (
        "chunks of " + " × ".join(f"{safe_text(dim)} {n}" for dim, n in chunks.items())
        if (chunks)
        else "without chunks"
    )


def is_broadcast(variable: Variable, grid: SampleGrid) -> bool:
    """Whether a variable lacks one of the sample dimensions."""
    return len(variable.sample_dims) < len(grid.dims)


def decoded_bytes(variable: Variable, taken: Mapping[str, Interval]) -> int:
    """Bytes of all values that are taken of a variable, as they are stored."""
    return variable.stored_bytes * math.prod(taken[d][1] - taken[d][0] for d in variable.dims)


def is_kept(variable: Variable, grid: SampleGrid, taken: Mapping[str, Interval]) -> bool:
    """Whether a variable is read once by each process, and kept."""
    return is_broadcast(variable, grid) and decoded_bytes(variable, taken) <= KEPT_BYTES


def _use(
    collection: Collection, variable: Variable, grid: SampleGrid, taken: Mapping[str, Interval]
) -> ChunkUse:
    factors = list(_factors(collection, variable, grid, taken))
    return ChunkUse(variable.name, math.prod(factors), is_kept(variable, grid, taken))


def _factors(
    collection: Collection, variable: Variable, grid: SampleGrid, taken: Mapping[str, Interval]
) -> Iterator[float]:
    """Along each sample dimension, how many parts a chunk of the variable lies in, on average."""
    has_chunks = bool(chunk_sizes(collection, 0, variable.name))
    for dim, edges in zip(grid.dims, grid.edges, strict=True):
        if dim not in variable.dims:
            yield float(len(edges) - 1)
        elif has_chunks:
            start, stop = taken[dim]
            bounds = _bounds(collection, variable, dim, 1)
            parts = [start + edge for edge in edges]
            pairs = sum(len(overlapping(bounds, a, b)) for a, b in itertools.pairwise(parts))
            yield pairs / len(overlapping(bounds, start, stop))
