"""What the squared distance of a row from a component loses when a feature is left out.

With δ = y − μ, Λ the precision and g = Λδ, D² = δᵀΛδ without feature j is D² − g_j²/Λ_jj: x_j given
all other features has mean x_j − g_j/Λ_jj and variance 1/Λ_jj, so that g_j²/Λ_jj is the squared
distance of x_j from what the others say of it, in standard deviations. Features are left out one
after the other, the one of largest loss first; that marginalises them: without j,
Λ'_il = Λ_il − Λ_ij Λ_jl/Λ_jj and g'_i = g_i − Λ_ij g_j/Λ_jj. The losses then add up to what D²
loses in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance.family import Array
from dgmm.mixture.parameters import Parameters

Features = NDArray[np.intp]
#: Roundings that may stand in a part of Λδ.
_ROUNDINGS = 64.0
#: Squared standard deviations that no reason depends on.
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """Features of b rows in the order in which they are left out, m of each.

    Attributes
    ----------
    features : (b, m)
        −1 where what is left of D² is rounding: a value so far away hides all others.
    losses : (b, m)
        What D² loses, with those before left out already; infinite where float64 ends, NaN where
        there is no feature.
    expected, deviations : (b, m)
        Mean and standard deviation of the feature given those that are not left out.
    squared_distance : (b,)
        D² of all features.
    """

    features: Features
    losses: Array
    expected: Array
    deviations: Array
    squared_distance: Array


def left_out(parameters: Parameters, k: int, Y: Array, most: int) -> LeftOut:
    """Leave out up to `most` features of rows Y (d, b) of component k, one after the other.

    All is in the units of the parameters. Rows are scaled so that no square overflows on the way.

    Parameters
    ----------
    parameters
        Of the features of Y alone (`Parameters.marginal`).
    k
        The component whose distance is looked at.
    Y
        Rows, each value known.
    most
        Features to leave out; not more than there are.
    """
    family, factors, d = parameters.family, parameters.precisions_cholesky, parameters.n_features
    m, mean = min(most, d), parameters.means[k]
    U = family.whiten(factors, k, np.eye(d)).T
    D = Y - mean[:, None]
    exponents = np.frexp(np.abs(D).max(axis=0))[1]
    D = np.ldexp(D, -exponents)
    Z = family.whiten(factors, k, D)
    steps = _steps(U, D, U @ Z, _least(parameters, k), m)
    features, losses, expected, deviations = (
        np.stack(part, axis=1) for part in zip(*steps, strict=True)
    )
    squared = np.einsum("ij,ij->j", Z, Z)
    with np.errstate(over="ignore"):
        known = _is_known(losses, squared, exponents)
        return LeftOut(
            np.where(known, features, -1),
            np.where(known, np.ldexp(losses, 2 * exponents[:, None]), np.nan),
            np.where(known, mean[features] + np.ldexp(expected, exponents[:, None]), np.nan),
            np.where(known, deviations, np.nan),
            np.ldexp(squared, 2 * exponents),
        )


def _is_known(losses: Array, squared: Array, exponents: NDArray[np.intc]) -> NDArray[np.bool_]:
    """Losses (b, m) that are not the rounding of D²; the first is what D² itself is made of.

    g = Λδ is right but for its rounding, and Λ_ij² is at most Λ_ii Λ_jj: the error of a loss is a
    share of D², which matters where it is no longer far below a standard deviation.
    """
    eps = np.finfo(np.float64).eps
    errors = (_ROUNDINGS * eps) ** 2 * squared
    matters = np.ldexp(errors, 2 * exponents) > _NEGLIGIBLE
    known: NDArray[np.bool_] = (losses > errors[:, None]) | ~matters[:, None]
    known[:, 0] = True
    return known


def _least(parameters: Parameters, k: int) -> Array:
    """1/Σ_jj (d,): no precision of a feature given others is below that, but by rounding."""
    n, d = parameters.n_components, parameters.n_features
    return np.asarray(1.0 / parameters.family.variances(parameters.covariances, n, d)[k])


def _steps(
    U: Array, D: Array, G: Array, least: Array, m: int
) -> list[tuple[Features, Array, Array, Array]]:
    """Feature, loss, expected deviation from the mean, and sd (b,) of each step."""
    b, rows = D.shape[1], np.arange(D.shape[1])
    precisions = np.repeat((U * U).sum(axis=1)[:, None], b, axis=1)
    is_left = np.ones(D.shape, np.bool_)
    steps, taken = [], list[Array]()
    for _ in range(m):
        losses = np.where(is_left, G * G / precisions, -1.0)
        j = losses.argmax(axis=0)
        at = j, rows
        own, root = precisions[at], np.sqrt(precisions[at])
        steps.append((j, losses[at], D[at] - G[at] / own, 1.0 / root))
        # Column j of what is left of Λ, over √Λ_jj: one step of a Cholesky factorisation.
        column = (U @ U[j].T - sum(v * v[at] for v in taken)) / root
        G = G - column * (G[at] / root)
        precisions = np.maximum(precisions - column * column, least[:, None])
        is_left[at] = False
        taken.append(column)
    return steps
