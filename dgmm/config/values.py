"""The kinds of values a job file holds, each with one strict rule for what it accepts.

A whole number may be written `8` or `8.0`; text is never read as a number (`"8"` is refused) and
neither is `true`. Numbers are finite. Paths are local and plain.
"""

from __future__ import annotations

import os
import re
import sys
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", start=1)}
_UNITS |= {f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", start=1)}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kKMGT]i?B|B)?")
#: Schemes, and chains of file systems such as `simplecache::s3://bucket`: no scheme is read yet.
_URL = re.compile(r"://|::")
#: Counts beyond this are slips of the pen, and make sizes that no float holds.
_MOST = 1_000_000_000
_MOST_BYTES = 2**63 - 1
#: More than any float has.
_MOST_DIGITS = 400
_ADDRESS = re.compile(r"(?:tcp://)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}")


def parse_bytes(text: str) -> int | None:
    """The number of bytes in `4GiB` (1024³), `500 MB` (1000²) or `1000`.

    Own code: pydantic's ByteSize and Dask's parse_bytes go through floats (1.001kB is 1000 there,
    and numbers beyond 2^53 are rounded), and read `4g`, `4bit`, `1e9` or `-1GiB` as sizes.
    None if it is no size, or one that no float holds.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or len(match[1]) > _MOST_DIGITS:
        return None
    unit = (match[2] or "").replace("KB", "kB").replace("kiB", "KiB")
    n_bytes = int(Fraction(match[1]) * _UNITS[unit])  # 1.001 * 1000 is below 1001 in floats
    return n_bytes if n_bytes <= sys.float_info.max else None


def refusal(text: str) -> PydanticCustomError:
    """An error whose words go to the user as they stand."""
    return PydanticCustomError("refused", "{text}", {"text": text})


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _size(value: Any) -> Any:
    if isinstance(value, str) and (n_bytes := parse_bytes(value)) is not None:
        return n_bytes
    return _whole(value)


def _local_path(path: str) -> str:
    if path.startswith("file://"):
        raise refusal("expected a plain local path: leave out file://")
    if _URL.search(path):
        raise refusal(
            "expected a local path (no :// and no ::): reading and writing by URL is not built yet"
        )
    if path.startswith("~"):
        raise refusal("expected a path without ~, which is not expanded here: write ${HOME}")
    if "\0" in path:
        raise refusal("expected a path without a NUL character")
    if "\n" in path or "\r" in path:
        raise refusal("expected a path on one line, without a line break in it")
    return _nameable(path)


def _nameable(path: str) -> str:
    """A path that the file system's encoding has all letters of."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        encoding, letter = sys.getfilesystemencoding(), ascii(path[error.start])
        raise refusal(
            f"names of files are encoded as {encoding} in this locale, which has no {letter}: set "
            "the environment variable PYTHONUTF8=1, or a locale with UTF-8 (LC_ALL=C.UTF-8)"
        ) from None
    return path


def _unique(names: list[str]) -> list[str]:
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise refusal(f"expected each name once: {repeated!r} stands in the list more than once")
    return names


def _ordered(ends: list[float]) -> list[float]:
    if ends[0] > ends[1]:
        raise refusal("expected the smaller end of an interval first: [first, last]")
    return ends


def _scheduler_address(address: str) -> str:
    if address.startswith("tls://"):
        raise refusal("expected tcp://HOST:PORT: encrypted clusters (tls) are not built yet")
    if not _ADDRESS.fullmatch(address):
        raise refusal("expected the scheduler's address, tcp://HOST:PORT")
    return address


def _known_version(version: int) -> int:
    if version > 1:
        raise refusal("this file was made for a newer dgmm; this one reads version 1. Upgrade dgmm")
    return version


#: Lets `8.0` stand for 8. Outermost, so that bounds reach the JSON Schema of the number within.
WHOLE = BeforeValidator(_whole)

Share = Annotated[float, Field(strict=True, gt=0, lt=1)]
NotNegative = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
AutoShare = Literal["auto", "held_out"] | NotNegative
Flag = Annotated[bool, Field(strict=True)]
LocalPath = Annotated[
    str, Field(min_length=1, json_schema_extra={"format": "path"}), AfterValidator(_local_path)
]
LocalPaths = Annotated[
    Annotated[LocalPath, Tag("path")]
    | Annotated[Annotated[list[LocalPath], Field(min_length=1)], Tag("paths")],
    # Not both branches tried, each with its own error.
    Discriminator(lambda value: "paths" if isinstance(value, list) else "path"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "format": "path"},
                {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
            ]
        }
    ),
]
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], Field(min_length=1), AfterValidator(_unique)]
Character = Annotated[str, Field(min_length=1, max_length=1)]
Interval = Annotated[
    list[Annotated[float, Field(strict=False, allow_inf_nan=False)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_ordered),
]
ArrayName = Annotated[Name, AfterValidator(_nameable)]
Address = Annotated[str, AfterValidator(_scheduler_address)]
Version = Annotated[int, Field(strict=True, ge=1), AfterValidator(_known_version), WHOLE]
Count = Annotated[int, Field(strict=True, ge=1, le=_MOST), WHOLE]
AutoCount = Literal["auto"] | Count
Number = Annotated[int, Field(strict=True, ge=0, le=_MOST), WHOLE]
AutoNumber = Literal["auto"] | Number
MemoryLimit = Annotated[
    Literal["auto"] | Annotated[int, Field(strict=True, ge=1, le=_MOST_BYTES)],
    BeforeValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "auto"},
                {"type": "integer", "minimum": 1, "maximum": _MOST_BYTES},
                {"type": "string", "pattern": f"^{_SIZE.pattern}$", "examples": ["4GiB"]},
            ]
        }
    ),
]
