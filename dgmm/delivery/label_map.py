"""Label maps: results with the dimensions, chunks and coordinates of the labelled arrays.

They are written from the finished row arrays by tasks that each own whole chunks of the map.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sample_grid import Box, SampleGrid, overlapping
from dgmm.data.sources.labelled.labelled_source import LabelledSource
from dgmm.data.sources.labelled.map_layout import MapLayout
from dgmm.data.sources.row_source import RowSource
from dgmm.data.zarr.format_versions import ZarrFormat, format_in, group_attributes
from dgmm.data.zarr.map_array import MapArray, RowArray, RowReader
from dgmm.data.zarr.output_array import output_failures
from dgmm.data.zarr.output_store import create_array, create_outputs, finish_outputs
from dgmm.delivery.request import DeliveryRequest
from dgmm.errors import DataError, OutputExistsError, StoppedError
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import TASKS_PER_THREAD, split_ranges
from dgmm.runtime import stop_flag
from dgmm.storage.folders import Folder

#: The group of the maps in a run directory, and the one that is written before it has this name.
MAPS, _PART = "maps.zarr", "maps.zarr.part"
#: Attribute of the group, by which a later run knows that it may replace it.
_WRITER = "written_by"
#: Stands before a result that is called as a coordinate or dimension of the source, as in tables.
_PREFIX = "dgmm_"
#: Values that are written at once.
_WRITE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MapGrid:
    """The chunks of a map: of one size, that of the largest chunk of the rows along each dimension.

    Parameters
    ----------
    grid : SampleGrid
        Of the rows.
    dims : tuple of str
        The dimensions of the map in its own order.
    """

    grid: SampleGrid
    dims: tuple[str, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """For each dimension of the map its place among those of the rows."""
        return tuple(self.grid.dims.index(dim) for dim in self.dims)

    @property
    def chunk(self) -> tuple[int, ...]:
        """Sizes of a chunk along the dimensions of the rows."""
        return tuple(max(b - a for a, b in itertools.pairwise(e)) for e in self.grid.edges)

    @property
    def counts(self) -> tuple[int, ...]:
        """Chunks along the dimensions of the rows."""
        return tuple(-(-n // c) for n, c in zip(self.grid.shape, self.chunk, strict=True))

    def boxes(self, chunks: BlockRange, row_bytes: int) -> Iterator[Box]:
        """The places of consecutive chunks, along the dimensions of the rows.

        Chunks that follow each other along the last dimension are one box, of bounded size: zarr
        takes some milliseconds for each write.
        """
        counts, size, first = self.counts, self.chunk, chunks.start
        most = max(1, _WRITE_BYTES // (math.prod(size) * row_bytes))
        while first < chunks.stop:
            *place, last = map(int, np.unravel_index(first, counts))
            n = min(most, counts[-1] - last, chunks.stop - first)
            ends = [(i, i + 1) for i in place] + [(last, last + n)]
            limits = zip(ends, size, self.grid.shape, strict=True)
            yield tuple((a * c, min(b * c, length)) for (a, b), c, length in limits)
            first += n

    def in_map(self, sizes: Sequence[Any]) -> tuple[Any, ...]:
        """What belongs to the dimensions of the rows, in the order of the map."""
        return tuple(sizes[axis] for axis in self.axes)


@dataclass(frozen=True, slots=True)
class MapTask:
    """Writes the chunks of a range, of all maps; picklable.

    `rows` has the row arrays by the names of their maps.
    """

    path: str
    rows: Mapping[str, RowArray]
    map_grid: MapGrid

    def __call__(self, chunks: BlockRange) -> int:
        """Write chunks [start, stop); how many were written."""
        for name, each in self.rows.items():
            reader, target = each.reader(), MapArray(self.path, name)
            row_bytes = each.dtype.itemsize * math.prod(each.inner_shape)
            boxes = [*self.map_grid.boxes(chunks, row_bytes)]
            for box in boxes:
                if stop_flag.requested.is_set():
                    raise StoppedError("stopped while a map was written")
                values = values_in(self.map_grid.grid, box, reader, each)
                axes = (*self.map_grid.axes, *range(len(box), values.ndim))
                values = np.ascontiguousarray(values.transpose(axes))
                target.write_box(self._place(box, each), values)
            target.sync_boxes(self._place(box, each) for box in boxes)
        return chunks.stop - chunks.start

    def _place(self, box: Box, rows: RowArray) -> Box:
        """A box of rows as the map has it."""
        return (*self.map_grid.in_map(box), *((0, n) for n in rows.inner_shape))


def values_in(grid: SampleGrid, box: Box, reader: RowReader, rows: RowArray) -> NDArray[Any]:
    """The values of the rows whose places lie in a box, in its shape."""
    shape = tuple(stop - start for start, stop in box)
    values = np.empty((*shape, *rows.inner_shape), rows.dtype)
    parts = [
        overlapping(edges, start, stop)
        for edges, (start, stop) in zip(grid.edges, box, strict=True)
    ]
    for place in itertools.product(*parts):
        own = tuple((e[i], e[i + 1]) for e, i in zip(grid.edges, place, strict=True))
        first = grid.first_row(own)
        sizes = tuple(stop - start for start, stop in own)
        found = reader.rows(first, first + math.prod(sizes)).reshape(*sizes, *rows.inner_shape)
        both = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(own, box, strict=True)]
        source = tuple(slice(a - o, b - o) for (a, b), (o, _) in zip(both, own, strict=True))
        target = tuple(slice(a - o, b - o) for (a, b), (o, _) in zip(both, box, strict=True))
        values[target] = found[source]
    return values


def write_label_maps(
    source: RowSource, request: DeliveryRequest, executor: Executor
) -> dict[str, Any]:
    """Write `maps.zarr` in the run directory: a map of each row array, with its coordinates.

    It is written beside and renamed; done again it gives the same files.

    Parameters
    ----------
    source
        The labelled arrays whose places the rows are.
    request
        The finished row arrays.
    executor
        Where the maps are written.

    Returns
    -------
    dict
        For run.json: path, dimensions, sizes, chunks, and the names of maps and coordinates.

    Raises
    ------
    DataError
        If the source is no labelled arrays.
    OutputExistsError
        If `maps.zarr` in the run directory was not written by dgmm.
    OutputFailedError
        If it cannot be written.
    """
    if not isinstance(source, LabelledSource):
        raise DataError(
            f"{source.description.kind} have no dimensions that a map could have: output.map "
            "needs labelled arrays (a Zarr group or NetCDF). Set output.map to false"
        )
    layout = MapLayout.of(source)
    map_grid = MapGrid(source.grid, layout.dims)
    taken = {*layout.coordinates, *layout.related, *layout.dims}
    names = {name: _PREFIX + name if name in taken else name for name in request.names}
    rows = {names[name]: RowArray.of(request.outputs, name) for name in request.names}
    with (
        output_failures(f"{request.folder}/{MAPS} cannot be written"),
        Folder(request.folder, follow=True) as folder,
    ):
        _refuse_foreign(folder)
        zarr_format = _format_of(request.outputs)
        attributes = {_WRITER: "dgmm", "Conventions": "CF-1.11"} | layout.group_attributes
        create_outputs(folder / _PART, attributes, zarr_format)
        path = str(Path(request.folder) / _PART)
        layout.copy_variables(path, attributes, zarr_format)
        for name, each in rows.items():
            own = _attributes(each, request.n_components) | layout.attributes
            inner = [f"{dim}_of_mixture" if dim in taken else dim for dim in each.inner_dims]
            dims = (*map_grid.dims, *inner)
            _create(folder, name, each, map_grid, dims, own, zarr_format)
        task = MapTask(path, rows, map_grid)
        n_chunks = math.prod(map_grid.counts)
        ranges = split_ranges(n_chunks, executor.n_threads * TASKS_PER_THREAD)
        written = sum(n for _, n in executor.run(task, ranges))
        if written != n_chunks:
            raise RuntimeError(f"{written} of {n_chunks} chunks of the map were written")
        finish_outputs(folder / _PART)
        folder.replace(_PART, MAPS)
    return {
        "path": str(Path(request.folder) / MAPS),
        "dims": list(map_grid.dims),
        "shape": list(map_grid.in_map(source.grid.shape)),
        "chunks": list(map_grid.in_map(map_grid.chunk)),
        "maps": list(rows),
        "coordinates": list(layout.coordinates),
    }


def _create(
    folder: Folder,
    name: str,
    rows: RowArray,
    map_grid: MapGrid,
    dims: tuple[str, ...],
    attributes: dict[str, Any],
    zarr_format: ZarrFormat,
) -> None:
    """Make the empty array of one map."""
    is_code = rows.dtype.kind in "iu"
    create_array(
        folder / _PART,
        name,
        shape=(*map_grid.in_map(map_grid.grid.shape), *rows.inner_shape),
        chunks=(*map_grid.in_map(map_grid.chunk), *rows.inner_shape),
        dtype=rows.dtype,
        dimension_names=dims,
        fill_value=-1 if is_code else float("nan"),
        attributes=attributes,
        zarr_format=zarr_format,
    )


def _attributes(rows: RowArray, n_components: int) -> dict[str, Any]:
    """Those of the row array; -1 is the fill value, and no flag beside it (CF conventions)."""
    attributes = dict(rows.attributes)
    if rows.dtype.kind not in "iu":
        return attributes
    values = attributes.get("flag_values")
    meanings = str(attributes.get("flag_meanings", "")).split()
    if isinstance(values, list) and len(values) == len(meanings):
        flags = [(v, m) for v, m in zip(values, meanings, strict=True) if v != -1]
        if rows.name == "labels" and len(flags) <= 1 < n_components:  # noise alone, or nothing
            few = range(n_components - len(flags))
            flags = [(k, f"component_{k}") for k in few] + flags
        attributes["flag_values"] = [v for v, _ in flags]
        attributes["flag_meanings"] = " ".join(m for _, m in flags)
    return attributes | {"_FillValue": -1}


def _format_of(path: str) -> ZarrFormat:
    """The version in which the row arrays are written."""
    with Folder(path, follow=True) as group:
        return format_in(group) or 3


def _refuse_foreign(folder: Folder) -> None:
    """Refuse to replace what dgmm has not written."""
    if not folder.holds(MAPS):
        return
    is_own = False
    if folder.holds_folder(MAPS):
        with folder.folder(MAPS) as group:
            is_own = group_attributes(group).get(_WRITER) == "dgmm"
    if not is_own:
        raise OutputExistsError(
            f"{folder}/{MAPS} exists and was not written by dgmm; move it away, and run again"
        )
