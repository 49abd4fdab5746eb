"""How functions are compiled: outside Python's lock, without fast-math, cached on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numba

from dgmm.mixture.backends.cache_places import caches_of, can_be_written, holds_code

F = TypeVar("F", bound=Callable[..., Any])

#: Every function that `compiled` has made.
FUNCTIONS: list[Any] = []


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
    digest = digest_of(Path(__file__).parent)
    function.__qualname__ += f"_{digest}"
    made = numba.njit(nogil=True, error_model="numpy")(function)
    if hasattr(made, "_cache"):  # absent with NUMBA_DISABLE_JIT
        made._cache = _ForgivingCache(caches_of(function, digest))  # noqa: SLF001 - Numba has no other way
        FUNCTIONS.append(made)
    return made  # type: ignore[no-any-return] # no types


class _ForgivingCache:
    """Numba's caches of one function, of which a damaged or unwritable file only costs time.

    Numba lets the errors of its files through (a full disk, an index cut short by a crash), and
    with them ends the computation that it was asked for.
    """

    def __init__(self, places: Sequence[Any]) -> None:
        self.places = places
        self.failure: Exception | None = None

    @property
    def written(self) -> Any | None:
        """The first place that can be written."""
        return next((place for place in self.places if can_be_written(place.cache_path)), None)

    @property
    def cache_path(self) -> str | None:
        """Where the function's code is kept, for Numba's statistics."""
        return None if self.written is None else str(self.written.cache_path)

    def load_overload(self, *arguments: Any) -> Any:
        """What some place has; None where none does, with an empty index where one is damaged."""
        for place in self.places:
            try:
                found = place.load_overload(*arguments)
            except Exception:  # noqa: BLE001 - files are unpickled: anything
                found = None
                with suppress(Exception):
                    place.flush()
            if found is not None:
                return found
        return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep what was compiled, where it can be."""
        try:
            if self.written is not None:
                self.written.save_overload(*arguments)
        except Exception as error:  # noqa: BLE001 - a full disk, a folder that is gone: anything
            self.failure = error

    def flush(self) -> None:
        """Forget what is kept, where it can be."""
        with suppress(Exception):
            if self.written is not None:
                self.written.flush()


class Compilation(NamedTuple):
    """What of the package's functions this process has, counted by types of arguments.

    Attributes
    ----------
    n_functions
        Functions that are there.
    n_compiled
        How often one was compiled.
    n_loaded
        How often its code was found in the cache.
    """

    n_functions: int
    n_compiled: int
    n_loaded: int


def compilation() -> Compilation:
    """What was compiled in this process so far, and what was found compiled."""
    counts = [function.stats for function in FUNCTIONS]
    return Compilation(
        len(counts),
        sum(sum(count.cache_misses.values()) for count in counts),
        sum(sum(count.cache_hits.values()) for count in counts),
    )


def _caches() -> list[_ForgivingCache]:
    return [function._cache for function in FUNCTIONS]  # noqa: SLF001 - Numba has no other way


def cache_folder() -> str | None:
    """Where code that this process compiles is kept; None where it is not."""
    return next((cache.cache_path for cache in _caches()), None)


def places() -> list[str]:
    """The folders that are looked in for code."""
    return [str(place.cache_path) for cache in _caches()[:1] for place in cache.places]


def failed_write() -> Exception | None:
    """Why code that was compiled is not in `cache_folder`; None where all of it is."""
    return next((cache.failure for cache in _caches() if cache.failure is not None), None)


def why_not_cached() -> str | None:
    """Which folders cannot be written; None where one can, or one has code for this processor."""
    if not FUNCTIONS or cache_folder() is not None:
        return None
    codegen = FUNCTIONS[0].targetctx.codegen()
    if any(holds_code(place, codegen) for cache in _caches() for place in cache.places):
        return None
    return f"{' and '.join(places()) or 'no folder for compiled code'} cannot be written"
