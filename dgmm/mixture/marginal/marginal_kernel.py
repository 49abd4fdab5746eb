"""The kernel of a pass over rows that may lack values: marginal densities, lifted moments.

Complete rows take the path that they take where nothing is missing. All statistics are about the
old means, which the lift refers to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import Backend
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.kernels import Guard, Kernel, ProductKernel, SplitKernel, choose
from dgmm.mixture.kernels.tiles import Array
from dgmm.mixture.marginal.kernel_parts import KernelPart, MaskedPart, PatternPart, RowsPart
from dgmm.mixture.marginal.patterns import (
    Mask,
    PatternRows,
    complete_and_other_rows,
    rows_by_pattern,
)
from dgmm.mixture.marginal.rows_kernel import MOST_CONDITION, RowsKernel
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics


@dataclass(frozen=True, slots=True, eq=False)
class MarginalKernel:
    """A candidate's parameters, and the kernel for its complete rows; picklable.

    Attributes
    ----------
    complete
        For complete rows; what is applied to others is of its kind.
    far
        What rows go by whose observed values have a squared norm above `squared_radius`; None
        where none has.
    """

    parameters: Parameters
    complete: Kernel
    far: MarginalKernel | None = None
    squared_radius: float = float("inf")

    @classmethod
    def of(cls, parameters: Parameters, guard: Guard, *, single: bool = False) -> Self:
        """The fastest that the guard allows.

        It holds for every pattern: λ_max(Σ_oo⁻¹) ≤ λ_max(Σ⁻¹).
        """
        chosen = choose(parameters, guard, single=single, lacks_values=True)
        if not isinstance(chosen, SplitKernel):
            return cls(parameters, chosen, squared_radius=chosen.squared_radius)
        near, far = ProductKernel.of(parameters), cls(parameters, chosen.far, squared_radius=0.0)
        return cls(parameters, near, far, chosen.squared_radius)

    @property
    def name(self) -> str:
        """That of the kernel for complete rows; `split` where rows far out have another."""
        return self.complete.name if self.far is None else "split"

    @property
    def family(self) -> Family:
        """Covariance family."""
        return self.parameters.family

    @property
    def is_exact(self) -> bool:
        """Whether it is right at any offset."""
        return self.complete.is_exact

    @property
    def is_complete(self) -> bool:
        """Yes: what complete rows have in common is added to their log-likelihood."""
        return True

    @property
    def n_components(self) -> int:
        """k."""
        return self.parameters.n_components

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that tiles are computed in."""
        return self.complete.dtype

    @property
    def reference(self) -> Array:
        """The old means."""
        return self.parameters.means

    @property
    def with_scatter(self) -> bool:
        """Where the family has a scatter: expected of missing values, it follows the parameters."""
        return self.family.scatter_width(self.parameters.n_features) > 0

    @property
    def sharing(self) -> tuple[Any, ...]:
        """Kernels with equal `sharing` take rows pattern by pattern alike, in the same tiles."""
        p, radius = self.parameters, None if self.far is None else self.squared_radius
        alike = p.family.name, p.n_components, p.noise is not None, radius
        return ("marginal", alike, self.takes_rows, *self.complete.sharing)

    @property
    def takes_rows(self) -> bool:
        """Whether rows of patterns that few have may be taken one by one, where code is compiled.

        Their distances lose what the condition of the covariances takes: see `rows_kernel`.
        """
        return self.family.takes_rows and self.parameters.condition_bound <= MOST_CONDITION

    def patterns(
        self, values: NDArray[Any], backend: Backend, lacks: Mask | None = None
    ) -> Iterator[PatternRows]:
        """The rows (n, d) as they are taken: by pattern, or the complete ones and the others.

        `lacks` (n,) are those that lack a value, where that is known.
        """
        if self.family.masks_features:
            return complete_and_other_rows(values, backend, lacks)
        if lacks is not None and not lacks.any():
            return iter([PatternRows(np.ones(values.shape[1], np.bool_), slice(None))])
        apart = self.takes_rows and backend.takes_rows
        return rows_by_pattern(values, backend, apart=apart)

    def part(self, observed: Mask, backend: Backend) -> KernelPart:
        """What is applied to the rows of a pattern; where none is observed, to rows of any."""
        if self.family.masks_features:
            is_complete = bool(observed.all())
            return MaskedPart.of(self.parameters, self.complete, is_complete=is_complete)
        if not observed.any():
            return RowsPart(RowsKernel.of(self.parameters))
        return PatternPart.of(self.parameters, self.complete, observed, backend)

    def zero(self) -> Statistics:
        """Statistics of no rows."""
        family, (k, d) = self.family, self.parameters.means.shape
        width = family.scatter_width(d)
        zero = Statistics.zero(k, family.width(d), width or None, self.reference)
        return zero.with_observed(np.zeros((k, d))) if family.masks_features else zero
