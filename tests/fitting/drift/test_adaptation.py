"""MAP adaptation against the formulas of Reynolds, Quatieri & Dunn (2000), row by row."""

from __future__ import annotations

import numpy as np
import pytest
from mixtures import mixture
from numpy.typing import NDArray
from scipy import stats

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.drift.adaptation import Adaptation
from dgmm.fitting.drift.drift_pass import drift_pass
from dgmm.mixture.covariance import FAMILIES
from dgmm.model.mixture_model import MixtureModel

Array = NDArray[np.float64]
ALL = ("weights", "means", "covariances")


def scene(name: str) -> tuple[MixtureModel, Array]:
    family, rng = FAMILIES[name], np.random.default_rng(1)
    scale = np.full(2, 4.0) if family.common_scale else np.array([1.0, 8.0])
    units = Standardisation(np.array([50.0, -3.0]), scale, np.ones(2), np.zeros(2, bool))
    model = MixtureModel(mixture(family, 3, 2, rng), units, ("a", "b"))
    X, _ = model.sample(150, rng)
    return model, X + 0.7


def adaptation(model: MixtureModel, X: Array, r: float, what: tuple[str, ...]) -> Adaptation:
    with ThreadExecutor(1) as executor:
        found = drift_pass(
            *(ArrayDataset(X), executor, model), missing=MissingPolicy.ERROR, backend="numpy"
        )
    return Adaptation.of(model, found, r, what)


def plain(model: MixtureModel, X: Array, r: float) -> tuple[Array, Array, Array, Array]:
    """α, weights, means and (d, d) covariances, with raw moments as the paper has them."""
    k = model.n_components
    sigma = [model.component_covariance(j) for j in range(k)]
    parts = np.array(
        [
            model.weights[j] * stats.multivariate_normal(model.means[j], sigma[j]).pdf(X)
            for j in range(k)
        ]
    )
    posterior = parts / parts.sum(axis=0)
    n = posterior.sum(axis=1)
    alpha = n / (n + r)
    weights = alpha * n / len(X) + (1 - alpha) * model.weights
    first = posterior @ X / n[:, None]
    means = alpha[:, None] * first + (1 - alpha[:, None]) * model.means
    covariances = []
    for j in range(k):
        second = (posterior[j, :, None] * X).T @ X / n[j]
        before = sigma[j] + np.outer(model.means[j], model.means[j])
        mixed = alpha[j] * second + (1 - alpha[j]) * before
        covariances.append(mixed - np.outer(means[j], means[j]))
    return alpha, weights / weights.sum(), means, np.array(covariances)


def as_family(name: str, covariance: Array, scale: Array) -> Array:
    if name == "full":
        return covariance
    variances = np.diag(covariance)
    if name == "spherical":
        variances = scale**2 * np.mean(variances / scale**2)
    return np.diag(variances)


@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
def test_every_parameter_is_that_of_the_paper(name: str) -> None:
    model, X = scene(name)
    found = adaptation(model, X, 16.0, ALL)
    alpha, weights, means, covariances = plain(model, X, 16.0)
    assert found.shares == pytest.approx(alpha, rel=1e-10)
    assert found.model.weights == pytest.approx(weights, rel=1e-10)
    assert found.model.means == pytest.approx(means, rel=1e-10)
    for j in range(3):
        expected = as_family(name, covariances[j], model.standardisation.scale)
        assert found.model.component_covariance(j) == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_not_named_stays(name: str) -> None:
    model, X = scene(name)
    only_means = adaptation(model, X, 16.0, ("means",)).model
    assert (only_means.covariances == model.covariances).all()
    assert (only_means.weights == model.weights).all()
    assert (np.abs(only_means.means - model.means) > 1e-3).any()
    only_weights = adaptation(model, X, 16.0, ("weights",)).model
    assert (only_weights.means == model.means).all()


def test_covariances_about_kept_means_do_not_follow_the_origin() -> None:
    model, X = scene("full")
    found = adaptation(model, X, 16.0, ("covariances",)).model
    alpha, *_ = plain(model, X, 16.0)
    successor = adaptation(model, X, 1e-9, ALL).model  # all of the rows, nothing of the model
    for j in range(3):
        moved = successor.means[j] - model.means[j]
        about = successor.component_covariance(j) + np.outer(moved, moved)
        expected = alpha[j] * about + (1 - alpha[j]) * model.component_covariance(j)
        assert found.component_covariance(j) == pytest.approx(expected, rel=1e-7)


def test_relevance_goes_from_the_rows_to_the_model() -> None:
    model, X = scene("full")
    assert adaptation(model, X, 1e12, ALL).model.means == pytest.approx(model.means, rel=1e-6)
    _, _, means, _ = plain(model, X, 1e-9)
    assert adaptation(model, X, 1e-9, ALL).model.means == pytest.approx(means, rel=1e-8)


def test_a_component_without_rows_stays_as_it_is() -> None:
    model, X = scene("full")
    far = model.parameters.means.copy()
    far[2] = 1e3
    moved = MixtureModel(
        type(model.parameters)(
            model.parameters.family,
            model.parameters.weights,
            far,
            model.parameters.covariances,
            model.parameters.precisions_cholesky,
        ),
        model.standardisation,
        model.feature_names,
    )
    found = adaptation(moved, X, 16.0, ALL)
    assert found.shares[2] == 0.0
    assert found.model.means[2] == pytest.approx(moved.means[2])
    assert found.model.component_covariance(2) == pytest.approx(moved.component_covariance(2))


def test_a_shared_covariance_is_not_adapted() -> None:
    model, X = scene("tied")
    with pytest.raises(ValueError, match="shared covariance"):
        adaptation(model, X, 16.0, ALL)
