"""One BLAS thread per process: set once, never per task. The only module that knows threadpoolctl.

Parallelism is over blocks. Threads inside BLAS oversubscribe the cores (a prototype ran 5-40 times
slower), and they change bits: a Cholesky factor of order 128 differs between 1 and 2 threads. A
limit per task would not do: it is process-wide and races between threads.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy  # noqa: F401, ICN001 - loads its BLAS, so that it is there to be limited and reported
import threadpoolctl
from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_holders = 0
#: The libraries under the limit, and the threads each had before.
_undo: list[tuple[Any, int]] = []


class BlasLimit:
    """One holder's share of the limit; the last one to let go restores what was there before.

    A context manager; `restore` may be called more than once, and from any thread.
    """

    def __init__(self) -> None:
        self._held = True

    def restore(self) -> None:
        """Let go; with the last holder the libraries get their threads back."""
        with _lock:
            if self._held:
                self._held = False
                _let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()


def single_blas_thread() -> BlasLimit:
    """Set every BLAS library of this process to one thread, until all holders have let go.

    Re-entrant and thread safe. Libraries that are loaded later have their own threads; NumPy's, the
    only one dgmm computes with, is loaded by this module.

    Examples
    --------
    >>> with single_blas_thread():
    ...     {library["num_threads"] for library in blas_report()}
    {1}
    """
    global _holders  # noqa: PLW0603 - the number of threads of a BLAS is the process's, not an object's
    with _lock:
        _holders += 1
        if _holders == 1:
            _limit_libraries()
    return BlasLimit()


def limit_this_thread() -> None:
    """Limit a new thread of a process that holds the limit.

    Where OpenBLAS is built on OpenMP (some distributions' is), its limit belongs to the thread that
    sets it, so each thread of a pool starts with this. Elsewhere it changes nothing.
    """
    with _lock:
        for library, _ in _undo:
            if getattr(library, "threading_layer", None) == "openmp":
                library.set_num_threads(1)


@contextmanager
def limited_thread() -> Iterator[None]:
    """Hold the limit in a thread of somebody else's, which afterwards is as it was.

    A context manager, and a decorator of functions. It takes 1 ms, and microseconds where the
    process holds the limit already. See `limit_this_thread` for OpenMP.
    """
    with single_blas_thread():
        with _lock:
            own = [lib for lib, _ in _undo if getattr(lib, "threading_layer", None) == "openmp"]
            before = [(library, library.num_threads) for library in own]
        limit_this_thread()
        try:
            yield
        finally:
            for library, n_threads in before:
                library.set_num_threads(n_threads)


def _limit_libraries() -> None:
    # Once, not at every call: looking for libraries while another thread loads one can deadlock
    # (dl_iterate_phdr holds the loader's lock and waits for the GIL, dlopen does the reverse).
    _take_control()
    for library in _blas_libraries().lib_controllers:
        _undo.append((library, library.num_threads))
        library.set_num_threads(1)
    _take_control()


def _take_control() -> None:
    """Let this thread set OpenBLAS's threads.

    From 3.8 on, threadpoolctl lets only the first thread do so and ignores others without a word.
    `_lock` sees to it that ours do not race.
    """
    clear = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


def _let_go() -> None:
    global _holders  # noqa: PLW0603 - see single_blas_thread
    _holders -= 1
    if _holders == 0:
        _take_control()
        while _undo:
            library, n_threads = _undo.pop()
            library.set_num_threads(n_threads)
        _take_control()


def _blas_libraries() -> ThreadpoolController:
    """The BLAS libraries of this process, looked for again once more modules are imported.

    Looking takes 1 ms: it reads the list of everything that is mapped into the process. A library
    comes with the module that needs it.
    """
    return _blas_libraries_of(len(sys.modules))


@lru_cache(maxsize=1)
def _blas_libraries_of(n_modules: int) -> ThreadpoolController:  # noqa: ARG001 - a key of the cache
    return ThreadpoolController().select(user_api="blas")


def blas_report() -> list[dict[str, Any]]:
    """Which BLAS libraries this process has loaded and which kernels they chose.

    Returns
    -------
    list of dict
        `package` ("numpy", "scipy" where the library came in that wheel, else "system"),
        `internal_api`, `version`, `architecture` (None where the library does not report it),
        `num_threads` and `file` (its name without folders), sorted by package and file.
    """
    report = [_describe(library.info()) for library in _blas_libraries().lib_controllers]
    return sorted(report, key=lambda library: (library["package"], library["file"]))


def _describe(info: dict[str, Any]) -> dict[str, Any]:
    path = Path(info["filepath"])
    return {
        "package": _package(path),
        "internal_api": info["internal_api"],
        "version": info.get("version"),
        "architecture": info.get("architecture"),
        "num_threads": info["num_threads"],
        "file": path.name,
    }


def _package(path: Path) -> str:
    """The wheel a library came with: NumPy and SciPy each bring their own OpenBLAS."""
    for package in ("numpy", "scipy"):
        if {f"{package}.libs", package} & set(path.parts[-3:-1]):
            return package
    return "system"
