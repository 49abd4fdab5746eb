"""Where machine code is cached: each place that Numba knows, also one that can only be read.

Numba takes the first place that can be written and reads nothing else: in a container whose file
system is read-only, or whose user is not the one of the image, it would not find what the image
was built with.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from functools import cache
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache


def caches_of(function: Any, stamp: str) -> list[Any]:
    """Numba's caches of a function, in the order of its places: NUMBA_CACHE_DIR is the first.

    Parameters
    ----------
    function
        What is compiled; its file and name are in the names of the cache's files.
    stamp
        What the sources are recognised by: Numba's own is the time of the file in some versions,
        which images of containers cut to whole seconds.
    """
    found: dict[str, Any] = {}
    for locator in CompileResultCacheImpl._locator_classes:  # noqa: SLF001 - Numba has no other way
        with suppress(Exception):  # a place for other files: those of notebooks and archives
            made = _cache_class(locator, stamp)(function)
            found.setdefault(made.cache_path, made)
    return list(found.values())


@cache
def _cache_class(locator: type, stamp: str) -> type:
    """Numba's cache in one place, which need not be writable."""
    place = {"ensure_cache_path": lambda _: None, "get_source_stamp": lambda _: stamp}
    located = type("Place", (locator,), place)
    of_place = type("CacheInPlace", (CompileResultCacheImpl,), {"_locator_classes": [located]})
    return type("PlaceCache", (FunctionCache,), {"_impl_class": of_place})


@cache
def can_be_written(folder: str) -> bool:
    """Whether files can be made there; the folder is made first."""
    try:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - Numba's places are texts
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def holds_code(place: Any, codegen: Any) -> bool:
    """Whether a place has code of a function for this processor.

    Parameters
    ----------
    place
        One of `caches_of`.
    codegen
        Numba's for the function, which knows the processor.
    """
    try:
        index = place._cache_file._load_index()  # noqa: SLF001 - Numba has no other way
        return any(key[1] == codegen.magic_tuple() for key in index)
    except Exception:  # noqa: BLE001 - files are unpickled: anything
        return False
