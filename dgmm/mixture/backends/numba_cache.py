"""How functions are compiled: outside Python's lock, without fast-math, cached on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
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
    """Compile a function; its machine code is cached on disk where some folder can hold it.

    Numba takes what it has cached if the function's own file is as it was, but machine code holds
    constants and functions of other files too. Its name therefore has a digest of all sources of
    this package.
    """
    function.__qualname__ += f"_{digest_of(Path(__file__).parent)}"
    options = {"nogil": True, "error_model": "numpy"}
    try:
        made = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to write to
        return numba.njit(**options)(function)  # type: ignore[no-any-return] # no types
    if hasattr(made, "_cache"):  # absent with NUMBA_DISABLE_JIT
        made._cache = _ForgivingCache(made._cache)  # noqa: SLF001 - Numba has no other way
    return made  # type: ignore[no-any-return] # no types


class _ForgivingCache:
    """Numba's cache of one function, of which a damaged or unwritable file only costs time.

    Numba lets the errors of its files through (a full disk, an index cut short by a crash), and
    with them ends the computation that it was asked for.
    """

    def __init__(self, cache: Any) -> None:
        self._numbas = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numbas, name)

    def load_overload(self, *arguments: Any) -> Any:
        """What was cached; None, and an empty index for the next time, where it cannot be read."""
        try:
            return self._numbas.load_overload(*arguments)
        except Exception:  # noqa: BLE001 - files are unpickled: anything
            with suppress(Exception):
                self._numbas.flush()
            return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep what was compiled, where it can be."""
        with suppress(Exception):
            self._numbas.save_overload(*arguments)
