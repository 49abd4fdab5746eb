"""Rows of a `zarr.Array` in whatever store (memory, zip, remote), read block by block."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.data.feature_names import feature_names_from, safe_text
from dgmm.data.validation import check_dtype, check_shape, native
from dgmm.data.zarr.absent_chunks import AbsentChunks
from dgmm.data.zarr.conventions import meaning_of
from dgmm.data.zarr.coordinates import feature_names_in_store
from dgmm.data.zarr.dataset import ZarrDataset, with_warnings
from dgmm.data.zarr.layout import ArrayLayout
from dgmm.errors import DataError
from dgmm.runtime.resource_errors import shortage

ZarrArray: TypeAlias = "zarr.Array[Any]"  # a string: not every zarr 3.1 can be subscripted
_SOURCE = "X"


@dataclass(frozen=True, slots=True, eq=False)
class StoreReader:
    """Reads rows of an array that the user has opened; his store retries, or does not.

    Parameters
    ----------
    array : zarr.Array
    layout : ArrayLayout
    absent : AbsentChunks
        What did not exist when the array was handed over.
    digest : str
        Unlike that of every other reader: what is cached of it is nobody else's.
    """

    array: ZarrArray
    layout: ArrayLayout
    absent: AbsentChunks
    digest: str

    @property
    def folder(self) -> str:
        """What messages call the array."""
        return _SOURCE

    @property
    def zarr_format(self) -> int:
        """The version in which the array is stored."""
        return int(self.array.metadata.zarr_format)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop) as (b, d), native byte order, C order.

        Raises
        ------
        DataError
            If the store does not give them.
        """
        try:
            values = self.array[start:stop, :]
        except MemoryError:
            raise
        except Exception as error:  # of whatever store and codec
            text = shortage(error) or safe_text(f"{type(error).__name__}: {error}")
            raise DataError(
                f"{_SOURCE}: rows {start:,} to {stop:,} cannot be read: {text}"
            ) from error
        return np.ascontiguousarray(values, dtype=self.layout.dtype)

    def with_retries(self, seconds: float) -> StoreReader:  # noqa: ARG002 - the store's own matter
        """The same reader."""
        return self

    def check_unchanged(self, chunks_digest: str) -> None:
        """Nothing to check: the caller owns the array."""


def open_in_store(X: ZarrArray) -> ZarrDataset:
    """A data set of an array in whatever store; its rows are read block by block.

    Raises
    ------
    DataError
        As `open_zarr`, but for chunks that do not exist: a warning tells of them.
    """
    check_dtype(X.dtype, _SOURCE)
    check_shape(X.shape, _SOURCE)
    attributes = X.attrs.asdict()
    meaning = meaning_of(_SOURCE, attributes, X.dtype, X.metadata.zarr_format, X.fill_value)
    names, unnamed = feature_names_in_store(X)
    reader = StoreReader(X, _layout(X), _absent(X), uuid.uuid4().hex)
    dataset = ZarrDataset(
        reader,
        feature_names_from(names, X.shape[1], f"{_SOURCE}: attribute feature_names"),
        attributes,
        chunks_digest="",
        warnings=(),
        fill_value=meaning.fill_value,
        valid_range=meaning.valid_range,
        decoding=meaning.decoding,
    )
    return with_warnings(dataset, (*meaning.warnings, *unnamed))


def _layout(X: ZarrArray) -> ArrayLayout:
    shards = getattr(X, "shards", None)
    shape, chunks = (X.shape[0], X.shape[1]), (X.chunks[0], X.chunks[1])
    return ArrayLayout(
        shape=shape,
        file_shape=chunks if shards is None else (shards[0], shards[1]),
        unit_shape=chunks,
        dtype=native(X.dtype),
        prefix="c" if X.metadata.zarr_format == 3 else "",
        separator="/" if X.metadata.zarr_format == 3 else ".",
        is_sharded=shards is not None,
    )


def _absent(X: ZarrArray) -> AbsentChunks:
    """How many chunks the store lacks; none where it cannot list them."""
    if not X.store.supports_listing:
        return AbsentChunks()
    try:
        return AbsentChunks(max(int(X.nchunks) - int(X.nchunks_initialized), 0))
    except Exception:  # noqa: BLE001 - of whatever store: reading will say what is wrong with it
        return AbsentChunks()
