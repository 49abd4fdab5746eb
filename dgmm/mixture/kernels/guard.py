"""The guard: which kernel and precision a pass may use, known to the driver before the pass.

The product form's absolute error in a row's log density is at most 4·ε·λ_max(Λ_k)·‖y‖² (the
largest constant seen was 2.3, over d from 2 to 32 and condition up to 10⁴). Λ is known from the
parameters, and max‖y‖² from the summary's minima and maxima: where that is small enough, all rows
go by products; else each row's own ‖y‖² decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.kernels.centred_kernel import CentredKernel
from dgmm.mixture.kernels.near_rows import squared_radius_of_products
from dgmm.mixture.kernels.product_kernel import ProductKernel
from dgmm.mixture.kernels.split_kernel import BlockKernel, SplitKernel
from dgmm.mixture.kernels.tiles import Array, PassKernel
from dgmm.mixture.parameters import Parameters

#: Error of a log density as products, relative to λ_max(Λ_k)·‖y‖² and the dtype's epsilon.
_ERROR = 4.0

#: Largest error in nats that a log density may suffer from the product form.
TOLERANCE = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-3}

#: Distance from 1 to the next number.
EPSILON = {np.dtype(kind): float(np.finfo(kind).eps) for kind in (np.float64, np.float32)}

#: By how much precisions may grow in an M-step from moments that were within the tolerance before.
#: A covariance then has a relative error of at most 4e-6 where it is narrowest, which an objective
#: that the M-step maximises feels in its square.
_GROWTH = 16.0


@dataclass(frozen=True, slots=True)
class Guard:
    """What is known of all rows before a pass.

    Attributes
    ----------
    squared_radius : float
        Upper bound of ‖y‖² over the rows.
    """

    squared_radius: float

    @classmethod
    def of_range(cls, low: Array, high: Array) -> Guard:
        """From the least and greatest standardised value of each feature, (d,)."""
        with np.errstate(over="ignore"):
            return cls(float((np.maximum(np.abs(low), np.abs(high)) ** 2).sum()))

    @classmethod
    def of_tile(cls, Y: NDArray[Any]) -> Guard:
        """From the rows themselves, Y (d, b)."""
        with np.errstate(over="ignore"):
            squares = np.einsum("ij,ij->j", Y, Y, dtype=np.float64)
        return cls(float(squares.max(initial=0.0)))

    def log_prob_error(self, parameters: Parameters, dtype: Any = np.float64) -> float:
        """Bound of the absolute error of a log density in the product form, nats."""
        eps = EPSILON[np.dtype(dtype)]
        error = _ERROR * eps * parameters.precision_bound * self.squared_radius
        return error if math.isfinite(error) else math.inf

    def allows(self, parameters: Parameters, dtype: Any = np.float64) -> bool:
        """Whether the product form is good enough in that dtype."""
        return self.log_prob_error(parameters, dtype) <= TOLERANCE[np.dtype(dtype)]

    def of_kernel(self, kernel: PassKernel) -> Guard:
        """What is known of the rows that a kernel applies products to."""
        return Guard(min(self.squared_radius, kernel.squared_radius))

    def allows_moments(self, kernel: PassKernel, after: Parameters) -> bool:
        """Whether parameters may come from a kernel's moments, or are its rounding."""
        error = self.of_kernel(kernel).log_prob_error(after)
        return kernel.is_exact or error <= _GROWTH * TOLERANCE[np.dtype(np.float64)]


def choose(
    parameters: Parameters,
    guard: Guard,
    *,
    single: bool = False,
    with_scatter: bool = False,
    lacks_values: bool = False,
) -> BlockKernel:
    """Fastest kernel that the guard allows: float32 or float64 products, or row by row.

    Where nothing is known of the rows (an infinite radius), all of them take the centred kernel.

    Many features alone do not call for the centred kernel: at (n, d, k) = (10,000, 256, 16) it took
    0.6 of the products' time, at (6,000, 300, 64) 1.8 times as long.

    Parameters
    ----------
    parameters, guard
        What is applied to which rows.
    single
        Tiles may be computed in float32 (an early stage of EM on float32 data).
    with_scatter
        The family's total scatter about the origin is not known yet (first pass).
    lacks_values
        Rows may lack values, and are taken by what they have.
    """
    if single and guard.allows(parameters, np.float32):
        return ProductKernel.of(parameters, np.float32, with_scatter=with_scatter)
    if guard.allows(parameters, np.float64):
        return ProductKernel.of(parameters, np.float64, with_scatter=with_scatter)
    if not (parameters.family.moves_moments and np.isfinite(guard.squared_radius)):
        return CentredKernel.of(parameters)
    tolerance = TOLERANCE[np.dtype(np.float64)]
    radius = squared_radius_of_products(
        *(parameters, _ERROR * float(np.finfo(np.float64).eps), tolerance),
        lacks_values=lacks_values,
    )
    return SplitKernel.of(parameters, radius) if radius > 0.0 else CentredKernel.of(parameters)
