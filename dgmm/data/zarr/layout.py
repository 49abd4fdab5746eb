"""How an array's rows lie in files: shape, type, chunks, shards and keys, read from raw metadata.

Parsed here and not by zarr, because zarr's messages for a damaged document are tracebacks, and
because what lies in which file is needed to tell an absent chunk from one full of fill values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dgmm.data.feature_names import safe_text
from dgmm.data.validation import (
    ADMITTED_NAMES,
    RECORDS,
    check_dtype,
    check_shape,
    native,
    refused_dtype,
)
from dgmm.data.zarr.codec_limits import codec_fault
from dgmm.data.zarr.node import ArrayNode
from dgmm.errors import DataError

Pair = tuple[int, int]
_LARGEST = 2**62
_MOST_EXPANSION, _MOST_OVERHEAD = 8, 2**20
#: The sharding codec's usual index: little-endian uint64 pairs and a checksum of 4 bytes.
_INDEX_CODECS = ("bytes", "crc32c")
#: Parts of the names of version 3's other data types; the first that is found tells the meaning.
_MEANINGS = {
    "struct": RECORDS,
    "complex": "complex numbers",
    "timedelta": "time spans",
    "date": "dates",
    "utf": "strings",
    "string": "strings",
    "bytes": "byte strings",
}


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """How the rows of one array lie in files.

    A *file* holds a chunk or a shard; a *unit* is what is decoded on its own: the inner chunk of a
    shard, else the file's chunk.

    Parameters
    ----------
    shape, file_shape, unit_shape : (rows, features)
    dtype
        In native byte order.
    prefix, separator : str
        Of the files' keys: `c/3/0` has `c` and `/`.
    is_sharded : bool
        Whether files are shards, whose units can be read alone.
    index_at_start : bool
        Where a shard's index lies.
    is_index_readable : bool
        Whether the shards' index has the usual encoding, so that absent inner chunks can be told.
    is_vector : bool
        Whether the array has one dimension, and stands here as rows of one feature.
    """

    shape: Pair
    file_shape: Pair
    unit_shape: Pair
    dtype: np.dtype[Any]
    prefix: str
    separator: str
    is_sharded: bool = False
    index_at_start: bool = False
    is_index_readable: bool = True
    is_vector: bool = False

    @property
    def files(self) -> Pair:
        """Files along rows and features."""
        return _count(self.shape, self.file_shape)

    @property
    def units(self) -> Pair:
        """Units along rows and features, those that lie wholly outside the array left out."""
        return _count(self.shape, self.unit_shape)

    @property
    def units_per_file(self) -> Pair:
        """Units along rows and features of one file."""
        return _count(self.file_shape, self.unit_shape)

    def file_of(self, unit: Pair) -> Pair:
        """The file that holds a unit."""
        a, b = self.units_per_file
        return unit[0] // a, unit[1] // b

    def place_in_file(self, unit: Pair) -> Pair:
        """A unit's place among those of its file."""
        a, b = self.units_per_file
        return unit[0] % a, unit[1] % b

    def key(self, file: Pair) -> str:
        """A file's path below the array's folder."""
        own = file[:1] if self.is_vector else file
        parts = ([self.prefix] if self.prefix else []) + [str(i) for i in own]
        return self.separator.join(parts)

    def name(self, unit: Pair) -> str:
        """A unit in words."""
        key = self.key(self.file_of(unit))
        if not self.is_sharded:
            return f"chunk {key}"
        row, column = self.place_in_file(unit)
        return f"inner chunk ({row}, {column}) of shard {key}"

    def claim(self) -> str:
        """The array's size in words."""
        size = math.prod(self.shape) * self.dtype.itemsize
        return f"{self.shape[0]} × {self.shape[1]} {self.dtype.name} ({size:.3g} bytes)"


