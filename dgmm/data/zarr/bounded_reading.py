"""A Zarr array whose codecs never unpack more than a chunk is due to hold."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import zarr
from zarr.abc.codec import ArrayArrayCodec, BytesBytesCodec, Codec
from zarr.codecs import ShardingCodec

from dgmm.data.zarr.bounded_codecs import Decode, Due, bounded_decode

Spec: TypeAlias = Any  # zarr.core.array_spec.ArraySpec, which zarr does not export


def bound_decoding(array: zarr.Array[Any]) -> None:
    """Exchange the codecs of an array that was opened for reading; of others nothing changes.

    An array whose pipeline is not zarr's own (a user's setting) is left as it is.
    """
    opened = array.async_array
    pipeline: Any = opened.codec_pipeline
    if opened.metadata.zarr_format == 2:
        bounded = _bounded_v2(pipeline, opened.metadata)
    else:
        bounded = type(pipeline).from_codecs(_bounded(pipeline))
    object.__setattr__(opened, "codec_pipeline", bounded)  # zarr has no other way


def _bounded(codecs: Any) -> Iterable[Codec]:
    """The codecs of one pipeline, those within shards and their index too."""
    inner: list[Codec] = []
    for codec in codecs:
        inner.append(_bounded_one(codec, tuple(inner)))
    return inner


def _bounded_one(codec: Codec, inner: tuple[Codec, ...]) -> Codec:
    if isinstance(codec, ShardingCodec):
        return replace(
            codec,
            codecs=tuple(_bounded(codec.codecs)),
            index_codecs=tuple(_bounded(codec.index_codecs)),
        )
    if not isinstance(codec, BytesBytesCodec):
        return codec
    described = codec.to_dict()
    configuration: Any = described.get("configuration") or {}
    decode = bounded_decode(str(described["name"]), configuration)
    return codec if decode is None else BoundedCodec(codec, inner, decode)


@dataclass(frozen=True)
class BoundedCodec(BytesBytesCodec):
    """A compressor that gives no more bytes than those of the codecs before it can have made.

    Parameters
    ----------
    codec
        The compressor.
    inner
        What it compressed: the codecs before it, from the array on.
    decode
        Unpacks within a bound.
    """

    codec: BytesBytesCodec
    inner: tuple[Codec, ...]
    decode_within: Decode

    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        """As the compressor's."""
        return self.codec.to_dict()

    def evolve_from_array_spec(self, array_spec: Spec) -> BoundedCodec:  # noqa: ARG002 - zarr's
        """The same; decoding follows no part of the array's type."""
        return self

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Spec) -> int:
        """As the compressor's."""
        return self.codec.compute_encoded_size(input_byte_length, chunk_spec)

    def _decode_sync(self, chunk_bytes: Any, chunk_spec: Spec) -> Any:
        decoded = self.decode_within(chunk_bytes.as_numpy_array(), self._due(chunk_spec))
        return chunk_spec.prototype.buffer.from_bytes(decoded)

    async def _decode_single(self, chunk_data: Any, chunk_spec: Spec) -> Any:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: Any, chunk_spec: Spec) -> Any:
        raise NotImplementedError("arrays with bounded codecs are read only")

    def _due(self, spec: Spec) -> Due:
        """What the codecs before this one have made of a chunk of this type and shape."""
        due = _of_chunk(spec.shape, spec.dtype)
        for codec in self.inner:
            due = _after(codec, due, spec)
        return due


@functools.lru_cache(maxsize=64)
def _of_chunk(shape: tuple[int, ...], dtype: Any) -> Due:
    return Due.of_chunk(math.prod(shape) * dtype.to_native_dtype().itemsize)


def _after(codec: Codec, due: Due, spec: Spec) -> Due:
    """What another codec makes of so many bytes; of array-to-array codecs the spec tells it."""
    if isinstance(codec, ArrayArrayCodec):
        return due
    if isinstance(codec, ShardingCodec):
        n_chunks = math.prod(spec.shape) // max(math.prod(codec.chunk_shape), 1)
        return Due(due.most + 16 * n_chunks, exact=True).between()
    try:
        return Due(codec.compute_encoded_size(due.most, spec), exact=due.exact)
    except NotImplementedError:
        return due.between()


def _bounded_v2(pipeline: Any, metadata: Any) -> Any:
    """The pipeline of a version 2 array, whose one codec has filters and a compressor."""
    own = pipeline.array_bytes_codec
    due = Due.of_chunk(math.prod(metadata.chunks) * metadata.dtype.to_native_dtype().itemsize)
    compressor = _BoundedNumcodec.of(own.compressor, due.filtered() if own.filters else due)
    filters = tuple(_BoundedNumcodec.of(one, due.filtered()) for one in own.filters or ())
    return replace(pipeline, array_bytes_codec=replace(own, compressor=compressor, filters=filters))


@dataclass(frozen=True)
class _BoundedNumcodec:
    """A filter or compressor of version 2 as decoders see it."""

    decode_within: Decode
    due: Due

    @classmethod
    def of(cls, codec: Any, due: Due) -> Any:
        """Those that enlarge a little are bounded too: one after another they enlarge much."""
        if codec is None:
            return None
        decode = bounded_decode(codec.codec_id, codec.get_config())
        return cls(functools.partial(_checked, codec) if decode is None else decode, due)

    def decode(self, data: Any) -> Any:
        """What is unpacked."""
        return self.decode_within(data, self.due)


def _checked(codec: Any, data: Any, due: Due) -> Any:
    decoded = codec.decode(data)
    due.check(memoryview(decoded).nbytes)
    return decoded
