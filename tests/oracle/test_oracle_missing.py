"""EM with missing values ends where others do: a plain program, an optimiser, Amelia, stepmix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from missing_em import em as plain_em
from numpy.typing import NDArray
from scipy.optimize import minimize, root
from sklearn.datasets import load_iris

from dgmm import GaussianMixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.collapse import CollapsePolicy
from dgmm.fitting.em.data_pass import EStepTask, PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.mixture.backends import compiled_backend
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.kernels import Guard
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.map_reduce import map_reduce

Array = NDArray[np.float64]
BACKENDS = ["numpy", *(["numba"] if compiled_backend() is not None else [])]


def iris() -> Array:
    """Iris without a fifth of its values, by a rule: 12 patterns, a value at least in each row."""
    X = load_iris().data
    i, j = np.indices(X.shape)
    gone = ((i + 1) * (j + 3) * 7919) % 101 < 30
    gone[np.arange(150), np.arange(150) % 4] = False
    return np.where(gone, np.nan, X)


def fitted(
    X: Array, start: Parameters, max_iter: int, tol: float = 0.0, backend: str = "numpy"
) -> em.FitCandidate:
    """Plain EM from a start, in the units of the data."""
    d = X.shape[1]
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    problem = em.EMProblem(
        tol=tol,
        max_iter=max_iter,
        collapse=CollapsePolicy("reseed", filled, np.zeros(d)),
        guard=Guard.of_range(np.nanmin(X, axis=0), np.nanmax(X, axis=0)),
        standardisation=Standardisation.identity(d),
        marginalises=True,
    )
    dataset = ArrayDataset(X)
    with ThreadExecutor(1) as executor:

        def data_pass(requests: tuple[EStepRequest, ...]) -> PassStatistics:
            task = EStepTask(dataset, requests, backend, MissingPolicy.MARGINALISE)
            return map_reduce(executor, task, dataset.grid.n_blocks)

        begun = em.EMSolver(problem).init(em.CandidateId(), start)
        return em.run((begun,), data_pass, problem)[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_full_covariances_are_those_of_the_plain_program(backend: str) -> None:
    X = iris()
    means = np.array([load_iris().data[load_iris().target == k].mean(axis=0) for k in range(3)])
    covariances = np.stack([np.diag(np.nanvar(X, axis=0))] * 3)
    start = Parameters.of(FAMILIES["full"], np.full(3, 1 / 3), means, covariances)
    found = fitted(X, start, 8, backend=backend)
    w, mu, S, history = plain_em(X, np.full(3, 1 / 3), means, covariances, 8)
    np.testing.assert_allclose(found.history, history, rtol=1e-9)
    np.testing.assert_allclose(found.parameters.weights, w, atol=1e-9)
    np.testing.assert_allclose(found.parameters.means, mu, rtol=1e-9)
    np.testing.assert_allclose(found.parameters.covariances, S, atol=1e-9)


def test_one_gaussian_is_where_an_optimiser_finds_the_observed_likelihood_highest() -> None:
    """Mean and covariance of setosa by BFGS over means and log-Cholesky factors: no EM in it."""
    X = iris()[:50]
    start = Parameters.of(
        *(FAMILIES["full"], np.ones(1)),
        *(np.nanmean(X, axis=0)[None], np.diag(np.nanvar(X, axis=0))[None]),
    )
    found = fitted(X, start, 5000, tol=1e-15).parameters
    mean, covariance = _most_likely_gaussian(X)
    np.testing.assert_allclose(found.means[0], mean, atol=1e-7)
    np.testing.assert_allclose(found.covariances[0], covariance, atol=1e-7)


def _most_likely_gaussian(X: Array) -> tuple[Array, Array]:
    d = X.shape[1]
    low = np.tril_indices(d)

    def unpacked(theta: Array) -> tuple[Array, Array]:
        L = np.zeros((d, d))
        L[low] = theta[d:]
        L[np.diag_indices(d)] = np.exp(np.diag(L))
        return theta[:d], L

    def negative(theta: Array) -> tuple[float, Array]:
        mean, L = unpacked(theta)
        covariance, total = L @ L.T, 0.0
        of_mean, of_covariance = np.zeros(d), np.zeros((d, d))
        for x in X:
            o = np.flatnonzero(~np.isnan(x))
            precision = np.linalg.inv(covariance[np.ix_(o, o)])
            pull = precision @ (x[o] - mean[o])
            total += 0.5 * ((x[o] - mean[o]) @ pull - np.linalg.slogdet(precision)[1])
            of_mean[o] -= pull
            of_covariance[np.ix_(o, o)] += 0.5 * (precision - np.outer(pull, pull))
        of_L = 2.0 * of_covariance @ L
        of_L[np.diag_indices(d)] *= np.diag(L)
        return total, np.concatenate([of_mean, of_L[low]])

    theta = np.concatenate([np.nanmean(X, axis=0), np.zeros(len(low[0]))])
    theta = minimize(negative, theta, jac=True, method="BFGS").x
    theta = root(lambda t: negative(t)[1], theta, tol=1e-13).x  # its line search ends at rounding
    assert np.abs(negative(theta)[1]).max() < 1e-9
    mean, L = unpacked(theta)
    return mean, L @ L.T


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.filterwarnings("ignore:features of repeated values")
def test_one_gaussian_is_that_of_amelia(backend: str) -> None:
    """Amelia's EM without bootstrap and prior (Honaker, King & Blackwell 2011); see `amelia.R`."""
    amelia = json.loads((Path(__file__).parent / "data" / "amelia.json").read_text())
    options = {"reg_covar": 0.0, "reg_covar_relative": 0.0, "n_sample_starts": 1}
    end = {"tol": 1e-13, "max_iter": 1000, "backend": backend}
    found = GaussianMixture(1, missing="marginalise", **options, **end)
    found.fit(iris())
    np.testing.assert_allclose(found.means_[0], amelia["mean"], atol=1e-9)
    np.testing.assert_allclose(found.covariances_[0], amelia["covariance"], atol=1e-9)


