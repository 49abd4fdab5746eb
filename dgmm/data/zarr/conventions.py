"""What an array's metadata say its numbers mean: the masks and the packing of CF.

Nothing is decoded here: an array whose stored numbers are not the values meant is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dgmm.data.encoded_times import refuse_times
from dgmm.data.fill_value import FillValue
from dgmm.data.numeric_attributes import number_of, numbers_in, shown
from dgmm.errors import DataError

#: Where xarray keeps the dimensions' names in version 2.
V2_DIMENSIONS = "_ARRAY_DIMENSIONS"
_MASKS = ("_FillValue", "missing_value")
#: Values of these attributes that leave the stored numbers as they are.
_IDENTITIES = {"scale_factor": 1.0, "add_offset": 0.0}
_REMEDY = (
    "dgmm does not decode them yet. Write the decoded values (NaN where they are missing) without "
    "these attributes; from xarray: "
    "ds.drop_encoding().to_zarr(path, encoding={name: {'_FillValue': None}})"
)


def refuse_encoded(folder: str, attributes: Mapping[str, Any], kind: str) -> None:
    """Refuse attributes by which stored numbers are not the values meant (CF conventions).

    A mask that is NaN, a scale of 1 and an offset of 0 need no decoding. Dates and time spans do.

    Parameters
    ----------
    folder, attributes
        The array's.
    kind : str
        The array's NumPy kind: `_Unsigned` changes what integers mean.

    Raises
    ------
    DataError
        Naming the attributes.
    """
    refuse_times(folder, attributes)
    found = [name for name in (*_IDENTITIES, *_MASKS) if _changes_values(name, attributes)]
    if _is_other_sign(attributes.get("_Unsigned"), kind):
        found.append("_Unsigned")
    if found:
        values = ", ".join(f"{name} = {shown(attributes[name])}" for name in found)
        raise DataError(
            f"{folder}: attributes {', '.join(found)} say that the stored numbers are encoded "
            f"({values}), and {_REMEDY}"
        )


def fill_value_of(
    folder: str, zarr_format: int, fill_value: Any, attributes: Mapping[str, Any]
) -> FillValue | None:
    """The array's fill value where it could stand among its values; None of NaN or no value.

    In version 2 xarray keeps `_FillValue` as the array's `fill_value`, and reads every one that is
    not null as a mask. 0 is also the default of other writers, so that it is a mask only where
    cells are equal to it.

    Raises
    ------
    DataError
        If it is a mask other than 0.
    """
    value = number_of(fill_value)
    if value is None or math.isnan(value):
        return None
    is_mask = zarr_format == 2 and V2_DIMENSIONS in attributes
    if is_mask and value != 0.0:
        raise DataError(
            f"{folder}: its fill_value {value:.6g} is a mask: xarray keeps _FillValue there in "
            f"Zarr version 2 (the array has {V2_DIMENSIONS}), and {_REMEDY}. If cells of that "
            "value are data, set fill_value to null in .zarray"
        )
    return FillValue(value, is_mask)


def _changes_values(name: str, attributes: Mapping[str, Any]) -> bool:
    if name not in attributes:
        return False
    values = numbers_in(attributes[name])
    if name in _IDENTITIES:
        return values != [_IDENTITIES[name]]
    return not all(v is not None and math.isnan(v) for v in values)


def _is_other_sign(value: object, kind: str) -> bool:
    return {"true": "i", "false": "u"}.get(str(value).lower()) == kind
