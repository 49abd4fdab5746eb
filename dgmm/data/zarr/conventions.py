"""What an array's metadata say its numbers mean: the masks and the packing of CF, as xarray has it.

In version 2 xarray keeps `_FillValue` as the array's `fill_value`, and reads every one that is not
null as a mask; in version 3 the attribute `_FillValue` is one, in base64 of eight bytes. Anywhere
else a `fill_value` is what Zarr returns where nothing was written, and may be data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dgmm.data.decoding import Decoding
from dgmm.data.encoded_times import refuse_times
from dgmm.data.fill_value import FillValue
from dgmm.data.numeric_attributes import number_of, numbers_in, shown
from dgmm.data.valid_range import ValidRange, valid_range_of
from dgmm.errors import DataError

#: Where xarray keeps the dimensions' names in version 2.
V2_DIMENSIONS = "_ARRAY_DIMENSIONS"
_MASKS = ("_FillValue", "missing_value")
#: Values of these attributes that leave the stored numbers as they are.
_IDENTITIES = {"scale_factor": 1.0, "add_offset": 0.0}
#: Integers of at most so many bytes are float32 where some are masked: it holds them exactly.
_SMALL = 2
_ZEROS_ARE_MISSING = (
    "{source}: zeros are read as missing, as xarray reads them: the array is of Zarr version 2, "
    f"has {V2_DIMENSIONS}, and fill_value 0. If they are data, set fill_value to null in .zarray"
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the stored numbers of an array mean.

    Attributes
    ----------
    dtype : dtype
        Of the values meant.
    decoding : Decoding or None
        None where the stored numbers are the values.
    fill_value : FillValue or None
        What stands where nothing was written, unless that is missing.
    valid_range : ValidRange or None
    warnings : tuple of str
        What a reader of the array may not expect.
    """

    dtype: np.dtype[Any]
    decoding: Decoding | None
    fill_value: FillValue | None
    valid_range: ValidRange | None
    warnings: tuple[str, ...] = ()


def meaning_of(
    source: str,
    attributes: Mapping[str, Any],
    dtype: np.dtype[Any],
    zarr_format: int,
    fill_value: Any,
) -> Meaning:
    """The meaning of an array's numbers by its attributes and its fill value.

    Raises
    ------
    DataError
        If an attribute that changes numbers is none, the array has two fill values, or its numbers
        stand for dates or time spans.
    """
    refuse_times(source, attributes)
    dtype = dtype.newbyteorder("=")
    fill_masks = zarr_format == 2 and V2_DIMENSIONS in attributes and fill_value is not None
    if fill_masks:
        _refuse_two_fill_values(source, attributes, fill_value)
        attributes = {**attributes, "_FillValue": fill_value}
    decoding = _decoding(source, attributes, dtype)
    has_zero = fill_masks and decoding is not None and 0.0 in decoding.masks
    return Meaning(
        dtype if decoding is None else decoding.dtype,
        decoding,
        None if fill_masks else _fill_value(fill_value, dtype, decoding),
        _valid_range(source, attributes, dtype, decoding),
        (_ZEROS_ARE_MISSING.format(source=source),) if has_zero else (),
    )


def refuse_encoded(source: str, attributes: Mapping[str, Any], kind: str) -> None:
    """Refuse attributes by which an array in memory has other values than its numbers.

    Parameters
    ----------
    source, attributes
        The array's.
    kind : str
        The array's NumPy kind: `_Unsigned` changes what integers mean.

    Raises
    ------
    DataError
        Naming the attributes.
    """
    refuse_times(source, attributes)
    found = [name for name in _IDENTITIES if _number(source, attributes, name) is not None]
    found += [name for name in _MASKS if _numbers(source, attributes, name)]
    if _is_other_sign(attributes.get("_Unsigned"), kind):
        found.append("_Unsigned")
    if found:
        values = ", ".join(f"{name} = {shown(attributes[name])}" for name in found)
        raise DataError(
            f"{source}: attributes {', '.join(found)} say that the numbers are encoded ({values}); "
            "expected the values meant, with NaN where they are missing. xarray.decode_cf(dataset) "
            "makes them of the dataset that holds the array"
        )


