"""Rows out of chunks: decoded by zarr, checked against what was listed, faults named by chunk."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.zarr.absent_chunks import AbsentChunks, units_in_file
from dgmm.data.zarr.bounded_codecs import OversizedChunkError
from dgmm.data.zarr.bounded_reading import bound_decoding
from dgmm.data.zarr.chunk_listing import list_chunks
from dgmm.data.zarr.layout import ArrayLayout, Pair, most_encoded_bytes, refuse_codecs
from dgmm.data.zarr.node import ArrayNode, metadata_digest
from dgmm.data.zarr.small_files import SmallFilesStore
from dgmm.errors import DataError, DataNotFoundError, DgmmError, UnavailableError
from dgmm.runtime.resource_errors import shortage
from dgmm.storage.retry import is_transient, retry_budget, with_retries

ZarrArray: TypeAlias = "zarr.Array[Any]"  # a string: not every zarr 3.1 can be subscripted


@functools.lru_cache(maxsize=8)
def opened(folder: str, zarr_format: int, digest: str) -> ZarrArray:
    """The zarr array in a folder, opened once in each process.

    Raises
    ------
    DataError
        If zarr cannot read it (it names the codec it lacks), or its metadata are not those with
        this digest any more.
    """
    if metadata_digest(Path(folder), zarr_format) != digest:
        raise DataError(f"{folder}: metadata changed after the run had begun; start it again")
    store = SmallFilesStore(folder, read_only=True)
    try:
        array = zarr.open_array(store, mode="r", zarr_format=3 if zarr_format == 3 else 2)
        bound_decoding(array)
    except Exception as error:  # noqa: BLE001 - zarr raises anything on metadata it cannot read
        if is_transient(error) or shortage(error) is not None:
            text = shortage(error) or _words(error)
            raise UnavailableError(f"{folder} cannot be opened: {text}") from None
        raise DataError(f"{folder}: zarr cannot open this array: {_words(error)}") from None
    store.most_bytes = most_encoded_bytes(array.shards or array.chunks, array.dtype)
    return array


def check_openable(node: ArrayNode, layout: ArrayLayout) -> Any:
    """Open an array once where a refusal costs nothing; its fill value, None where it has none.

    Raises
    ------
    DataError
        If zarr cannot open it or does not see the layout that was read from its metadata.
    """
    seen = opened(node.folder, node.zarr_format, node.digest)
    shape = (*seen.shape, 1) if layout.is_vector else tuple(seen.shape)
    if shape != layout.shape or seen.dtype.newbyteorder("=") != layout.dtype:
        raise DataError(
            f"{node.folder}: zarr sees {seen.shape} {seen.dtype}, the metadata say {layout.claim()}"
        )
    return seen.fill_value


def coordinate_values(node: ArrayNode) -> NDArray[Any]:
    """All values of a one-dimensional array beside another, its codecs bounded as those of rows.

    Raises
    ------
    DataError
        If its codecs are refused, or zarr cannot open it.
    """
    refuse_codecs(node)
    array: Any = opened(node.folder, node.zarr_format, node.digest)
    return np.asarray(array[...])


@dataclass(frozen=True, slots=True)
class ChunkReader:
    """Reads rows of one array.

    Parameters
    ----------
    folder, zarr_format, digest
        The array and its metadata as they were listed.
    layout : ArrayLayout
    absent : AbsentChunks
        What did not exist when the chunks were listed.
    retry_s : float
        Seconds for which a read that fails transiently is tried again.
    """

    folder: str
    zarr_format: int
    digest: str
    layout: ArrayLayout
    absent: AbsentChunks
    retry_s: float = 0.0

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop) as (b, d), native byte order, C order.

        Raises
        ------
        DataError
            If a chunk is damaged, or was listed and is gone; it is named.
        DataNotFoundError
            If a chunk cannot be read.
        UnavailableError
            If storage keeps failing for `retry_s`.
        """
        with retry_budget(self.retry_s):
            return self._rows(start, stop)

    def with_retries(self, seconds: float) -> ChunkReader:
        """The same; reads that fail transiently are tried again for so long."""
        return replace(self, retry_s=seconds)

    def check_unchanged(self, chunks_digest: str) -> None:
        """List the chunks again and compare.

        Raises
        ------
        DataError
            If a chunk was added, removed or written since.
        """
        with retry_budget(self.retry_s):
            listing = list_chunks(Path(self.folder), self.layout)
        if listing.digest != chunks_digest:
            raise DataError(
                f"{self.folder} changed during the run: chunks were written, added or removed "
                "since it was opened. Run again when nothing writes to it"
            )

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        array = opened(self.folder, self.zarr_format, self.digest)
        try:
            values = with_retries(lambda: array[start:stop])
        except Exception as error:  # noqa: BLE001 - codecs raise anything on damaged bytes
            raise self._explained(array, start, stop, error) from None
        rows = np.ascontiguousarray(values, dtype=self.layout.dtype)
        rows = rows.reshape(len(rows), -1)  # a vector is rows of one feature
        self._check_none_vanished(rows, start, array.fill_value)
        return rows

    def _explained(self, array: ZarrArray, start: int, stop: int, error: Exception) -> DgmmError:
        """The error of the first chunk that cannot be read, found one by one."""
        if shortage(error) is not None:
            return self._sorted(f"rows {start} to {stop} of {self.folder}", error)
        unit_rows, unit_columns = self.layout.unit_shape
        for i in range(start // unit_rows, -(-stop // unit_rows)):
            for j in range(self.layout.units[1]):
                try:
                    rows = slice(i * unit_rows, min((i + 1) * unit_rows, self.layout.shape[0]))
                    end = min((j + 1) * unit_columns, self.layout.shape[1])
                    array[rows] if self.layout.is_vector else array[rows, j * unit_columns : end]
                except Exception as fault:  # noqa: BLE001 - as above; this one is to be named
                    return self._fault((i, j), fault)
        return self._sorted(f"rows {start} to {stop} of {self.folder}", error)

    def _fault(self, unit: Pair, error: Exception) -> DgmmError:
        return self._sorted(f"{self.layout.name(unit)} of {self.folder}", error)

    def _sorted(self, where: str, error: Exception) -> DgmmError:
        """The way in which a run ends for such an error."""
        if is_transient(error):
            return UnavailableError(
                f"{where} cannot be read: {_words(error)}, for {self.retry_s:g} s "
                "(storage.retry_s). Run the same command again when the storage is back"
            )
        rows, columns = self.layout.unit_shape
        n_bytes = rows * columns * self.layout.dtype.itemsize
        if isinstance(error, OversizedChunkError):
            return DataError(
                f"{where} is damaged: {error}, where its metadata make a chunk {n_bytes:,} bytes. "
                "Restore it, or write the array again"
            )
        if (lack := shortage(error)) is not None:
            return UnavailableError(
                f"{where} cannot be read, of which a chunk takes {n_bytes:,} bytes: {lack}"
            )
        if isinstance(error, OSError) and error.errno is not None:
            return DataNotFoundError(f"{where} cannot be read: {_words(error)}")
        return DataError(
            f"{where} is damaged: {_words(error)}. Restore it, or write the array again"
        )

    def _check_none_vanished(self, rows: NDArray[Any], start: int, fill_value: Any) -> None:
        """Look whether chunks full of fill values exist: only those can have been absent."""
        present: dict[Pair, NDArray[np.bool_]] = {}
        for unit in self._units_of_fill(rows, start, fill_value):
            if self.absent.is_known(unit[0] * self.layout.units[1] + unit[1]):
                continue
            file = self.layout.file_of(unit)
            if file not in present:
                present[file] = units_in_file(Path(self.folder), self.layout, file)
            if not present[file][self.layout.place_in_file(unit)]:
                raise DataError(
                    f"{self.layout.name(unit)} of {self.folder} was there when the chunks were "
                    "listed and is gone. Restore it and run again"
                )

    def _units_of_fill(self, rows: NDArray[Any], start: int, fill_value: Any) -> list[Pair]:
        """The units that hold nothing but fill values in these rows.

        The first value of each is looked at first, which leaves few to look at in full.
        """
        unit_rows, unit_columns = self.layout.unit_shape
        first = start // unit_rows
        tops = np.arange(first, -(-(start + len(rows)) // unit_rows)) * unit_rows - start
        corners = rows[np.maximum(tops, 0), ::unit_columns]
        fill = self.layout.dtype.type(0 if fill_value is None else fill_value)
        return [
            (first + int(i), int(j))
            for i, j in np.argwhere(_equal(corners, fill))
            if _equal(
                rows[
                    max(tops[i], 0) : tops[i] + unit_rows,
                    j * unit_columns : (j + 1) * unit_columns,
                ],
                fill,
            ).all()
        ]


def _equal(values: NDArray[Any], fill: Any) -> NDArray[np.bool_]:
    """Where values are the fill value; NaN is NaN."""
    same: NDArray[np.bool_] = np.isnan(values) if fill != fill else values == fill  # noqa: PLR0124 - NaN
    return same


def _words(error: Exception) -> str:
    """An exception's kind and message, on one line without control characters."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {safe_text(message)}" if message else type(error).__name__
