"""Which chunks do not exist, because Zarr returns fill values for a missing one silently.

A missing chunk and one that was left out because it is all fill value look the same from outside,
so the caller says which it is; and one that was listed and is gone later is always an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgmm.data.zarr.chunk_listing import Listing
from dgmm.data.zarr.layout import ArrayLayout, Pair, most_encoded_bytes
from dgmm.data.zarr.shard_index import is_absent, read_index
from dgmm.errors import DataError
from dgmm.terminal_text import listed

#: Most units for which a map of the present ones is made (16 MiB as bits).
MOST_UNITS = 2**27
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class AbsentChunks:
    """The units that do not exist.

    Parameters
    ----------
    count : int
    bits : (⌈n/8⌉,) uint8 or None
        One bit a unit, set where it is absent; None where none is.
    """

    count: int = 0
    bits: NDArray[np.uint8] | None = None

    def is_known(self, flat: int) -> bool:
        """Whether the unit with this flat index was absent when the chunks were listed."""
        return self.bits is not None and bool(self.bits[flat >> 3] >> (7 - (flat & 7)) & 1)


def find_absent(folder: Path, layout: ArrayLayout, listing: Listing, *, fill: bool) -> AbsentChunks:
    """Compare the grid with what exists.

    Parameters
    ----------
    folder, layout, listing
        The array and its files.
    fill
        Whether absent chunks are allowed and count as fill values.

    Raises
    ------
    DataError
        If chunks are absent and `fill` is not set, or the array claims too many of them.
    """
    n_files = layout.files[0] * layout.files[1]
    n_missing = n_files - len(listing.present)
    if n_missing and not fill:
        raise _refused(folder, layout, n_missing, n_files, _missing_files(layout, listing))
    n_units = layout.units[0] * layout.units[1]
    if not n_missing and not _has_readable_shards(layout):
        return AbsentChunks()
    if n_units > MOST_UNITS:
        raise DataError(
            f"{folder}: metadata claim {layout.claim()} in {n_units:,} chunks, of whose "
            f"{n_files:,} files {len(listing.present):,} exist; at most {MOST_UNITS:,} chunks can "
            "be checked. Rewrite the array with larger chunks"
        )
    absent = _absent_map(folder, layout, listing)
    count = int(np.count_nonzero(absent))
    if count and not fill:
        first = [_unit_at(layout, int(i)) for i in np.flatnonzero(absent.ravel())[:_SHOWN]]
        raise _refused(folder, layout, count, n_units, [layout.name(unit) for unit in first])
    return AbsentChunks(count, np.packbits(absent) if count else None)


def units_in_file(folder: Path, layout: ArrayLayout, file: Pair) -> NDArray[np.bool_]:
    """Which units of one file exist now, of the shape `layout.units_per_file`."""
    path = folder / layout.key(file)
    if not path.is_file():
        return np.zeros(layout.units_per_file, np.bool_)
    if not _has_readable_shards(layout):
        return np.ones(layout.units_per_file, np.bool_)
    return _units_in_shard(folder, layout, file)


def _has_readable_shards(layout: ArrayLayout) -> bool:
    return layout.is_sharded and layout.is_index_readable


def _units_in_shard(folder: Path, layout: ArrayLayout, file: Pair) -> NDArray[np.bool_]:
    """Read a shard's index: offset and length of each inner chunk, 2^64 - 1 where it is absent."""
    path, shape = folder / layout.key(file), layout.units_per_file
    found = read_index(path, shape, at_start=layout.index_at_start)
    if found is None:
        return np.zeros(shape, np.bool_)
    pairs, size = found
    present = ~is_absent(pairs)
    fault = _fault_of_index(layout, pairs[present], size)
    if fault is not None:
        raise DataError(f"shard {layout.key(file)} of {folder} is damaged: {fault}. Write it again")
    return present


def _fault_of_index(layout: ArrayLayout, pairs: NDArray[np.uint64], size: int) -> str | None:
    """Whether inner chunks lie beyond the file's bytes, or take more than any encoding of them."""
    most = np.uint64(most_encoded_bytes(layout.unit_shape, layout.dtype))
    offsets, lengths = pairs[:, 0], pairs[:, 1]
    left = np.uint64(size) - np.minimum(offsets, np.uint64(size))
    if (lengths > left).any():
        return f"its index names inner chunks beyond its {size:,} bytes"
    if (lengths > most).any():
        return f"its index names inner chunks of more than {int(most):,} bytes"
    return None


def _absent_map(folder: Path, layout: ArrayLayout, listing: Listing) -> NDArray[np.bool_]:
    """True for each unit (rows, features) of the grid that does not exist."""
    absent = np.ones(layout.units, np.bool_)
    a, b = layout.units_per_file
    n_columns = layout.files[1]
    if not layout.is_sharded:
        absent.ravel()[listing.present] = False
        return absent
    for flat in listing.present:
        i, j = divmod(int(flat), n_columns)
        part = absent[i * a : (i + 1) * a, j * b : (j + 1) * b]
        # Inner chunks of the last shard may lie outside the array: they are cut off here.
        part[...] = ~units_in_file(folder, layout, (i, j))[: part.shape[0], : part.shape[1]]
    return absent


def _unit_at(layout: ArrayLayout, flat: int) -> Pair:
    return divmod(flat, layout.units[1])


def _missing_files(layout: ArrayLayout, listing: Listing) -> list[str]:
    """Names of the first absent files, found without a list of all that should exist."""
    present = listing.present
    gaps = np.flatnonzero(present != np.arange(len(present)))
    candidate = int(gaps[0]) if len(gaps) else len(present)
    n_columns, n_files = layout.files[1], layout.files[0] * layout.files[1]
    names: list[str] = []
    while len(names) < _SHOWN and candidate < n_files:
        place = int(np.searchsorted(present, candidate))
        if place < len(present) and present[place] == candidate:
            candidate = _end_of_range(present, place)
            continue
        names.append(layout.key(divmod(candidate, n_columns)))
        candidate += 1
    return names


def _end_of_range(present: NDArray[np.int64], place: int) -> int:
    """The number after the consecutive ones that begin at `place`."""
    steps = np.flatnonzero(np.diff(present[place:]) != 1)
    last = place + int(steps[0]) if len(steps) else len(present) - 1
    return int(present[last]) + 1


def _refused(
    folder: Path, layout: ArrayLayout, count: int, total: int, names: list[str]
) -> DataError:
    return DataError(
        f"{folder}: {count:,} of {total:,} chunks do not exist ({listed(names, total=count)}); "
        f"metadata claim {layout.claim()}. Zarr would read them as fill values. Writers such as "
        "AnnData store no chunk that holds nothing else, and one that was lost looks the same. If "
        "none was lost, set data.absent_chunks to fill; otherwise restore them, or write the array "
        "again with write_empty_chunks=True"
    )
