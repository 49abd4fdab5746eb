"""EM with missing values row by row, in precision form: slow and plain, for every family.

By the definition: each row's posterior from the marginal of its own observed features, and its
expected first and second moments under each component (Ghahramani & Jordan 1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mixtures import Array
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from dgmm.mixture.parameters import Parameters


@dataclass(frozen=True)
class Expected:
    """Sums over rows: Σ w log p(x_o), Σ w r, and expected moments about the old means."""

    log_density: Array
    responsibilities: Array
    counts: Array
    first: Array
    second: Array


def expected(p: Parameters, Y: Array, weights: Array | None = None) -> Expected:
    """Sums over rows Y (d, n), NaN where a value is missing."""
    (d, n), k = Y.shape, p.n_components
    full = [p.family.full_covariance(p.covariances, j, d) for j in range(k)]
    precisions = [np.linalg.inv(C) for C in full]
    w = np.ones(n) if weights is None else weights
    L = np.empty((k, n))
    first, second = np.zeros((k, d)), np.zeros((k, d, d))
    moments = []
    for i, y in enumerate(Y.T):
        o = ~np.isnan(y)
        m = ~o
        for j in range(k):
            D = np.zeros(d)
            D[o] = (y - p.means[j])[o]
            marginal = multivariate_normal(p.means[j][o], full[j][np.ix_(o, o)])
            L[j, i] = p.log_weights[j] + marginal.logpdf(y[o])
            E = np.zeros((d, d))
            if m.any():
                within = np.linalg.inv(precisions[j][np.ix_(m, m)])
                D[m] = -within @ precisions[j][np.ix_(m, o)] @ D[o]
                E[np.ix_(m, m)] = within
            moments.append((i, j, D, E))
    log_density = logsumexp(L, axis=0)
    R = np.exp(L - log_density)
    for i, j, D, E in moments:
        r = w[i] * R[j, i]
        first[j] += r * D
        second[j] += r * (np.outer(D, D) + E)
    return Expected(log_density, R, R @ w, first, second)


def stepped(p: Parameters, Y: Array, weights: Array | None = None) -> Parameters:
    """The parameters after one step, of a family whose moments are expected ones."""
    found = expected(p, Y, weights)
    n = found.counts
    shift = found.first / n[:, None]
    full = found.second / n[:, None, None] - shift[:, :, None] * shift[:, None, :]
    shares = n / n.sum()
    covariances = np.tensordot(shares, full, axes=1) if p.family.is_shared else full
    if p.family.name in {"tied_diag", "tied_spherical", "shared_diag"}:
        covariances = np.diagonal(covariances).copy()
    if p.family.name == "tied_spherical":
        covariances = covariances.mean(keepdims=True)
    return Parameters.of(p.family, shares, p.means + shift, covariances)


def stepped_of_observed_values(p: Parameters, Y: Array, weights: Array | None = None) -> Parameters:
    """The same of independent features: means and variances of observed values alone."""
    (d, n), k = Y.shape, p.n_components
    found = expected(p, Y, weights)
    w = np.ones(n) if weights is None else weights
    means, squares, counts = np.empty((k, d)), np.empty((k, d)), np.empty((k, d))
    for j in range(k):
        for f in range(d):
            there = ~np.isnan(Y[f])
            r = (w * found.responsibilities[j])[there]
            counts[j, f] = r.sum()
            means[j, f] = r @ Y[f, there] / r.sum()
            squares[j, f] = r @ (Y[f, there] - means[j, f]) ** 2
    covariances = squares / counts
    if p.covariances.ndim == 1:
        covariances = squares.sum(axis=1) / counts.sum(axis=1)
    return Parameters.of(p.family, found.counts / found.counts.sum(), means, covariances)
