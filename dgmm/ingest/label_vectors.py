"""Codes of classes and groups beside the rows of a run: written once, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.zarr.format_versions import group_attributes
from dgmm.data.zarr.output_store import create_array, create_outputs, finish_outputs
from dgmm.errors import DataError
from dgmm.storage.folders import Entry

#: Rows of a chunk of codes.
_CHUNK_ROWS = 262_144
CODES: Mapping[str, np.dtype[Any]] = {
    "classes": np.dtype(np.int32),
    "groups": np.dtype(np.int64),
    "folds": np.dtype(np.int8),
}


def written_names(place: Entry, source: str) -> Mapping[str, Sequence[Any]] | None:
    """Names that an earlier attempt has written of that source; None where none has."""
    if not place.folder.holds_folder(place.name):
        return None
    with place.folder.folder(place.name) as group:
        found = group_attributes(group)
    return found.get("names") if found.get("source") == source else None


def write_codes(
    place: Entry,
    path: str,
    n_rows: int,
    codes: Mapping[str, Iterable[NDArray[np.int64]]],
    names: Mapping[str, Sequence[Any]],
    source: str,
) -> None:
    """Write the codes of classes, and of groups if there are any, or of folds.

    Parameters
    ----------
    place, path
        The Zarr group to write, and its path.
    n_rows
        Rows that must have a code.
    codes
        By the array's name, in the order of the rows.
    names
        What codes stand for.
    source
        What tells these labels from others.

    Raises
    ------
    DataError
        If there are more or fewer labels than rows.
    OutputFailedError
        If they cannot be written.
    """
    part = place.folder / f"{place.name}.part"
    create_outputs(part, {"names": {n: list(v) for n, v in names.items()}, "source": source})
    for name, own in codes.items():
        array = create_array(
            part,
            name,
            shape=(n_rows,),
            chunks=(max(min(_CHUNK_ROWS, n_rows), 1),),
            dtype=CODES[name],
            dimension_names=("row",),
            fill_value=-1,
        )
        array.path = f"{path}.part"
        start = 0
        for chunk in _chunks(own):
            stop = start + len(chunk)
            if stop > n_rows or (stop < n_rows and len(chunk) < _CHUNK_ROWS):
                raise _other_number(name, "more" if stop > n_rows else f"{stop:,}", n_rows)
            array.write(start, chunk.astype(CODES[name]))
            array.sync(start, start + len(chunk))
            start += len(chunk)
        if start != n_rows:
            raise _other_number(name, f"{start:,}", n_rows)
    finish_outputs(part)
    place.folder.remove(place.name)
    place.folder.rename(part.name, place.name)
    place.folder.sync()


def _chunks(codes: Iterable[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    """The same in whole chunks, but for the last."""
    held = np.empty(0, np.int64)
    for own in codes:
        held = np.concatenate([held, own])
        while len(held) >= _CHUNK_ROWS:
            yield held[:_CHUNK_ROWS]
            held = held[_CHUNK_ROWS:]
    if len(held):
        yield held


def _other_number(name: str, found: str, n_rows: int) -> DataError:
    return DataError(
        f"data.{name} has {found} values for {n_rows:,} rows; expected one per row, in the order "
        "of the rows"
    )
