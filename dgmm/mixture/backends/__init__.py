"""What is computed on the rows of a block, by NumPy or by compiled code.

`numpy_backend` works tile by tile. `numba_backend` is Numba's, where that is installed: a whole
block in one call outside Python's lock, with products whose sums stay in registers. Standardising
and softmax have the same bits in both, products do not: which of the two the passes of a fit use is
chosen once, by the driver, for all workers.
"""

from __future__ import annotations

import platform
from functools import cache

from dgmm.errors import UnavailableError
from dgmm.mixture.backends.numpy_backend import Backend, Block, NumpyBackend, steps

__all__ = [
    "Backend",
    "Block",
    "NumpyBackend",
    "chosen",
    "fastest",
    "named",
    "steps",
    "why_not_compiled",
]

#: Numbers a pass must touch before loading compiled code pays: it saves about a nanosecond each,
#: a fit has some tens of passes, and loading takes half a second once in a process.
WORTH_COMPILING = 4_000_000


def chosen(numbers: int) -> str:
    """The name of the arithmetic that suits passes over that many numbers.

    A function of the data, the job and what is installed here, so that bits repeat.

    Parameters
    ----------
    numbers
        Rows times what is computed of each: products, components.
    """
    pays = numbers >= WORTH_COMPILING and compiled_backend() is not None
    return "numba" if pays else "numpy"


def named(name: str) -> Backend:
    """The arithmetic of that name.

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


def fastest(numbers: int) -> Backend:
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
    """The compiled arithmetic; None without Numba, or where it cannot be what it should."""
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
