"""How functions are compiled: outside Python's lock, without fast-math, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function; its machine code is kept on disk where some folder can hold it."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return] # no types
    except RuntimeError:  # no folder to write to
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
