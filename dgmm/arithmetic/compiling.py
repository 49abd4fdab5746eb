"""How functions are compiled: outside Python's lock, without fast-math, kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


@cache
def digest_of(folder: Path) -> str:
    """Of all sources in a folder, as hexadecimal digits; empty where they cannot be read."""
    try:
        texts = [path.read_bytes() for path in sorted(folder.glob("*.py"))]
    except OSError:
        return ""
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def compiled(function: F) -> F:
    """Compile a function; its machine code is kept on disk where some folder can hold it.

    Numba takes what it has kept if the function's own file is as it was, but machine code holds
    constants and functions of other files too. Its name therefore tells all sources of this room.
    """
    function.__qualname__ += f"_{digest_of(Path(__file__).parent)}"
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return] # no types
    except RuntimeError:  # no folder to write to
        return numba.njit(**options)(function)  # type: ignore[no-any-return] # no types
