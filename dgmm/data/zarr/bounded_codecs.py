"""Decoding that stops where a chunk's declared size ends: a small file must not fill the memory.

No library serves: neither Zarr nor numcodecs takes a bound for what a codec unpacks.
Codecs of Zarr unpack whatever a stream says: 78 kB of zstd or 2.4 MB of gzip become 4 GB. Where the
decoded size is known (nearly always: the chunk's own), it is what is asked for; elsewhere at most a
bound. Formats whose header tells the size are refused by that header.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numcodecs
import numpy as np
from numpy.typing import NDArray

from dgmm.errors import StoppedError
from dgmm.runtime import stop_flag as stopping

Bytes = NDArray[np.uint8]

#: Filters before a compressor may enlarge what it gets: bytes become float64, or text.
_FILTERED, _SLACK = 8, 1 << 16
#: Of what lies between two compressors: one makes what it cannot compress hardly larger.
_NESTED = 1.25
#: Bytes of a compressed stream that a decoder is handed at once.
_SMALLEST_PIECE, _LARGEST_PIECE = 4096, 1 << 20
#: Streams in a chunk that may hold nothing.
_EMPTY_STREAMS = 16
#: What a decoder of LZMA may take for its dictionary.
_LZMA_MEMORY = 256 * 1024 * 1024
_BLOSC, _LZ4, _ZSTD = numcodecs.Blosc(), numcodecs.LZ4(), numcodecs.Zstd()
_ZSTD_MAGIC, _ZSTD_HEADER = b"\x28\xb5\x2f\xfd", 18
#: Sizes in the words of numcodecs: of all frames where they tell it, and of what was decoded.
_AT_LEAST = re.compile(r"expected at least (\d+)")
_GOT = re.compile(r"expected to decompress \d+, got (\d+)")


class OversizedChunkError(ValueError):
    """What is unpacked does not end where it should."""

    def __init__(self, due: int) -> None:
        super().__init__(f"it unpacks to more than the {due:,} bytes that are due")


@dataclass(frozen=True, slots=True)
class Due:
    """How many bytes a codec has to give.

    Parameters
    ----------
    most : int
        It never gives more.
    exact : bool
        Nor less.
    """

    most: int
    exact: bool

    @classmethod
    def of_chunk(cls, n_bytes: int) -> Due:
        """The bytes of the chunk itself."""
        return cls(n_bytes, exact=True)

    def between(self) -> Due:
        """The bytes of another compressor's output, of which only a bound is known.

        It holds for a whole chain of compressors: it is not widened once for each.
        """
        return self if not self.exact else Due(int(self.most * _NESTED) + _SLACK, exact=False)

    def filtered(self) -> Due:
        """The bytes of what filters made of the chunk."""
        return Due(self.most * _FILTERED + _SLACK, exact=False)

    def check(self, claimed: int) -> None:
        """Refuse what a header claims beyond that."""
        if claimed > self.most:
            raise OversizedChunkError(self.most)


Decode = Callable[[Any, Due], Any]


def bounded_decode(name: str, configuration: Mapping[str, Any]) -> Decode | None:
    """A decoder of the codec of that name; None for codecs that cannot enlarge without bound.

    Parameters
    ----------
    name
        As in the metadata: `gzip`, or `numcodecs.gzip`.
    configuration
        The codec's own.
    """
    short = name.removeprefix("numcodecs.")
    return _lzma_decoder(configuration) if short == "lzma" else _decoders().get(short)


def _decoders() -> dict[str, Decode]:
    """Those that no configuration matters to."""
    return {
        "gzip": lambda data, due: _inflated(data, due, window_bits=31),
        "zlib": lambda data, due: _inflated(data, due, window_bits=15),
        "bz2": lambda data, due: _in_members(data, due, bz2.BZ2Decompressor),
        "zstd": _decode_zstd,
        "blosc": _decode_blosc,
        "lz4": _decode_lz4,
    }


def _inflated(data: Any, due: Due, *, window_bits: int) -> bytearray:
    """Gzip or zlib; a gzip file may have several members and zeros behind them."""
    return _in_members(
        data, due, lambda: zlib.decompressobj(window_bits), padding=b"\0", several=window_bits > 15
    )


def _in_members(
    data: Any,
    due: Due,
    decoder: Callable[[], Any],
    *,
    padding: bytes = b"",
    several: bool = True,
) -> bytearray:
    """One stream after another, as long as they stay within what is due.

    Streams that hold nothing are legal (bgzip ends with one), but millions of them cost a decoder
    each and bring no rows.
    """
    left, decoded, n_empty = _Left(memoryview(data).cast("B")), bytearray(), 0
    while True:
        before = len(decoded)
        _decode_stream(left, decoder(), decoded, due)
        left.skip(padding)
        if left.is_used_up or not several:
            return decoded
        n_empty += len(decoded) == before
        if n_empty > _EMPTY_STREAMS:
            raise ValueError(f"more than {_EMPTY_STREAMS} compressed streams in it hold nothing")


class _Left:
    """What is not decoded yet.

    Decoders copy what lies behind their stream, so they are handed it in pieces: of many short
    streams the whole rest would be copied for each.
    """

    def __init__(self, data: memoryview) -> None:
        self._data, self._start = data, 0
        self._piece = _LARGEST_PIECE

    @property
    def is_used_up(self) -> bool:
        return self._start >= len(self._data)

    def next_piece(self) -> memoryview:
        piece = self._data[self._start : self._start + self._piece]
        self._start += len(piece)
        self._piece = min(2 * self._piece, _LARGEST_PIECE)
        return piece

    def end_stream(self, n_bytes: int, n_unused: int) -> None:
        """Go back to where a stream of so many bytes ended; the next one may be as long."""
        self._start -= n_unused
        self._piece = min(max(2 * n_bytes, _SMALLEST_PIECE), _LARGEST_PIECE)

    def skip(self, padding: bytes) -> None:
        while padding and not self.is_used_up:
            piece = bytes(self._data[self._start : self._start + _SMALLEST_PIECE])
            self._start += len(piece) - len(piece.lstrip(padding))
            if piece.lstrip(padding):
                return


def _decode_stream(left: _Left, decoder: Any, decoded: bytearray, due: Due) -> None:
    """Add the content of one stream to what was decoded before it."""
    n_bytes = 0
    while not decoder.eof:
        if stopping.requested.is_set():
            raise StoppedError("stopped while a chunk was decoded")
        piece = left.next_piece()
        if not piece:
            raise EOFError("the compressed data end before their end mark")
        n_bytes += len(piece)
        decoded += decoder.decompress(piece, due.most - len(decoded) + 1)
        if len(decoded) > due.most:
            raise OversizedChunkError(due.most)
    n_unused = len(decoder.unused_data)
    left.end_stream(n_bytes - n_unused, n_unused)


def _lzma_decoder(configuration: Mapping[str, Any]) -> Decode:
    form = configuration.get("format", lzma.FORMAT_XZ)
    filters = configuration.get("filters") if form == lzma.FORMAT_RAW else None
    memory = None if form == lzma.FORMAT_RAW else _LZMA_MEMORY

    def decoder() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=form, memlimit=memory, filters=filters)

    several = form != lzma.FORMAT_RAW
    return lambda data, due: _in_members(data, due, decoder, several=several)


def _decode_blosc(data: Any, due: Due) -> Any:
    due.check(_number_at(data, 4))
    return _BLOSC.decode(data)


def _decode_lz4(data: Any, due: Due) -> Any:
    due.check(_number_at(data, 0))
    return _LZ4.decode(data)


def _number_at(data: Any, offset: int) -> int:
    """Four bytes of a header, little-endian; 0 where it is shorter: the codec will report it."""
    return int.from_bytes(memoryview(data).cast("B")[offset : offset + 4], "little")


def _decode_zstd(data: Any, due: Due) -> Any:
    """Zstandard, into a buffer of the decoded size: numcodecs stops where that ends.

    Where all frames tell their sizes, numcodecs refuses a buffer smaller than their sum before it
    decodes anything; where one does not, it takes the buffer's size for the decoded one.
    """
    header = bytes(memoryview(data).cast("B")[:_ZSTD_HEADER])
    told = _zstd_content_size(header)
    if told is not None:
        due.check(told)
    if due.exact and (told == due.most or (told is None and header[:4] == _ZSTD_MAGIC)):
        return _zstd_into(data, due.most)
    try:
        _zstd_into(data, 1)
    except ValueError as error:
        total = _number_in(error, _AT_LEAST)
        due.check(total)
        return _zstd_into(data, total)
    except RuntimeError:
        return _zstd_of_unknown_size(data, due)
    raise ValueError("it unpacks to no more than one byte")


def _zstd_into(data: Any, n_bytes: int) -> Bytes:
    decoded = np.empty(n_bytes, dtype=np.uint8)
    _ZSTD.decode(data, decoded)
    return decoded


def _zstd_of_unknown_size(data: Any, due: Due) -> Bytes:
    """A frame without a size of which only a bound is known: numcodecs tells the size it has."""
    try:
        return _zstd_into(data, due.most)
    except RuntimeError as error:
        return _zstd_into(data, _number_in(error, _GOT))


def _number_in(error: Exception, pattern: re.Pattern[str]) -> int:
    """The size that numcodecs names; the error itself where it names none."""
    found = pattern.search(str(error))
    if found is None:
        raise error
    return int(found[1])


def _zstd_content_size(frame: bytes) -> int | None:
    """What the first frame's header tells; None where it tells none, or is another's.

    RFC 8878, 3.1.1.1: the descriptor's top two bits give the field's width, bit 5 that there is no
    window byte, the lowest two the width of a dictionary's number.
    """
    if frame[:4] != _ZSTD_MAGIC or len(frame) < 5:
        return None
    descriptor = frame[4]
    is_single = descriptor >> 5 & 1
    width = (is_single, 2, 4, 8)[descriptor >> 6]
    start = 5 + (1 - is_single) + (0, 1, 2, 4)[descriptor & 3]
    field = frame[start : start + width]
    if not width or len(field) < width:
        return None
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)
