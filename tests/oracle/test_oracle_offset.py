"""Data far from the origin give the variances of the same data centred first."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.kernels import CentredKernel, Guard, Workspace, choose, e_step
from dgmm.mixture.parameters import Parameters, m_step

Array = NDArray[np.float64]

#: What the variances may differ by, relative: the rows themselves are rounded to ε·offset.
AGREEMENT = {np.float64: 1e-6, np.float32: 1e-2}
OFFSET = {np.float64: 1e8, np.float32: 1e4}

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)


def _rows(dtype: type = np.float64) -> tuple[Array, Array]:
    """Two clusters of unit variance 4 sd apart, near the origin and, rounded to dtype, far off it.

    The near rows are those that the dtype holds at the offset.
    """
    rng = np.random.default_rng(0)
    near = np.concatenate([rng.normal(size=(4000, 3)), 4.0 + rng.normal(size=(4000, 3))])
    far = (near + OFFSET[dtype]).astype(dtype)
    return far.astype(np.float64) - OFFSET[dtype], far


def _start(family: Family, means: Array, variance: float = 1.0) -> Parameters:
    d = means.shape[1]
    covariances = (
        variance
        * {
            "full": np.stack([np.eye(d)] * 2),
            "tied": np.eye(d),
            "diag": np.ones((2, d)),
            "spherical": np.ones(2),
            "tied_diag": np.ones(d),
            "tied_spherical": np.ones(1),
        }[family.name]
    )
    return Parameters.of(family, np.full(2, 0.5), means, covariances)


def _variances(p: Parameters) -> Array:
    return p.family.variances(p.covariances, p.n_components, p.n_features)


@FAMILY
def test_the_centred_kernel_is_right_at_any_offset(family: Family) -> None:
    near, far = _rows()
    means = np.array([np.zeros(3), np.full(3, 4.0)])
    found, expected = (
        m_step(
            family, e_step([CentredKernel.of(_start(family, means + at))], rows.T, Workspace())[0]
        ).regularised(np.zeros(3))
        for at, rows in ((1e8, far), (0.0, near))
    )
    assert np.abs(_variances(found) / _variances(expected) - 1.0).max() <= AGREEMENT[np.float64]


@FAMILY
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_standardised_rows_are_right_at_the_offset_of_their_type(
    family: Family, dtype: type
) -> None:
    near, far = _rows(dtype)
    found = _fitted(family, far, dtype)
    expected = _fitted(family, near, np.float64)
    assert np.abs(found / expected - 1.0).max() <= AGREEMENT[dtype]
    assert np.abs(found - 1.0).max() < 0.2


def _fitted(family: Family, rows: Array, dtype: type) -> Array:
    """Variances in the user's units after four iterations on standardised rows."""
    standardisation = Standardisation.from_sample(
        rows, np.dtype(dtype), common_scale=family.common_scale
    )
    Y = standardisation.apply(rows, np.float64)
    guard = Guard.of_range(Y.min(axis=1), Y.max(axis=1))
    clusters = rows.astype(np.float64).reshape(2, 4000, 3).mean(axis=1)
    p = _start(family, standardisation.means_from_user(clusters), variance=0.25)
    for _ in range(4):
        kernel = choose(p, guard, with_scatter=True)
        p = m_step(family, e_step([kernel], Y, Workspace())[0]).regularised(np.zeros(3))
    return _variances(p) * standardisation.scale**2
