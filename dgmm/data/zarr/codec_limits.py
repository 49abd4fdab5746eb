"""How many codecs of an array are decoded, and into how wide values.

Each compressor of a chain is bounded by itself; of thousands the time and the memory add up, and a
filter that changes the type may make a megabyte of each byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

#: Writers use one to three; those of shards and of their index count by themselves.
_MOST_CODECS = 8
#: Bytes of the widest number.
_WIDEST = 32
_LISTS, _TYPES = ("codecs", "index_codecs", "filters"), ("dtype", "decode_dtype")


def codec_fault(metadata: Mapping[str, Any]) -> str | None:
    """What is wrong with the codecs in the metadata of an array; None where they are decoded."""
    for key, codecs in _lists(metadata):
        if len(codecs) > _MOST_CODECS:
            return (
                f"{len(codecs):,} {key}; at most {_MOST_CODECS} in a row are decoded. Write the "
                "array again with fewer"
            )
        for codec in codecs:
            own = _configuration(codec)
            if any(_width(own.get(key)) > _WIDEST for key in _TYPES):
                return (
                    f"the codec {_name(codec)}, which makes values of more than {_WIDEST} "
                    "bytes of what is stored; expected numbers. Write the array again without it"
                )
    return None


def _lists(metadata: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Each list of codecs, those within shards too."""
    left = [metadata]
    while left:
        one = left.pop()
        for key in _LISTS:
            codecs = one.get(key)
            if isinstance(codecs, list):
                yield key, codecs
                left += [_configuration(codec) for codec in codecs]


def _configuration(codec: Any) -> Mapping[str, Any]:
    """Of version 3 in a mapping of its own; of version 2 beside the name."""
    if not isinstance(codec, Mapping):
        return {}
    own = codec.get("configuration", codec)
    return own if isinstance(own, Mapping) else {}


def _name(codec: Mapping[str, Any]) -> str:
    return repr(str(codec.get("name", codec.get("id"))))[:60]


def _width(name: Any) -> int:
    try:
        return np.dtype(name).itemsize if isinstance(name, str) else 0
    except (TypeError, ValueError):  # its codec will refuse it
        return 0
