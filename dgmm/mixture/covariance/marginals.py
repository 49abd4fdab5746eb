"""What a family answers where values are missing at random: no row is imputed.

The marginal of a Gaussian is the Gaussian of the observed features, of the same family. What EM
needs of the missing ones is in the conditional distribution of x_m given x_o under the old
parameters (Ghahramani & Jordan, *Supervised learning from incomplete data via an EM approach*,
1994), which moments of observed features are lifted by. Families without correlations need neither
patterns nor lifts: their features are masked, each with a sum of responsibilities of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.errors import DataError
from dgmm.mixture.backends.lift_record import Lift
from dgmm.mixture.covariance.moments import Array, Moments
from dgmm.mixture.covariance.triangles import triangle

Features = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Conditional:
    """x_m given x_o under each component: mean μ_m + B(x_o − μ_o), covariance C.

    Attributes
    ----------
    observed, missing : (q,), (m,)
        Features.
    variances : (k, m)
        Diagonals of C.
    regression : (k, m, q), (m, q) or None
        B = Σ_mo Σ_oo⁻¹; without the first axis where components share it, None where it is 0.
    covariance : (k, m, m), (m, m) or None
        C = Σ_mm − B Σ_om; None where it is diagonal.
    places : (d(d + 1)/2,) or None
        Where the packed triangle's entries stand in blocks oo, mo and mm, one behind the other.
    """

    observed: Features
    missing: Features
    variances: Array
    regression: Array | None = None
    covariance: Array | None = None
    places: Features | None = None

    @classmethod
    def of_lift(cls, lift: Lift, covariances: Array, k: int) -> Self:
        """What compiled code found, for covariances with an axis of components or without."""
        shape, q, m = covariances.shape[:-2], len(lift.observed), len(lift.missing)
        B, C = lift.regression.reshape(*shape, m, q), lift.covariance.reshape(*shape, m, m)
        return cls(lift.observed, lift.missing, _diagonals(C, k), B, C, lift.places)

    def mean(self, means: Array, k: int, D: Array) -> Array:
        """Of the missing features (m, b), for deviations D (q, b) from component k's mean."""
        centre = means[k, self.missing][:, None]
        if self.regression is None:
            return np.broadcast_to(centre, (len(centre), D.shape[1]))
        B = self.regression if self.regression.ndim == 2 else self.regression[k]
        return np.asarray(centre + B @ D)


class Marginals:
    """Marginal and conditional distributions, and the moments that EM makes of them."""

    name: ClassVar[str] = ""
    #: Features are independent within a component, and a missing one is masked in φ: `recentred`
    #: and `completed` serve in place of `lifted`.
    masks_features: ClassVar[bool] = False
    #: Second moments, or the scatter, are triangles of all pairs, and what is missing of them is
    #: B m₂, B m₂ Bᵀ + n C of the conditional: compiled code may lift them.
    lifts_pairs: ClassVar[bool] = False
    #: Σ is (k, d, d) and φ has all pairs of features: rows of patterns that few have can be taken
    #: one by one.
    takes_rows: ClassVar[bool] = False
    #: `about` is defined. Where it is not, one row too far from the origin has all rows of a pass
    #: take the centred kernel.
    moves_moments: ClassVar[bool] = False

    def marginal(self, covariances: Array, features: Features) -> Array:
        """Covariances of some of the features, of the family's shape for so many."""
        del covariances, features
        self._refuse("marginal")

    def conditional(
        self, covariances: Array, factors: Array, k: int, observed: Features, missing: Features
    ) -> Conditional:
        """The missing features given the observed ones.

        `factors` are the precision factors of the `marginal` of the observed features.
        """
        del covariances, factors, k, observed, missing
        self._refuse("conditional")

    def lifted(self, moments: Moments, conditional: Conditional, points: Array | None) -> Moments:
        """Moments of all features about the old means, expected from those of the observed ones.

        With A = [I; B]: M₁ = A m₁ and M₂ = A m₂ Aᵀ + n C, of m₁ and m₂ about the old means.

        Parameters
        ----------
        moments
            Of the observed features, about the origin or about the old means.
        conditional
            Under the old parameters.
        points : (k, q) or None
            The old means of the observed features; None where the moments are about them.
        """
        del moments, conditional, points
        self._refuse("lifted")

    def about(self, moments: Moments, points: Array) -> Moments:
        """Moments of complete rows about points (k, d), from moments about the origin."""
        del moments, points
        raise NotImplementedError(f"the covariance family {self.name!r} does not define `about`")

    def recentred(self, moments: Moments, observed: Array, points: Array) -> Moments:
        """Moments about points (k, d), from moments about the origin.

        `observed` (k, d) is Σ r of the rows that have a value of each feature.
        """
        del moments, observed, points
        self._refuse("recentred")

    def completed(
        self, moments: Moments, observed: Array, seen: NDArray[np.bool_], covariances: Array
    ) -> Moments:
        """Moments of Σ r rows whose mean and variance are those of the observed values.

        Parameters
        ----------
        moments
            Of observed values, about the old means.
        observed : (k, d)
            Σ r of the rows that have a value of each feature.
        seen : (k, d)
            Where that is enough for an estimate; elsewhere the old mean and variance stay.
        covariances
            The old ones.
        """
        del moments, observed, seen, covariances
        self._refuse("completed")

    def _refuse(self, member: str) -> NoReturn:
        raise DataError(
            f"the covariance family {self.name!r} does not define `{member}`, which EM with "
            "missing values needs: set data.missing to drop, or define it as "
            "dgmm.mixture.covariance.marginals describes"
        )


