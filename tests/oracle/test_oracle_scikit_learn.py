"""One EM iteration from the same parameters gives what scikit-learn's gives."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.criteria import criteria, n_parameters
from dgmm.mixture.kernels import CentredKernel, Kernel, ProductKernel, Workspace, e_step
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Parameters, m_step

Array = NDArray[np.float64]

#: Weights absolute; means in sd; covariances in √(Σ_ii Σ_jj); mean log-likelihood in nats.
AGREEMENT = 1e-9

#: Families whose arrays it has too.
OF_SCIKIT_LEARN = [name for name, family in FAMILIES.items() if family.scikit_learn_type]
SIZES = [(300, 1, 2), (500, 2, 3), (800, 5, 4), (2000, 8, 16), (1500, 30, 3)]


@dataclass(frozen=True)
class Case:
    """Rows X (n, d) and parameters to start both sides from."""

    X: Array
    start: Parameters


def _case(name: str, n: int, d: int, k: int) -> Case:
    """Overlapping clusters of unequal size; the start is one of random labels, hence broad."""
    rng = np.random.default_rng([n, d, k])
    labels = rng.choice(k, size=n, p=rng.dirichlet(np.full(k, 5.0)))
    shapes = rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    X = 2.0 * rng.normal(size=(k, d))[labels]
    X += np.einsum("nij,nj->ni", shapes[labels], rng.normal(size=(n, d)))
    means = X[rng.choice(n, k, replace=False)]
    covariance = np.cov(X.T, bias=True).reshape(d, d)
    covariances = {
        "full": np.repeat(covariance[None], k, axis=0),
        "tied": covariance,
        "diag": np.repeat(np.diag(covariance)[None], k, axis=0),
        "spherical": np.full(k, np.trace(covariance) / d),
    }[name]
    return Case(X, Parameters.of(FAMILIES[name], np.full(k, 1.0 / k), means, covariances))


def _theirs(case: Case, n_iterations: int = 1) -> GaussianMixture:
    """scikit-learn after so many iterations from the same parameters, without regularisation."""
    start = case.start
    precisions = (
        1.0 / start.covariances
        if start.family.name in {"diag", "spherical"}
        else np.linalg.inv(start.covariances)
    )
    mixture = GaussianMixture(
        start.n_components,
        covariance_type=start.family.name,
        tol=0.0,
        reg_covar=0.0,
        max_iter=n_iterations,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=precisions,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(case.X)


def _ours(case: Case, kernel: Kernel) -> tuple[Parameters, float]:
    """Parameters after one iteration, and the mean log-likelihood of the E-step in it."""
    Y = np.ascontiguousarray(case.X.T)
    statistics = e_step([kernel], Y, Workspace())[0]
    parameters = m_step(case.start.family, statistics).regularised(np.zeros(len(Y)))
    return parameters, statistics.log_likelihood / len(case.X)


@pytest.mark.parametrize("centred", [False, True], ids=["product", "centred"])
@pytest.mark.parametrize(("n", "d", "k"), SIZES)
@pytest.mark.parametrize("name", OF_SCIKIT_LEARN)
def test_one_iteration_gives_scikit_learns_parameters(
    name: str, n: int, d: int, k: int, centred: bool
) -> None:
    case = _case(name, n, d, k)
    kernel: Kernel = (
        CentredKernel.of(case.start) if centred else ProductKernel.of(case.start, with_scatter=True)
    )
    found, mean_log_likelihood = _ours(case, kernel)
    theirs = _theirs(case)
    family = found.family
    sd = np.sqrt(family.variances(theirs.covariances_, k, d))
    assert np.abs(found.weights - theirs.weights_).max() <= AGREEMENT
    assert (np.abs(found.means - theirs.means_) / sd).max() <= AGREEMENT
    for j in range(k):
        ours, other = (
            family.full_covariance(c, j, d) for c in (found.covariances, theirs.covariances_)
        )
        assert (np.abs(ours - other) / np.outer(sd[j], sd[j])).max() <= AGREEMENT
    if centred or not family.scatter_width(1):
        # lower_bound_ is that of the E-step before the M-step, as ours is.
        assert abs(mean_log_likelihood - theirs.lower_bound_) <= AGREEMENT


@pytest.mark.parametrize(("n", "d", "k"), SIZES)
@pytest.mark.parametrize("name", OF_SCIKIT_LEARN)
def test_log_densities_and_posteriors_are_scikit_learns(name: str, n: int, d: int, k: int) -> None:
    case = _case(name, n, d, k)
    theirs = _theirs(case, n_iterations=3)
    family = FAMILIES[name]
    parameters = Parameters.of(family, theirs.weights_, theirs.means_, theirs.covariances_)
    scorer, Y = Scorer(parameters), np.ascontiguousarray(case.X.T)
    expected = theirs.score_samples(case.X)
    difference = np.abs(scorer.log_density(Y) - expected) / np.maximum(1.0, np.abs(expected))
    assert difference.max() <= AGREEMENT
    assert np.abs(scorer.responsibilities(Y).T - theirs.predict_proba(case.X)).max() <= AGREEMENT


@pytest.mark.parametrize("name", OF_SCIKIT_LEARN)
def test_criteria_are_scikit_learns(name: str) -> None:
    case = _case(name, 500, 4, 3)
    theirs = _theirs(case, n_iterations=3)
    free = n_parameters(FAMILIES[name], 3, 4)
    found = criteria(theirs.score(case.X) * 500, 0.0, free, 500)
    assert abs(found.aic - theirs.aic(case.X)) <= AGREEMENT * abs(found.aic)
    assert abs(found.bic - theirs.bic(case.X)) <= AGREEMENT * abs(found.bic)
