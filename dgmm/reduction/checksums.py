"""Checksums of arrays written in parts: combined along the reduction tree, so of a fixed size."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Array name to the sha256 of what was written of it so far.
Digests = Mapping[str, str]


def digest_of(values: NDArray[Any]) -> str:
    """sha256 of the values' bytes, without a copy of them."""
    content = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return hashlib.sha256(content.data).hexdigest()


def combined(first: Digests, second: Digests) -> dict[str, str]:
    """Digests of both parts, in order; a part where an array was not written leaves it as it is."""
    both = {
        name: hashlib.sha256(f"{first[name]}{second[name]}".encode()).hexdigest()
        for name in first.keys() & second.keys()
    }
    return {**first, **second, **both}