#: Where stepmix 3.0.0 (Morin et al., *StepMix*, J. Stat. Softw. 113, 2025) ends after 1,500
#: iterations on `iris()`: `StepMix(3, measurement="gaussian_diag_nan", random_state=3)` with
#: abs_tol = rel_tol = 0, and the same of gaussian_spherical_nan; mean log-likelihood, parameters.
STEPMIX = {
    "diag": (
        -1.802615712490974,
        [0.2312974890856808, 0.3318751931618097, 0.4368273177525092],
        [
            [6.932251910432737, 3.11199669054036, 5.669886596020885, 2.1047584867453657],
            [5.001631980608904, 3.419489174773427, 1.4833333085292173, 0.25249816367640027],
            [5.9077888111107955, 2.7539671914888126, 4.403584745145336, 1.429490149140209],
        ],
        [
            [0.23813500286237754, 0.07884215180209508, 0.31955694056494, 0.05503071597953907],
            [0.09878226606509576, 0.15222676963733145, 0.034166665005066696, 0.012494148122497627],
            [0.25104012045301627, 0.07805004433498247, 0.30350050233428993, 0.07009216186376069],
        ],
    ),
    "spherical": (
        -2.18565502742299,
        [0.26593015328426534, 0.4098865698845979, 0.32418327683113685],
        [
            [6.882804956974165, 3.072870720632581, 5.6212514467222165, 2.0277694596499294],
            [5.848168441103775, 2.7479278951306907, 4.351435990026966, 1.3970620067577852],
            [5.000319223270557, 3.4462418770096317, 1.4833333519355887, 0.25129324936840997],
        ],
        [0.17346505361430822, 0.17044123590380364, 0.06994838402181515],
    ),
}


@pytest.mark.parametrize("name", STEPMIX)
@pytest.mark.parametrize("backend", BACKENDS)
def test_where_stepmix_ends_em_stays(name: str, backend: str) -> None:
    log_likelihood, *parts = STEPMIX[name]
    weights, means, covariances = (np.array(part) for part in parts)
    start = Parameters.of(FAMILIES[name], weights / weights.sum(), means, covariances)
    found = fitted(iris(), start, 20, tol=1e-300, backend=backend)
    assert found.history[0] == pytest.approx(log_likelihood, abs=1e-12)
    np.testing.assert_allclose(found.parameters.weights, weights, atol=1e-8)
    np.testing.assert_allclose(found.parameters.means, means, atol=1e-8)
    np.testing.assert_allclose(found.parameters.covariances, covariances, atol=1e-8)


@pytest.mark.parametrize("name", STEPMIX)
def test_from_elsewhere_em_ends_where_stepmix_does(name: str) -> None:
    log_likelihood, weights, means, covariances = STEPMIX[name]
    family = FAMILIES[name]
    moved = np.array(means) + 0.2 * np.array([[1, -1, 1, -1], [-1, 1, 1, 1], [1, 1, -1, -1]])
    start = Parameters.of(family, np.full(3, 1 / 3), moved, np.array(covariances) * 1.5)
    found = fitted(iris(), start, 3000, tol=1e-16)
    assert found.history[-1] == pytest.approx(log_likelihood, abs=1e-11)
    np.testing.assert_allclose(found.parameters.weights, weights, atol=1e-6)
    np.testing.assert_allclose(found.parameters.means, means, atol=1e-6)