def most_encoded_bytes(shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Bytes that no file of a chunk or shard of this shape exceeds, whatever encoded it.

    A filter may store bytes as float64; compressors add little to what they cannot compress.
    """
    return _MOST_EXPANSION * math.prod(shape) * dtype.itemsize + _MOST_OVERHEAD


def layout_of(node: ArrayNode) -> ArrayLayout:
    """Read an array's layout from its metadata.

    Raises
    ------
    DataError
        If the metadata are damaged, or describe an array that cannot be fitted.
    """
    try:
        refuse_codecs(node)
        return _layout_v3(node) if node.zarr_format == 3 else _layout_v2(node)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(
            f"{node.folder}: metadata are damaged or not of Zarr {node.zarr_format}: "
            f"{type(error).__name__} {safe_text(str(error))}"
        ) from None


def refuse_codecs(node: ArrayNode) -> None:
    """Refused here, whatever zarr would do: reading a pickle runs what it says.

    Raises
    ------
    DataError
        Naming the codec.
    """
    if (fault := codec_fault(node.metadata)) is not None:
        raise DataError(f"{node.folder}: its metadata name {fault}")
    if any("pickle" in str(node.metadata.get(key)) for key in ("filters", "compressor", "codecs")):
        raise DataError(
            f"{node.folder}: its chunks are encoded as pickle, which runs code when it is read and "
            "is never decoded here. Write the array again with another codec"
        )


def _layout_v2(node: ArrayNode) -> ArrayLayout:
    document = node.metadata
    dtype = _dtype_v2(document["dtype"], node.folder)
    shape = _shape(document["shape"], node.folder)
    chunk = _chunk(document["chunks"], "chunks", node.folder)
    separator = _separator(document.get("dimension_separator", "."), node.folder)
    return ArrayLayout(shape, chunk, chunk, dtype, prefix="", separator=separator)


def _layout_v3(node: ArrayNode) -> ArrayLayout:
    document, folder = node.metadata, node.folder
    if document.get("zarr_format") != 3 or document.get("node_type") != "array":
        raise DataError(
            f"{folder}/zarr.json: expected zarr_format 3 and node_type array, found "
            f"{document.get('zarr_format')!r} and {document.get('node_type')!r}"
        )
    dtype = _dtype_v3(document["data_type"], folder)
    shape = _shape(document["shape"], folder)
    grid = document["chunk_grid"]
    if grid["name"] != "regular":
        raise DataError(
            f"{folder}: chunk grid {safe_text(str(grid['name']))!r}; only regular chunks are read. "
            "Rewrite the array with chunks of one size"
        )
    file_shape = _chunk(grid["configuration"]["chunk_shape"], "chunk_shape", folder)
    prefix, separator = _key_encoding(document["chunk_key_encoding"], folder)
    codecs = document["codecs"]
    inner = sharding_of(codecs)
    if inner is None:
        # Behind another codec a shard is decoded as a whole, and its index cannot be looked into.
        hidden = any(_name(codec) == "sharding_indexed" for codec in codecs)
        return ArrayLayout(
            shape, file_shape, file_shape, dtype, prefix, separator, is_index_readable=not hidden
        )
    unit_shape = _chunk(inner["chunk_shape"], "sharding_indexed chunk_shape", folder)
    if any(a % b for a, b in zip(file_shape, unit_shape, strict=True)):
        raise DataError(f"{folder}: inner chunks {unit_shape} do not divide shards {file_shape}")
    return ArrayLayout(
        shape,
        file_shape,
        unit_shape,
        dtype,
        prefix,
        separator,
        is_sharded=True,
        index_at_start=inner.get("index_location", "end") == "start",
        is_index_readable=has_usual_index(inner),
    )


def sharding_of(codecs: Sequence[Any]) -> Mapping[str, Any] | None:
    """The configuration of the sharding codec where it is the only one."""
    if len(codecs) != 1 or _name(codecs[0]) != "sharding_indexed":
        return None
    configuration: Mapping[str, Any] = codecs[0]["configuration"]
    return configuration


def has_usual_index(sharding: Mapping[str, Any]) -> bool:
    """Whether a shard's index is encoded as zarr does by itself."""
    codecs = sharding.get("index_codecs")
    if codecs is None:
        return True
    names = tuple(_name(codec) for codec in codecs)
    first = codecs[0] if codecs and isinstance(codecs[0], Mapping) else {}
    endian = (first.get("configuration") or {}).get("endian", "little")
    return names == _INDEX_CODECS and endian == "little"


def _name(codec: Any) -> str:
    return codec if isinstance(codec, str) else str(codec["name"])


def _dtype_v2(name: Any, folder: str) -> np.dtype[Any]:
    if not isinstance(name, str):
        raise refused_dtype(safe_text(str(name)), RECORDS, folder)
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError):
        raise refused_dtype(safe_text(name), "another type", folder) from None
    check_dtype(dtype, folder)
    return native(dtype)


def _dtype_v3(name: Any, folder: str) -> np.dtype[Any]:
    if not isinstance(name, str):
        name = str(name["name"])
    if name not in ADMITTED_NAMES:
        raise refused_dtype(safe_text(name), _meaning(name), folder)
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype


def _meaning(name: str) -> str:
    """What a data type of version 3 holds, in words; extensions may begin with their library's."""
    return next((meaning for word, meaning in _MEANINGS.items() if word in name), "another type")


def _key_encoding(encoding: Any, folder: str) -> tuple[str, str]:
    name = _name(encoding)
    configuration = (encoding.get("configuration") or {}) if isinstance(encoding, Mapping) else {}
    if name not in {"default", "v2"}:
        raise DataError(f"{folder}: unknown chunk key encoding {safe_text(name)!r}")
    usual = "/" if name == "default" else "."
    separator = _separator(configuration.get("separator", usual), folder)
    return ("c" if name == "default" else ""), separator


def _separator(value: Any, folder: str) -> str:
    if value not in {".", "/"}:
        raise DataError(f"{folder}: metadata are damaged: chunk key separator {value!r}")
    return str(value)


def _shape(values: Any, folder: str) -> Pair:
    _check_integers(values, "shape", folder, smallest=0)
    if len(values) == 2 and values[0] * values[1] > _LARGEST:
        raise DataError(
            f"{folder}: metadata claim {values[0]} × {values[1]} values, more than 2^62"
        )
    check_shape(values, folder)
    return int(values[0]), int(values[1])


def _chunk(values: Any, what: str, folder: str) -> Pair:
    _check_integers(values, what, folder, smallest=1)
    if len(values) != 2:
        raise DataError(f"{folder}: metadata are damaged: {what} {values} for a shape of two sizes")
    return int(values[0]), int(values[1])


def _check_integers(values: Any, what: str, folder: str, *, smallest: int) -> None:
    is_valid = isinstance(values, list) and all(
        isinstance(v, int) and not isinstance(v, bool) and smallest <= v <= _LARGEST for v in values
    )
    if not is_valid:
        raise DataError(
            f"{folder}: metadata are damaged: {what} is {safe_text(str(values))}; expected "
            f"integers of at least {smallest}"
        )


def _count(whole: Pair, part: Pair) -> Pair:
    return -(-whole[0] // part[0]), -(-whole[1] // part[1])
