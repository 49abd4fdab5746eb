"""What is computed on the rows of a block, in two ways.

`plain` is NumPy and the definition. `compiled` is Numba's, where that is installed: a whole block
in one call outside Python's lock, with products whose sums stay in registers. Standardising and
softmax have the same bits in both (tests/test_arithmetic.py), products do not: which of the two a
fit's passes use is chosen once, by the driver, for all workers.
"""

from __future__ import annotations

from functools import cache

from dgmm.arithmetic.plain import Arithmetic, Block, Plain, steps

__all__ = ["Arithmetic", "Block", "Plain", "chosen", "fastest", "named", "steps"]

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
    return named("numba" if numbers >= WORTH_COMPILING else "numpy").name


def named(name: str) -> Arithmetic:
    """The arithmetic of that name; NumPy's where it cannot be had here.

    A cluster whose workers lack what the driver has is warned of when a run begins
    (`dgmm.execution.environment`), and a pass names what computed it.
    """
    return (compiled_arithmetic() if name == "numba" else None) or Plain()


def fastest(numbers: int) -> Arithmetic:
    """For standardising, where bits do not follow it: compiled if it pays or is there already.

    Parameters
    ----------
    numbers
        Rows times features.
    """
    if numbers < WORTH_COMPILING and not compiled_arithmetic.cache_info().currsize:
        return Plain()
    return compiled_arithmetic() or Plain()


@cache
def compiled_arithmetic() -> Arithmetic | None:
    """The compiled arithmetic; None without Numba, or where it cannot be what it should."""
    try:
        from dgmm.arithmetic.compiled import Compiled  # noqa: PLC0415 - optional, and slow to load

        return Compiled()
    except ImportError:
        return None
