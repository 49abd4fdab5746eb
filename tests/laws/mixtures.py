"""Mixtures and rows to state laws about; built by the families' own operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance import Family, Moments
from dgmm.mixture.kernels import Guard
from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Scene:
    """A mixture, and rows Y (d, n) near it."""

    parameters: Parameters
    Y: Array

    @property
    def family(self) -> Family:
        return self.parameters.family

    @property
    def guard(self) -> Guard:
        return Guard.of_range(self.Y.min(axis=1), self.Y.max(axis=1))

    def allowed(self) -> float:
        """Rounding of a pass in nats: the guard's bound for the products, n·ε for the sums."""
        return self.guard.log_prob_error(self.parameters) + self.Y.size * EPS

    def allowed_fall(self, mean: float) -> float:
        """What an accepted step may take from a mean log-likelihood: rounding alone.

        The solver's own bound, with twice `allowed` in place of its guard's error.
        """
        condition = 4.0 * EPS * self.parameters.condition_bound
        return 2.0 * self.allowed() + 1e-12 * max(1.0, abs(mean)) + condition


def factors(k: int, d: int, condition: float, rng: np.random.Generator) -> Array:
    """A (k, d, d) with A Aᵀ of that condition number and eigenvalues near 1."""
    directions = np.linalg.qr(rng.normal(size=(k, d, d)))[0]
    roots = np.exp(rng.uniform(-0.25, 0.25, size=(k, d)) * np.log(condition))
    if d > 1:
        roots[:, 0], roots[:, -1] = condition**0.25, condition**-0.25
    return directions * roots[:, None, :] * rng.uniform(0.7, 1.4, size=(k, 1, 1))


def covariances_of(family: Family, A: Array) -> Array:
    """Covariances of maximum likelihood for "rows" A (k, d, d) that average to A Aᵀ."""
    k, d = A.shape[:2]
    moments = Moments(
        counts=np.ones(k),
        first=np.zeros((k, d)),
        second=np.stack([family.second_moment(a, np.ones(d)) for a in A]),
        scatter=sum(family.scatter(a) for a in A) if family.scatter_width(d) else None,
    )
    return family.covariances(moments)


def mixture(
    family: Family,
    k: int,
    d: int,
    rng: np.random.Generator,
    *,
    condition: float = 10.0,
    separation: float = 3.0,
) -> Parameters:
    """A random mixture around the origin."""
    weights = rng.uniform(0.2, 1.0, size=k)
    means = separation * rng.normal(size=(k, d))
    covariances = covariances_of(family, factors(k, d, condition, rng))
    return Parameters.of(family, weights / weights.sum(), means, covariances)


def draw(parameters: Parameters, n: int, rng: np.random.Generator) -> Array:
    """Rows (d, n) of the mixture."""
    p, d = parameters, parameters.n_features
    roots = np.stack(
        [
            np.linalg.cholesky(p.family.full_covariance(p.covariances, j, d))
            for j in range(p.n_components)
        ]
    )
    labels = rng.choice(p.n_components, size=n, p=p.weights)
    noise = np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(n, d)))
    return np.ascontiguousarray((p.means[labels] + noise).T)


def scene(
    family: Family,
    n: int = 400,
    k: int = 3,
    d: int = 4,
    seed: int = 0,
    *,
    condition: float = 10.0,
    separation: float = 3.0,
) -> Scene:
    """Rows of one mixture under a neighbouring one: an EM step has work to do."""
    rng = np.random.default_rng([seed, n, k, d])
    truth = mixture(family, k, d, rng, condition=condition, separation=separation)
    Y = draw(truth, n, rng)
    guess = truth.means + 0.3 * rng.normal(size=(k, d))
    return Scene(Parameters.of(truth.family, truth.weights, guess, 1.2 * truth.covariances), Y)


def moved(parameters: Parameters, offset: Array | float) -> Parameters:
    """The mixture, moved."""
    p = parameters
    return Parameters.of(p.family, p.weights, p.means + offset, p.covariances)


def plain_log_prob(parameters: Parameters, Y: Array) -> Array:
    """Log weight plus log density (k, b), by the definition: determinant and solve."""
    p, d = parameters, len(Y)
    rows = []
    for j, weight in enumerate(p.weights):
        covariance = p.family.full_covariance(p.covariances, j, d)
        D = Y - p.means[j][:, None]
        distance = np.einsum("ib,ib->b", D, np.linalg.solve(covariance, D))
        log_det = np.linalg.slogdet(covariance)[1]
        rows.append(np.log(weight) - 0.5 * (d * np.log(2.0 * np.pi) + log_det + distance))
    return np.stack(rows)


def difference(left: Parameters, right: Parameters) -> float:
    """Largest difference: weights; means in sd; covariances in √(Σ_ii Σ_jj)."""
    p, k, d = right, right.n_components, right.n_features
    sd = np.sqrt(p.family.variances(p.covariances, k, d))
    apart = [np.abs(left.weights - p.weights).max(), (np.abs(left.means - p.means) / sd).max()]
    for j in range(k):
        full = [q.family.full_covariance(q.covariances, j, d) for q in (left, p)]
        apart.append((np.abs(full[0] - full[1]) / np.outer(sd[j], sd[j])).max())
    return float(max(apart))
