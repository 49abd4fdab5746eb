"""What is computed on the rows of a block, by NumPy or by compiled code.

`numpy_backend` works tile by tile. `numba_backend` is Numba's, where that is installed: a whole
block in one call outside Python's lock, with products whose sums stay in registers. Standardising
is bit-identical in both, products, exponentials and logarithms are not: which of the two the passes
of a fit use is selected once, by the driver, for all workers.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from functools import cache

from dgmm.errors import UnavailableError
from dgmm.mixture.backends.e_step_block import Block
from dgmm.mixture.backends.numpy_backend import Backend, NumpyBackend, steps

__all__ = [
    "Backend",
    "Block",
    "BACKENDS",
    "NumpyBackend",
    "standardising_backend",
    "get",
    "require",
    "select",
    "steps",
    "uncached_warnings",
    "why_not_compiled",
]

#: Numbers a pass must touch before loading compiled code pays: it saves about a nanosecond each,
#: a fit has some tens of passes, and loading takes half a second once in a process.
WORTH_COMPILING = 4_000_000


#: Of compiled code that is lost when its process ends.
UNCACHED = (
    "compiled code cannot be kept ({reason}): every process compiles it again, which takes 5 to 40 "
    "seconds of CPU time. Set the environment variable NUMBA_CACHE_DIR to a folder that can be "
    "written, or run dgmm warm where one of these can be, as in the image of a container"
)

#: What a job or an estimator may ask for.
BACKENDS = ("auto", "numpy", "numba")


def select(wanted: str, numbers: int, *, is_everywhere: bool) -> str:
    """The name of the backend for passes over that many numbers.

    A function of the data, the job and what is installed here, so that bits repeat.

    Parameters
    ----------
    wanted
        One of `BACKENDS`.
    numbers
        Rows times what is computed of each: products, components.
    is_everywhere
        Whether driver and workers have the same Numba.

    Raises
    ------
    UnavailableError
        If Numba is wanted and cannot be used everywhere.
    """
    require(wanted)
    if wanted == "numba" and not is_everywhere:
        raise UnavailableError(
            "compute.backend is numba, and not every worker has the driver's Numba: install the "
            "same versions there (pip install 'dgmm[fast]'), or set compute.backend to numpy"
        )
    if wanted != "auto":
        return wanted
    pays = is_everywhere and numbers >= WORTH_COMPILING and compiled_backend() is not None
    return "numba" if pays else "numpy"


def require(wanted: str) -> None:
    """Refuse what cannot be had in this process.

    Raises
    ------
    UnavailableError
        If Numba is wanted and cannot be used here.
    """
    if wanted == "numba" and compiled_backend() is None:
        raise UnavailableError(
            f"compute.backend is numba, and {why_not_compiled() or 'Numba is not installed here'}: "
            "pip install 'dgmm[fast]', or set compute.backend to numpy"
        )


def get(name: str) -> Backend:
    """The backend of that name.

    Raises
    ------
    UnavailableError
        If it cannot be had here: another in its place would give other bits.
    """
    if name != "numba":
        return NumpyBackend()
    found = compiled_backend()
    if found is None:
        raise UnavailableError(
            f"{platform.node()} cannot compute the compiled passes that this run began with: "
            f"{why_not_compiled() or 'it lacks Numba'}. Install dgmm[fast] there (pip install "
            "'dgmm[fast]') as on the driver, and run the same command again"
        )
    return found


def standardising_backend(numbers: int) -> Backend:
    """For standardising, where bits do not follow it: compiled if it pays or is there already.

    Parameters
    ----------
    numbers
        Rows times features.
    """
    if numbers < WORTH_COMPILING and not compiled_backend.cache_info().currsize:
        return NumpyBackend()
    return compiled_backend() or NumpyBackend()


@cache
def compiled_backend() -> Backend | None:
    """The Numba backend; None without Numba, or where it cannot be what it should."""
    _failures.clear()
    try:
        from dgmm.mixture.backends.numba_backend import NumbaBackend  # noqa: PLC0415 - optional, and slow to load

        return NumbaBackend()
    except Exception as error:  # noqa: BLE001 - a broken LLVM, a library of another system: anything
        if getattr(error, "name", None) != "numba":
            _failures.append(f"{type(error).__name__}: {error}".partition("\n")[0])
        return None


#: Why what is installed could not be loaded.
_failures: list[str] = []


def why_not_compiled() -> str | None:
    """Why Numba, which is installed, cannot be used; None where it can, is absent, or untried."""
    return _failures[0] if _failures else None


def uncached_warnings(backend: str) -> Iterator[str]:
    """That what this process compiles is lost at its end, in words; nothing where it is kept.

    Parameters
    ----------
    backend
        The name of what a pass is computed with.
    """
    if backend != "numba" or not compiled_backend.cache_info().currsize or not compiled_backend():
        return
    from dgmm.mixture.backends.numba_cache import why_not_cached  # noqa: PLC0415 - optional, and slow to load

    if (reason := why_not_cached()) is not None:
        yield UNCACHED.format(reason=reason)
