"""What is computed on a tile, twice and with the same bits.

`plain` is NumPy and the definition. `compiled` is Numba's, where that is installed: it touches
memory once where NumPy does three or four times, and stays out of Python's lock from one matrix
product to the next. Both do the same operations in the same order on the same BLAS, so their bits
are equal (tests/laws hold them to it), and each process may choose for itself.
"""

from __future__ import annotations

from functools import cache

from dgmm.arithmetic.plain import Arithmetic, Block, Plain, steps

__all__ = ["Arithmetic", "Block", "Plain", "fastest", "steps"]

#: Numbers a pass must touch before loading compiled code pays: it saves about a nanosecond each,
#: a fit has some tens of passes, and loading takes half a second once in a process.
WORTH_COMPILING = 4_000_000


def fastest(numbers: int) -> Arithmetic:
    """The compiled arithmetic for passes over that many numbers, NumPy's where it does not pay.

    Parameters
    ----------
    numbers
        Rows times what is computed of each: features, products, components.
    """
    if numbers < WORTH_COMPILING and not compiled_arithmetic.cache_info().currsize:
        return Plain()
    return compiled_arithmetic() or Plain()


@cache
def compiled_arithmetic() -> Arithmetic | None:
    """The compiled arithmetic; None without Numba, or where NumPy cannot be called by address."""
    try:
        from dgmm.arithmetic.compiled import Compiled  # noqa: PLC0415 - optional, and slow to load

        return Compiled()
    except ImportError:
        return None
