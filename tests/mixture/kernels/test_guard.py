"""The guard's limits, in numbers: how far from the origin which products are used."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.mixture.covariance import Spherical
from dgmm.mixture.kernels import CentredKernel, Guard, ProductKernel, SplitKernel, choose
from dgmm.mixture.parameters import Parameters

UNIT = Parameters.of(Spherical(), np.ones(1), np.zeros((1, 2)), np.ones(1))
#: ‖y‖² at which 4·ε·λ_max·‖y‖² is the tolerance of the type, for λ_max = 1: 1e-6 and 1e-3 nats.
LIMITS = {np.float64: 1e-6 / (4 * 2.0**-52), np.float32: 1e-3 / (4 * 2.0**-23)}


@pytest.mark.parametrize("dtype", LIMITS, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_products_are_allowed_up_to_the_tolerance_and_no_further(dtype: type, scale: float) -> None:
    """A tenth of the standard deviation allows a tenth of the radius."""
    parameters = Parameters.of(Spherical(), UNIT.weights, UNIT.means, np.array([scale**2]))
    limit = scale**2 * LIMITS[dtype]
    assert Guard(0.9 * limit).allows(parameters, dtype)
    assert not Guard(1.1 * limit).allows(parameters, dtype)


def test_the_fastest_allowed_kernel_is_chosen() -> None:
    near, far = LIMITS[np.float32], LIMITS[np.float64]

    def kernel(squared_radius: float, *, single: bool) -> tuple[type, np.dtype]:
        found = choose(UNIT, Guard(squared_radius), single=single)
        return type(found), found.dtype

    assert kernel(0.9 * near, single=True) == (ProductKernel, np.float32)
    assert kernel(0.9 * near, single=False) == (ProductKernel, np.float64)
    assert kernel(1.1 * near, single=True) == (ProductKernel, np.float64)
    assert kernel(0.9 * far, single=True) == (ProductKernel, np.float64)
    assert kernel(1.1 * far, single=True) == (SplitKernel, np.float64)
    assert kernel(float("inf"), single=True) == (CentredKernel, np.float64)


def test_rows_are_split_where_their_own_bound_is_the_tolerance() -> None:
    found = choose(UNIT, Guard(1e30))
    assert found.squared_radius == pytest.approx(LIMITS[np.float64])
    assert Guard(1e30).of_kernel(found).allows(UNIT)


@pytest.mark.parametrize(("growth", "is_allowed"), [(1.0, True), (15.0, True), (17.0, False)])
def test_moments_of_products_hold_precisions_up_to_16_times_as_large(
    growth: float, is_allowed: bool
) -> None:
    """Beyond, what the M-step found may be rounding: the pass is made again, centred."""
    after = Parameters.of(Spherical(), UNIT.weights, UNIT.means, np.array([1.0 / growth]))
    guard = Guard(1e30)
    assert guard.allows_moments(choose(UNIT, guard), after) == is_allowed
    assert guard.allows_moments(CentredKernel.of(UNIT), after)


def test_a_family_that_cannot_move_moments_takes_all_rows_centred() -> None:
    class Fixed(Spherical):
        moves_moments = False

    parameters = Parameters.of(Fixed(), np.ones(1), np.zeros((1, 2)), np.ones(1))
    assert isinstance(choose(parameters, Guard(1e30)), CentredKernel)
    assert isinstance(choose(UNIT, Guard(1e30)), SplitKernel)
