"""Scores of rows that lack values: of what they have, and comparable between rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from dgmm import GaussianMixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.mixture.covariance import FAMILIES, family_named
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.in_memory import scores

K, D = 3, 8
NAMES = ("labels", "max_posterior", "log_density", "completed_log_density", "responsibilities")


def mixture(name="full", seed=0, scale=1.0):
    """A mixture in units that are not the standardised ones."""
    rng = np.random.default_rng(seed)
    family = family_named(name)
    A = rng.normal(size=(K, D, D))
    whole = A @ np.swapaxes(A, 1, 2) / D + 0.3 * np.eye(D)
    shapes = {
        "full": whole,
        "tied": whole[0],
        "diag": np.einsum("kii->ki", whole),
        "spherical": whole[:, 0, 0],
        "tied_diag": np.diagonal(whole[0]).copy(),
        "tied_spherical": whole[0, 0, :1],
    }
    weights = np.array([0.5, 0.3, 0.2])
    parameters = Parameters.of(family, weights, rng.normal(size=(K, D)), shapes[name])
    ones = np.ones(D)
    scales = ones * 4 if family.common_scale else 2.0 ** np.arange(D)
    units = Standardisation(3.0 * ones, scale * scales, ones, np.zeros(D, np.bool_))
    return MixtureModel(parameters, units, tuple(f"x{j}" for j in range(D)))


def rows(model, n, share=0.3, seed=1):
    rng = np.random.default_rng(seed)
    X = model.sample(n, rng)[0]
    missing = rng.random(X.shape) < share
    missing[missing.all(axis=1), 0] = False
    X[missing] = np.nan
    return X


def scored(model, X, weights=None, n_threads=2):
    dataset = ArrayDataset(X, weights=weights)
    with ThreadExecutor(n_threads) as executor:
        return scores(dataset, executor, model, NAMES, missing=MissingPolicy.MARGINALISE)


def covariance_of(model, k):
    return model.component_covariance(k)


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_are_those_of_the_observed_values(name):
    model = mixture(name)
    X = rows(model, 200)
    found = scored(model, X)
    for i, x in enumerate(X):
        o = ~np.isnan(x)
        log_prob, entropy = np.empty(K), np.empty(K)
        for k in range(K):
            S = covariance_of(model, k)
            own = S[np.ix_(o, o)]
            log_prob[k] = multivariate_normal(model.means[k][o], own).logpdf(x[o])
            # h_k of x_m given x_o: ½ log det 2πe Σ − ½ log det 2πe Σ_oo
            half = [0.5 * np.linalg.slogdet(2 * np.pi * np.e * M)[1] for M in (S, own)]
            entropy[k] = half[0] - half[1]
        joint = np.log(model.weights) + log_prob
        total = logsumexp(joint)
        R = np.exp(joint - total)
        np.testing.assert_allclose(found["log_density"][i], total, rtol=1e-11)
        np.testing.assert_allclose(found["responsibilities"][i], R, atol=1e-11)
        completed = found["completed_log_density"][i]
        np.testing.assert_allclose(completed, total - R @ entropy, rtol=1e-11)
        assert found["labels"][i] == R.argmax()


def test_complete_rows_have_the_bits_of_scores_without_gaps():
    model = mixture()
    X = rows(model, 3000)
    whole = ~np.isnan(X).any(axis=1)
    assert 0 < whole.sum() < len(X)
    found, alone = scored(model, X), scored(model, X[whole])
    assert (found["completed_log_density"][whole] == found["log_density"][whole]).all()
    for name in NAMES:
        np.testing.assert_array_equal(found[name][whole], alone[name])


def test_at_a_threshold_of_one_percent_rows_of_any_number_of_values_are_flagged_alike():
    model = mixture()
    X = rows(model, 40_000)
    found, n_observed = scored(model, X), (~np.isnan(X)).sum(axis=1)

    def shares(name):
        flagged = found[name] < np.quantile(found[name], 0.01)
        return np.array([flagged[n_observed == q].mean() for q in range(1, D + 1)])

    completed = shares("completed_log_density")
    assert completed.max() <= 0.03
    assert completed[D // 2 - 1 :].min() >= 0.003
    plain = shares("log_density")  # what the completed density is there for
    assert plain.max() > 0.05
    assert (plain[: D // 2 - 1] == 0).all()


def test_the_completed_density_keeps_its_order_in_other_units():
    model = mixture()
    X = rows(model, 500)
    p, units = model.parameters, model.standardisation
    wide = Standardisation(
        units.shift * 8, units.scale * 8, units.standardised_variance, units.is_constant
    )
    other = MixtureModel(p, wide, model.feature_names)
    one, two = (scored(m, Z)["completed_log_density"] for m, Z in ((model, X), (other, X * 8)))
    np.testing.assert_allclose(one - D * np.log(8), two, rtol=1e-12)


def test_rows_without_any_value_are_left_out_and_infinity_is_refused():
    model = mixture()
    X = rows(model, 50)
    X[7] = np.nan
    found = scored(model, X)
    assert found["labels"][7] == -1
    for name in NAMES[1:]:
        assert np.isnan(found[name][7]).all()
        assert np.isfinite(np.delete(found[name], 7, axis=0)).all()
    X[9, 2] = -np.inf
    with pytest.raises(ValueError, match=r"row 9, feature x2\. infinity is no missing value"):
        scored(model, X)


def test_an_estimator_scores_rows_that_lack_values():
    model = mixture()
    X = rows(model, 400)
    w = np.random.default_rng(2).integers(0, 3, len(X)).astype(float)
    estimator, found = GaussianMixture.from_model(model, missing="marginalise"), scored(model, X)
    np.testing.assert_array_equal(estimator.predict(X), found["labels"])
    np.testing.assert_array_equal(estimator.score_samples(X), found["log_density"])
    np.testing.assert_array_equal(estimator.predict_proba(X), found["responsibilities"])
    n, p = len(X), model.n_parameters
    bic = -2 * found["log_density"].sum() + p * np.log(n)
    np.testing.assert_allclose(estimator.bic(X), bic, rtol=1e-12)
    weighted = scored(model, X, w)
    np.testing.assert_allclose(weighted["log_density"], found["log_density"], rtol=1e-12)