def _decoding(source: str, attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> Decoding | None:
    scale, offset = (_number(source, attributes, name) for name in _IDENTITIES)
    other = _is_other_sign(attributes.get("_Unsigned"), dtype.kind)
    stored_as = np.dtype(f"{'u' if dtype.kind == 'i' else 'i'}{dtype.itemsize}") if other else None
    fills, others = (_numbers(source, attributes, name) for name in _MASKS)
    if stored_as is not None:
        fills = [_in_other_sign(fill, dtype, stored_as) for fill in fills]
    masks = () if dtype.kind == "b" else tuple(dict.fromkeys((*fills, *others)))
    found = Decoding(stored_as or dtype, masks, stored_as=stored_as)
    if scale is not None or offset is not None:
        # A mask of floats that is NaN alone leaves them their type, and so does xarray.
        has_nan = dtype.kind == "f" and not masks and any(name in attributes for name in _MASKS)
        packed = dtype if has_nan else np.dtype(np.float64)
        scale, offset = 1.0 if scale is None else scale, 0.0 if offset is None else offset
        return replace(found, dtype=packed, scale=scale, offset=offset)
    if masks:
        return replace(found, dtype=_with_nan(found.dtype))
    return found if other else None


def _with_nan(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which values of this one may be missing."""
    if dtype.kind == "f":
        return dtype
    return np.dtype(np.float32 if dtype.itemsize <= _SMALL else np.float64)


def _number(source: str, attributes: Mapping[str, Any], name: str) -> float | None:
    """Scale or offset; None where it changes nothing."""
    if name not in attributes:
        return None
    values = numbers_in(attributes[name])
    if len(values) != 1 or values[0] is None or not math.isfinite(values[0]):
        raise DataError(
            f"{source}: attribute {name} is {shown(attributes[name])}; expected one finite number. "
            "Correct the attribute, or remove it if the stored numbers are the values"
        )
    return None if values[0] == _IDENTITIES[name] else values[0]


def _numbers(source: str, attributes: Mapping[str, Any], name: str) -> list[float]:
    """Numbers that stand for missing values, NaN left out."""
    if name not in attributes:
        return []
    values = numbers_in(attributes[name])
    if any(value is None for value in values):
        raise DataError(
            f"{source}: attribute {name} is {shown(attributes[name])}; expected a number that "
            "stands for missing values. Correct the attribute, or remove it if all cells are data"
        )
    return [value for value in values if value is not None and not math.isnan(value)]


def _refuse_two_fill_values(source: str, attributes: Mapping[str, Any], fill_value: Any) -> None:
    """Refuse an attribute `_FillValue` beside another fill value: xarray masks the latter alone."""
    if "_FillValue" not in attributes:
        return
    one, other = numbers_in(attributes["_FillValue"]), number_of(fill_value)
    if len(one) == 1 and (one[0] == other or (_is_nan(one[0]) and _is_nan(other))):
        return
    raise DataError(
        f"{source}: its attribute _FillValue is {shown(attributes['_FillValue'])}, and its "
        f"fill_value {shown(fill_value)}, which xarray takes for the mask in Zarr version 2 (the "
        f"array has {V2_DIMENSIONS}). Give both one value, or set fill_value to null in .zarray"
    )


def _is_nan(value: float | None) -> bool:
    return value is not None and math.isnan(value)


def _fill_value(stored: Any, dtype: np.dtype[Any], decoding: Decoding | None) -> FillValue | None:
    """What stands where nothing was written; None of NaN, of a mask and of no value."""
    value = number_of(stored)
    if value is None or math.isnan(value):
        return None
    if decoding is not None:
        value = float(decoding.apply(np.array([stored], dtype))[0])
    return None if math.isnan(value) else FillValue(value)


def _valid_range(
    source: str, attributes: Mapping[str, Any], dtype: np.dtype[Any], decoding: Decoding | None
) -> ValidRange | None:
    """The valid range of the values meant.

    Of packed values attributes give it in stored numbers, unless those are integers and it is not
    (CF conventions, section 8.1).
    """
    if decoding is None or not decoding.is_packed:
        return valid_range_of(source, attributes, dtype if decoding is None else decoding.dtype)
    found = valid_range_of(source, attributes, dtype)
    if found is None or (dtype.kind in "iu" and not found.is_whole):
        return found
    ends = decoding.unpacked(np.array([found.low, found.high], decoding.dtype))
    low, high = sorted(map(float, ends))
    return replace(found, low=low, high=high)


def _in_other_sign(value: float, dtype: np.dtype[Any], stored_as: np.dtype[Any]) -> float:
    """A fill value as integers of the other sign have it."""
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        return value
    return float(np.array(int(value), dtype).view(stored_as))


def _is_other_sign(value: object, kind: str) -> bool:
    return {"true": "i", "false": "u"}.get(str(value).lower()) == kind