def correlated(
    observed: Features, missing: Features, cross: Array, within: Array, factors: Array, k: int
) -> Conditional:
    """The conditional by Σ_mo, Σ_mm, and U with Σ_oo⁻¹ = U Uᵀ."""
    whitened = cross @ factors
    B = whitened @ np.swapaxes(factors, -1, -2)
    C = within - whitened @ np.swapaxes(whitened, -1, -2)
    return Conditional(observed, missing, _diagonals(C, k), B, C, _places(observed, missing))


def _diagonals(C: Array, k: int) -> Array:
    """Those of C (k, m, m), or of what all k components share: (k, m)."""
    return np.broadcast_to(np.diagonal(C, axis1=-2, axis2=-1), (k, C.shape[-1]))


def _places(observed: Features, missing: Features) -> Features:
    q, m = len(observed), len(missing)
    at = np.empty((q + m, q + m), np.intp)
    at[observed[:, None], observed] = np.arange(q * q).reshape(q, q)
    across = q * q + np.arange(m * q).reshape(m, q)
    at[missing[:, None], observed] = across
    at[observed[:, None], missing] = across.T
    at[missing[:, None], missing] = q * (q + m) + np.arange(m * m).reshape(m, m)
    return np.asarray(at[triangle(q + m)])


def lifted_first(first: Array, conditional: Conditional) -> Array:
    """A m₁ for m₁ (k, q) about the old means: (k, d)."""
    o, m, B = conditional.observed, conditional.missing, conditional.regression
    result = np.zeros((len(first), len(o) + len(m)))
    result[:, o] = first
    if B is not None:
        result[:, m] = (B @ first[:, :, None])[..., 0]
    return result


def lifted_second(second: Array, counts: Array | Any, conditional: Conditional) -> Array:
    """A m₂ Aᵀ + n C for m₂ (…, q, q) about the old means: packed, (…, d(d + 1)/2)."""
    B, C, places = conditional.regression, conditional.covariance, conditional.places
    if B is None or C is None or places is None:
        raise ValueError("a lift of matrices needs the regression and its residual covariance")
    across = B @ second
    within = across @ np.swapaxes(B, -1, -2)
    within += np.asarray(counts)[..., None, None] * C
    shape = (*second.shape[:-2], -1)
    blocks = [part.reshape(shape) for part in (second, across, within)]
    return np.asarray(np.concatenate(blocks, axis=-1).take(places, axis=-1))
