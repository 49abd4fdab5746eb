"""The two versions of Zarr that arrays are written in, and what they hold in different places."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike
from zarr.codecs import Crc32cCodec, ZstdCodec

from dgmm.data.zarr.conventions import V2_DIMENSIONS
from dgmm.errors import DgmmError
from dgmm.storage.atomic_files import read_json
from dgmm.storage.folders import Folder

ZarrFormat = Literal[2, 3]
#: Names of metadata files of groups and arrays.
METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def creation_options(
    zarr_format: ZarrFormat,
    dtype: DTypeLike,
    dimension_names: Sequence[str],
    fill_value: float,
    attributes: dict[str, Any],
) -> dict[str, Any]:
    """What the versions of Zarr hold in different places."""
    if zarr_format == 3:
        return {
            "compressors": [ZstdCodec(level=1), Crc32cCodec()],
            "dimension_names": tuple(dimension_names),
            "fill_value": fill_value,
            "attributes": attributes,
        }
    is_float = np.dtype(dtype).kind == "f"
    return {
        "compressors": {"id": "zstd", "level": 1, "checksum": True},
        "fill_value": fill_value if is_float else None,
        "attributes": attributes | {V2_DIMENSIONS: list(dimension_names)},
    }


def format_in(folder: Folder) -> ZarrFormat | None:
    """The version of the group or array in a folder; None where there is neither."""
    if _is_regular(folder, "zarr.json"):
        return 3
    return 2 if any(_is_regular(folder, name) for name in (".zarray", ".zgroup")) else None


def _is_regular(folder: Folder, name: str) -> bool:
    return folder.holds(name) and stat.S_ISREG(folder.status(name).st_mode)


def group_attributes(folder: Folder) -> Mapping[str, Any]:
    """What a group of outputs says of itself; nothing where there is none that can be read."""
    zarr_format = format_in(folder)
    try:
        if zarr_format == 3:
            found = read_json(folder / "zarr.json").get("attributes", {})
        else:
            found = read_json(folder / ".zattrs") if zarr_format == 2 else {}
    except (DgmmError, AttributeError):
        return {}
    return found if isinstance(found, Mapping) else {}
