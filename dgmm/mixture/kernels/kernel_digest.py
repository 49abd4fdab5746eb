"""A digest of the kernels that a pass applies: it tells passes apart to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from dgmm.mixture.kernels.tiles import Kernel


def digest_of_kernels(kernels: Sequence[Kernel]) -> str:
    """Hexadecimal digest of kind, precision and parameters of each kernel, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for kernel in kernels:
        kind = (kernel.name, kernel.family.name, kernel.dtype.str, kernel.with_scatter)
        digest.update(repr(kind).encode())
        values: Any = kernel  # every kernel is a record
        for field in fields(values):
            value = getattr(values, field.name)
            if isinstance(value, np.ndarray):
                digest.update(f"{field.name} {value.shape}".encode())
                digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()
