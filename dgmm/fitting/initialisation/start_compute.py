"""What computes the distances of a start: NumPy, or compiled code on threads of this process."""

from __future__ import annotations

from dataclasses import dataclass

from dgmm.fitting.initialisation.distance_rows import Array, DistanceRows
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.fitting.initialisation.ward_merges import merged
from dgmm.reduction.executor import Executor

#: Rows times features times components from which compiled code pays.
WORTH_COMPILING = 10_000_000


@dataclass(frozen=True, slots=True)
class StartCompute:
    """The backend of a fit, and the threads that a start may have for itself.

    Attributes
    ----------
    backend : str
        That of the fit's passes. Bits follow it.
    executor
        Runs tasks on threads of this process; None where other starts have them.
    """

    backend: str = "numpy"
    executor: Executor | None = None

    def over(self, rows: CentredRows, *, is_single: bool) -> DistanceRows:
        """The rows with distances by this backend, in float32 where that is wanted and can be."""
        if self.backend != "numba":
            return rows
        from dgmm.fitting.initialisation.compiled_rows import CompiledRows  # noqa: PLC0415 - Numba is optional

        return CompiledRows.of(rows, self.executor, is_single=is_single)

    def merged(self, means: Array, sizes: Array, k: int, *, is_single: bool) -> Array:
        """Means (k, d) of what Ward's merges leave of n clusters of these means and sizes.

        Where `is_single`, compiled code may look for neighbours in float32.
        """
        if self.backend != "numba":
            return merged(means, sizes, k)
        from dgmm.fitting.initialisation.compiled_merges import merged as compiled  # noqa: PLC0415 - Numba is optional

        return compiled(means, sizes, k, self.executor, is_single=is_single)
