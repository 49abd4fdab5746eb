"""Exact EM for a full-covariance mixture with values missing at random, by pattern.

Ghahramani & Jordan 1994. Slow and plain on purpose: every row's expected values are written out,
and moments are taken about 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]


def patterns(X: Array) -> list[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Row numbers and observed features of each pattern; rows without any value are left out."""
    missing, which = np.unique(np.isnan(X), axis=0, return_inverse=True)
    return [
        (np.flatnonzero(which.ravel() == i), ~mask)
        for i, mask in enumerate(missing)
        if not mask.all()
    ]


def log_prob(X: Array, w: Array, mu: Array, S: Array) -> Array:
    """Log weight plus log density of what each row has, (n, k)."""
    L = np.full((len(X), len(w)), np.nan)
    for rows, o in patterns(X):
        for k in range(len(w)):
            C = np.linalg.cholesky(S[k][np.ix_(o, o)])
            z = np.linalg.solve(C, (X[rows][:, o] - mu[k][o]).T)
            constant = np.log(np.diag(C)).sum() + 0.5 * o.sum() * np.log(2 * np.pi)
            L[rows, k] = np.log(w[k]) - 0.5 * (z**2).sum(0) - constant
    return L


def em(
    X: Array, w: Array, mu: Array, S: Array, n_iter: int
) -> tuple[Array, Array, Array, list[float]]:
    """Parameters after that many steps, and the mean log-likelihood before each."""
    n, d, K, history = len(X), X.shape[1], len(w), []
    for _ in range(n_iter):
        L = log_prob(X, w, mu, S)
        total = logsumexp(L, 1)
        history.append(float(total.mean()))
        R = np.exp(L - total[:, None])
        N, A, B = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
        for rows, o in patterns(X):
            m = ~o
            for k in range(K):
                q, E = R[rows, k], np.empty((len(rows), d))
                E[:, o] = X[rows][:, o]
                if m.any():
                    W = np.linalg.solve(S[k][np.ix_(o, o)], S[k][np.ix_(o, m)])
                    E[:, m] = mu[k][m] + (X[rows][:, o] - mu[k][o]) @ W
                    residual = S[k][np.ix_(m, m)] - S[k][np.ix_(m, o)] @ W
                    B[k][np.ix_(m, m)] += q.sum() * residual
                N[k] += q.sum()
                A[k] += q @ E
                B[k] += (E * q[:, None]).T @ E
        w, mu = N / n, A / N[:, None]
        S = np.array([B[k] / N[k] - np.outer(mu[k], mu[k]) for k in range(K)])
    return w, mu, S, history
