"""Every covariance family keeps the laws of `family_laws`."""

from __future__ import annotations

from dataclasses import replace

import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES
from family_laws import check_family

from dgmm.mixture.covariance import Family, Full
from dgmm.mixture.covariance.cholesky import inverse_lower
from dgmm.mixture.covariance.triangles import pack, unpack


@pytest.mark.parametrize("family", ALL_FAMILIES.values(), ids=lambda f: f.name)
def test_a_family_keeps_its_laws(family: Family) -> None:
    check_family(family)


class _WrongConstant(Full):
    def quadratic_parameters(self, precisions_cholesky, k, d):
        return 0.999 * super().quadratic_parameters(precisions_cholesky, k, d)


class _WrongDeterminant(Full):
    def half_log_det_precision(self, precisions_cholesky, k, d):
        return 1e-6 + super().half_log_det_precision(precisions_cholesky, k, d)


class _WrongFactor(Full):
    def precisions_cholesky(self, covariances):
        return (1.0 + 1e-9) * super().precisions_cholesky(covariances)


class _RawMoments(Full):
    def covariances(self, moments):
        return super().covariances(replace(moments, first=np.zeros_like(moments.first)))


class _TooWide(Full):
    def covariances(self, moments):
        return (1.0 + 1e-6) * super().covariances(moments)


class _ScaledOnce(Full):
    def rescaled(self, covariances, scale):
        return covariances * scale


class _AddedTwice(Full):
    def regularised(self, covariances, regularisation):
        return super().regularised(covariances, 2.0 * regularisation)


class _ForgetsOffDiagonals(Full):
    def log_factors(self, covariances):
        return super().log_factors(covariances) * np.eye(covariances.shape[-1])


class _CountsBothTriangles(Full):
    def n_parameters(self, k, d):
        return k * d * d


class _PoolsUnweighted(Full):
    def pooled(self, covariances, weights):
        return super().pooled(covariances, np.ones_like(weights))


class _SeesNothing(Full):
    def is_singular(self, precisions_cholesky, k):
        return np.zeros(k, dtype=bool)


@pytest.mark.parametrize(
    "family",
    [
        _WrongConstant(),
        _WrongDeterminant(),
        _WrongFactor(),
        _RawMoments(),
        _TooWide(),
        _ScaledOnce(),
        _AddedTwice(),
        _ForgetsOffDiagonals(),
        _CountsBothTriangles(),
        _PoolsUnweighted(),
        _SeesNothing(),
    ],
    ids=lambda family: type(family).__name__,
)
def test_a_family_that_breaks_a_law_is_found(family: Family) -> None:
    with pytest.raises(AssertionError):
        check_family(family)


@pytest.mark.parametrize("d", [1, 2, 31, 32, 33, 64, 100])
def test_the_inverse_by_halves_inverts(d: int) -> None:
    rng = np.random.default_rng(d)
    L = np.tril(rng.normal(size=(3, d, d))) / np.sqrt(d) + 2.0 * np.eye(d)
    found = inverse_lower(L) @ L
    size = np.abs(inverse_lower(L)) @ np.abs(L)
    assert (np.abs(found - np.eye(d)) <= 2 * d * mixtures.EPS * size).all()


def test_packed_matrices_unpack_to_themselves() -> None:
    A = mixtures.factors(3, 6, 10.0, np.random.default_rng(0))
    C = A @ np.swapaxes(A, 1, 2)
    C = 0.5 * (C + np.swapaxes(C, 1, 2))
    np.testing.assert_array_equal(unpack(pack(C), 6), C)
