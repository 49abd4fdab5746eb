"""The header of a .npy file: shape, type and order of the values that follow it."""

from __future__ import annotations

from dataclasses import dataclass
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from dgmm.data.feature_names import safe_text
from dgmm.data.validation import check_dtype, native
from dgmm.errors import DataError

#: More than the header of any array without fields.
_MOST_HEADER = 10_000


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What a .npy file says of its values.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        As stored, in its byte order.
    is_fortran : bool
        Whether the first dimension runs fastest.
    n_bytes : int
        Of the header: where the values begin.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool
    n_bytes: int

    @property
    def value_bytes(self) -> int:
        """Bytes of all values."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    @property
    def native_dtype(self) -> np.dtype[Any]:
        """The type in the machine's own byte order."""
        return native(self.dtype)


def read_header(stream: IO[bytes], where: str) -> NpyHeader:
    """Read the header; the stream stands at the first value afterwards.

    Raises
    ------
    DataError
        If it is damaged, or the values are no real numbers (records, Python objects, text).
    """
    try:
        version = npy_format.read_magic(stream)
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }.get(version, _read_version_3)
        shape, is_fortran, dtype = read(stream, max_header_size=_MOST_HEADER)
    except (ValueError, SyntaxError, TypeError, EOFError, TokenError) as error:
        raise DataError(
            f"{where}: its header is damaged ({safe_text(str(error))}). Save the array again"
        ) from None
    if any(n < 0 for n in shape):
        raise DataError(f"{where}: its header is damaged (shape {shape}). Save the array again")
    if dtype.hasobject:
        raise DataError(
            f"{where}: its values are pickled Python objects, which run code when they are loaded "
            "and never are here. Save it again as numbers: np.save(path, X.astype(float))"
        )
    check_dtype(dtype, where)
    return NpyHeader(tuple(shape), dtype, is_fortran, stream.tell())


def _read_version_3(stream: IO[bytes], max_header_size: int) -> Any:
    """Version 3 differs from 2 in allowing field names beyond ASCII, and records are not read."""
    return npy_format.read_array_header_2_0(stream, max_header_size)
