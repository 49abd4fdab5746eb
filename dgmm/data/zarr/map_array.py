"""Arrays of any number of dimensions that many tasks write: each task owns whole chunks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.data.zarr.conventions import V2_DIMENSIONS
from dgmm.data.zarr.folder_store import FolderStore
from dgmm.data.zarr.output_array import OutputArray, output_failures

#: Bytes of decoded chunks that a reader of rows keeps.
_KEPT_BYTES = 16 * 1024 * 1024
#: Files that are brought to disk at the same time.
_SYNCS = 16


class MapArray(OutputArray):
    """One array of a map; picklable, opened once in each process."""

    def write_box(self, box: Sequence[tuple[int, int]], values: NDArray[Any]) -> None:
        """Write the values of a box of whole chunks; `sync_boxes` makes them durable.

        Parameters
        ----------
        box : sequence of (start, stop)
            Along each dimension, at multiples of its chunk or up to its end.
        values
            Of the box's shape and the array's type.

        Raises
        ------
        ValueError
            If the box is not whole chunks, or the values are others.
        OutputFailedError
            If they cannot be written.
        """
        sizes = zip(box, self.shape, self._array.chunks, strict=True)
        if not all(_is_whole(start, stop, size, chunk) for (start, stop), size, chunk in sizes):
            raise ValueError(f"{self}: {box} are not whole chunks of {self._array.chunks}")
        if values.dtype != self.dtype or values.shape != tuple(b - a for a, b in box):
            raise ValueError(f"{self}: values {values.shape} {values.dtype} for the box {box}")
        with output_failures(f"{self}: {box} cannot be written"):
            self._array[tuple(slice(*interval) for interval in box)] = values

    def sync_boxes(self, boxes: Iterable[Sequence[tuple[int, int]]]) -> None:
        """Make the chunks of boxes durable: their files, then each of their folders once.

        Raises
        ------
        OutputFailedError
            If a chunk is missing or the disk refuses.
        """
        with output_failures(f"{self}: chunks cannot be made durable"):
            keys = [*itertools.chain.from_iterable(map(self._keys_in, boxes))]
            folders = {""}
            for key in keys:
                parts = key.split("/")[:-1]
                folders |= {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
            # Disks take many small files together: one after another each waits 1 to 3 ms.
            with ThreadPoolExecutor(_SYNCS, thread_name_prefix="sync") as pool:
                for _ in pool.map(self._sync_file, keys):
                    pass
                for _ in pool.map(self._sync_folder, folders):
                    pass

    def _sync_file(self, key: str) -> None:
        with FolderStore(self._held).entry(key) as chunk:
            chunk.sync()

    def _sync_folder(self, name: str) -> None:
        with FolderStore(self._held).entry(f"{name}/.".strip("/")) as entry:
            entry.folder.sync()

    def _keys_in(self, box: Sequence[tuple[int, int]]) -> Iterator[str]:
        grid = [
            range(start // chunk, -(-stop // chunk))
            for (start, stop), chunk in zip(box, self._array.chunks, strict=True)
        ]
        is_version_3 = self._array.metadata.zarr_format == 3
        for flat in range(math.prod(map(len, grid))):
            place = np.unravel_index(flat, [len(each) for each in grid]) if grid else ()
            parts = [str(each[int(i)]) for each, i in zip(grid, place, strict=True)]
            yield "/".join(("c", *parts)) if is_version_3 else ".".join(parts or ["0"])


@dataclass(frozen=True, slots=True)
class RowArray:
    """An array of finished rows: what a map is made of; picklable.

    Attributes
    ----------
    array : OutputArray
    name : str
    dtype
        Of a value.
    inner_dims : tuple of str
        Names of the dimensions behind that of the rows.
    inner_shape : tuple of int
    attributes : mapping
        The array's own.
    """

    array: OutputArray
    name: str
    dtype: np.dtype[Any]
    inner_dims: tuple[str, ...]
    inner_shape: tuple[int, ...]
    attributes: dict[str, Any]

    @classmethod
    def of(cls, path: str, name: str) -> RowArray:
        """An array of the group at a path.

        Raises
        ------
        OutputFailedError
            If it cannot be opened.
        """
        array = OutputArray(path, name)
        with output_failures(f"{array} cannot be opened"):
            stored = zarr.open_array(f"{path}/{name}", mode="r")
        attributes = dict(stored.attrs.asdict())
        own: Any = attributes.pop(V2_DIMENSIONS, None)
        metadata: Any = stored.metadata
        dims = own if metadata.zarr_format == 2 else metadata.dimension_names
        named = tuple(str(dim) for dim in dims or ("row", *("component",) * (stored.ndim - 1)))
        shape = tuple(map(int, stored.shape))
        return cls(array, name, np.dtype(stored.dtype), named[1:], shape[1:], attributes)

    def reader(self) -> RowReader:
        """Reads its rows, chunk by chunk."""
        return RowReader(self.array)


@dataclass(slots=True)
class RowReader:
    """Rows of an array in any order; the last chunks that were decoded are kept, up to 16 MiB."""

    array: OutputArray
    _chunks: dict[int, NDArray[Any]] = field(default_factory=dict)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop).

        Raises
        ------
        OutputFailedError
            If a chunk is damaged or gone.
        """
        size = self.array.chunk_rows
        parts = []
        for chunk in range(start // size, -(-stop // size)):
            first = chunk * size
            values = self._chunk(chunk, first)
            parts.append(values[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _chunk(self, chunk: int, first: int) -> NDArray[Any]:
        if chunk in self._chunks:
            self._chunks[chunk] = self._chunks.pop(chunk)  # the one used last is last
            return self._chunks[chunk]
        values = self.array.read(first, min(first + self.array.chunk_rows, self.array.shape[0]))
        most = max(1, _KEPT_BYTES // max(values.nbytes, 1))
        while len(self._chunks) >= most:
            del self._chunks[next(iter(self._chunks))]
        self._chunks[chunk] = values
        return values


def _is_whole(start: int, stop: int, size: int, chunk: int) -> bool:
    return start % chunk == 0 and (stop % chunk == 0 or stop == size) and 0 <= start < stop <= size
