"""A digest of the kernels that a pass applies: it tells passes apart to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from dgmm.mixture.kernels.tiles import PassKernel


def digest_of_kernels(kernels: Sequence[PassKernel]) -> str:
    """Hexadecimal digest of kind, precision and parameters of each kernel, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for kernel in kernels:
        kind = (kernel.name, kernel.family.name, kernel.dtype.str, kernel.with_scatter)
        digest.update(repr(kind).encode())
        _add(digest, kernel)
    return digest.hexdigest()


def _add(digest: Any, record: Any) -> None:
    """Arrays of a record, and of records within it."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            digest.update(f"{field.name} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        elif is_dataclass(value):
            _add(digest, value)
