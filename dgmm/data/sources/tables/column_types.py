"""Which Arrow types are numbers, and the one type that a column has in all files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dgmm.data.sources.tables.arrow import arrow
from dgmm.errors import DataError

#: Types whose values are all float32 numbers.
_NARROW = ("bool", "int8", "uint8", "int16", "uint16", "halffloat", "float", "null")


def width(kind: Any) -> int:
    """How many features a column of that type makes: 1, the length of its vectors, 0: none."""
    types = arrow("types")
    if types.is_fixed_size_list(kind):
        return int(kind.list_size) if is_number(kind.value_type) else 0
    return 1 if is_number(kind) else 0


def is_number(kind: Any) -> bool:
    """Whether values of that type are numbers: integers, floats, booleans, decimals."""
    types = arrow("types")
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(test(kind) for test in tests)


def is_mask(kind: Any) -> bool:
    """Whether a column of that type can be another's mask: booleans, or vectors of them."""
    types = arrow("types")
    return bool(
        types.is_boolean(kind)
        or (types.is_fixed_size_list(kind) and types.is_boolean(kind.value_type))
    )


def is_nested(kind: Any) -> bool:
    """Whether values of that type are lists, vectors or records."""
    return bool(arrow("types").is_nested(kind))


def list_remedy(kind: Any) -> str:
    """For messages: what to do about lists of numbers whose type does not say their length."""
    types = arrow("types")
    if not (types.is_list(kind) or types.is_large_list(kind)) or not is_number(kind.value_type):
        return ""
    return (
        ". Lists of one length are features where their type says it: cast the column to "
        "pyarrow.list_(pyarrow.float32(), LENGTH) and write the table again"
    )


def is_text(kind: Any) -> bool:
    """Whether values of that type are text."""
    types = arrow("types")
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def decoded(kind: Any) -> Any:
    """The type of a dictionary's values; any other type itself."""
    types = arrow("types")
    return kind.value_type if types.is_dictionary(kind) else kind


def feature_dtype(kinds: Sequence[Any]) -> np.dtype[Any]:
    """float32 where it holds every value of these types, else float64."""
    types = arrow("types")
    inner = [kind.value_type if types.is_fixed_size_list(kind) else kind for kind in kinds]
    return np.dtype(np.float32 if all(str(kind) in _NARROW for kind in inner) else np.float64)


def common_type(name: str, found: Sequence[tuple[str, Any]]) -> Any:
    """The type that a carried column is written with, from (file, type) of every file.

    Raises
    ------
    DataError
        If files disagree and no type holds the values of all as they are.
    """
    library, types = arrow(), arrow("types")
    typed = [(file, decoded(kind)) for file, kind in found if not types.is_null(decoded(kind))]
    if not typed:
        return library.string()
    kinds = list(dict.fromkeys(kind for _, kind in typed))
    if len(kinds) == 1:
        return kinds[0]
    if all(map(is_text, kinds)):
        return library.large_string()
    if all(map(types.is_signed_integer, kinds)):
        return max(kinds, key=lambda kind: kind.bit_width)
    if all(map(types.is_unsigned_integer, kinds)):
        return max(kinds, key=lambda kind: kind.bit_width)
    (first, kind), (other, other_kind) = typed[0], next(p for p in typed if p[1] != typed[0][1])
    raise DataError(
        f"column {name!r} is {kind} in {first} and {other_kind} in {other}: results carry it as it "
        "is, with one type. Write it with one type in all files, or leave it out"
    )
