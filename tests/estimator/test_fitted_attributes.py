"""Fitted attributes that are assigned count; scikit-learn's own mixture is the oracle."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
from clusters import gaussian_clusters
from sklearn.base import clone
from sklearn.exceptions import NotFittedError as PeersNotFittedError
from sklearn.mixture import GaussianMixture as Peer
from sklearn.utils.validation import check_is_fitted

from dgmm import GaussianMixture
from dgmm.errors import ConvergenceWarning, DataError, NotFittedError
from dgmm.estimator.assigned_arrays import ARRAYS, SPREADS

FAMILIES = ["full", "tied", "diag", "spherical"]
CYCLE = [1, 2, 0]


@pytest.fixture(scope="module")
def rows():
    X, _ = gaussian_clusters(700, 3, 3, seed=11, spread=4)
    return X @ np.array([[1.0, 0.4, 0], [0, 2.0, -0.7], [0, 0, 0.5]]) + [3.0, -40.0, 0.25]


@pytest.fixture(scope="module")
def peers(rows):
    return {f: Peer(3, covariance_type=f, random_state=1).fit(rows) for f in FAMILIES}


def fitted(rows, family="full"):
    return GaussianMixture(3, covariance_type=family, random_state=0).fit(rows)


def like(peer, *names):
    """An estimator that was never fitted, with some of a peer's attributes."""
    made = GaussianMixture(peer.n_components, covariance_type=peer.covariance_type)
    for name in names:
        setattr(made, name, getattr(peer, name))
    return made


def agree(mine, peer, rows):
    np.testing.assert_allclose(mine.score_samples(rows), peer.score_samples(rows), rtol=1e-9)
    np.testing.assert_allclose(mine.predict_proba(rows), peer.predict_proba(rows), atol=1e-9)
    np.testing.assert_array_equal(mine.predict(rows), peer.predict(rows))
    assert mine.bic(rows) == pytest.approx(peer.bic(rows), rel=1e-10)
    assert mine.aic(rows) == pytest.approx(peer.aic(rows), rel=1e-10)
    for name in ARRAYS:
        np.testing.assert_allclose(
            getattr(mine, name), getattr(peer, name), rtol=1e-7, atol=1e-10, err_msg=name
        )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "given", [(s,) for s in SPREADS] + [SPREADS[:2], SPREADS[1:], SPREADS[::2], SPREADS]
)
def test_an_estimator_is_built_from_its_attributes(rows, peers, family, given):
    made = like(peers[family], "weights_", "means_", *given)
    check_is_fitted(made)
    agree(made, peers[family], rows)
    assert made.n_features_in_ == 3
    drawn, components = made.sample(4000)
    for k in range(3):  # six standard errors of a mean
        own = drawn[components == k]
        error = np.sqrt(made.model_.feature_variances()[k] / len(own))
        assert (np.abs(own.mean(axis=0) - made.means_[k]) < 6 * error).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_components_are_sorted_one_attribute_after_another(rows, family):
    mixture = fitted(rows, family)
    before, proba, score = mixture.predict(rows), mixture.predict_proba(rows), mixture.score(rows)
    for name in ARRAYS:
        if family != "tied" or name in {"weights_", "means_"}:
            setattr(mixture, name, getattr(mixture, name)[CYCLE])
    np.testing.assert_array_equal(np.array(CYCLE)[mixture.predict(rows)], before)
    np.testing.assert_allclose(mixture.predict_proba(rows), proba[:, CYCLE], atol=1e-12)
    assert mixture.score(rows) == pytest.approx(score, rel=1e-12)


@pytest.mark.parametrize("order", [ARRAYS, ARRAYS[::-1]])
@pytest.mark.parametrize("size", [8.0, 1e-7])
def test_units_are_changed_one_attribute_after_another(rows, order, size):
    mixture = fitted(rows)
    expected, labels = mixture.score(rows), mixture.predict(rows)
    unit = size * np.array([1.0, 100.0, 0.03])
    factors = {
        "weights_": 1.0,
        "means_": unit,
        "covariances_": unit[:, None] * unit,
        "precisions_": 1 / (unit[:, None] * unit),
        "precisions_cholesky_": 1 / unit[:, None],
    }
    for name in order:
        setattr(mixture, name, getattr(mixture, name) * factors[name])
    assert mixture.score(rows * unit) == pytest.approx(expected - np.log(unit).sum(), rel=1e-9)
    np.testing.assert_array_equal(mixture.predict(rows * unit), labels)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", SPREADS)
def test_one_spread_is_enough_and_the_others_follow(rows, peers, family, name):
    mixture = fitted(rows, family)
    held = {n: np.array(getattr(mixture, n)) for n in SPREADS}
    factor = {"covariances_": 4.0, "precisions_": 0.25, "precisions_cholesky_": 0.5}
    setattr(mixture, name, held[name] * factor[name])
    wider = Peer(3, covariance_type=family)
    wider.weights_, wider.means_ = mixture.weights_, mixture.means_
    for n in SPREADS:
        setattr(wider, n, held[n] * factor[n])
    agree(mixture, wider, rows)


def test_weights_and_means_alone_count(rows):
    mixture = fitted(rows)
    peer = Peer(3)
    for name in ARRAYS:
        setattr(peer, name, getattr(mixture, name))
    mixture.weights_ = peer.weights_ = np.array([0.5, 0.25, 0.25])
    agree(mixture, peer, rows)
    mixture.means_ = peer.means_ = mixture.means_ + np.array([0.0, 5.0, -1.0])
    agree(mixture, peer, rows)
    np.testing.assert_array_equal(mixture.means_, peer.means_)
    far = np.array(mixture.means_) + 1e7
    mixture.means_ = far
    assert mixture.score(rows) < -1e12
    assert np.abs(mixture.sample(3000)[0].mean(axis=0) - far.mean(axis=0)).max() < 10


def test_lower_cholesky_factors_are_taken(rows, peers):
    peer = peers["full"]
    made = like(peer, "weights_", "means_", "covariances_")
    # As on many a page: L Lᵀ = Λ with L lower, where scikit-learn's own fit has an upper factor.
    made.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(peer.covariances_))
    np.testing.assert_allclose(made.score_samples(rows), peer.score_samples(rows), rtol=1e-9)
    wrong = like(peer, "weights_", "means_", "covariances_")
    wrong.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(peer.covariances_)).swapaxes(1, 2)
    with pytest.raises(DataError, match="covariances_ contradicts precisions_cholesky_ in comp"):
        wrong.predict(rows)


def test_float32_arrays_agree_within_their_rounding(rows, peers):
    made = GaussianMixture(3)
    for name in ARRAYS:
        setattr(made, name, getattr(peers["full"], name).astype(np.float32))
    np.testing.assert_allclose(
        made.score_samples(rows), peers["full"].score_samples(rows), atol=2e-3
    )


@pytest.mark.parametrize("unit", [1e-190, 1e150])
def test_units_may_be_beyond_those_that_covariances_can_be_written_in(unit):
    made = GaussianMixture(2)
    made.weights_, made.means_ = [0.25, 0.75], np.array([[0.0, 1], [8, 9]]) * unit
    made.precisions_cholesky_ = np.stack([np.eye(2)] * 2) / unit
    usual = GaussianMixture(2)
    usual.weights_, usual.means_ = [0.25, 0.75], [[0.0, 1], [8, 9]]
    usual.covariances_ = np.stack([np.eye(2)] * 2)
    X = np.array([[0.5, 2.0], [7.0, 9.0], [4.0, 5.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = made.score_samples(X * unit) + 2 * np.log(unit)
    np.testing.assert_allclose(found, usual.score_samples(X), rtol=1e-12)


REFUSED = {
    "a mean too many": ("means_", np.zeros((4, 3)), r"means_ has shape \(4, 3\); expected \(3, 3"),
    "a feature less": ("means_", np.zeros((3, 2)), r"\(3, 2\).*of 3 components and 3 features"),
    "no mean": ("means_", None, "means_"),
    "text": ("means_", np.full((3, 3), "a"), "means_ holds no real numbers"),
    "complex": ("means_", np.full((3, 3), 1j), "means_ holds no real numbers"),
    "masked": ("means_", np.ma.masked_less(np.eye(3), 0.5), "expected finite numbers"),
    "ragged": ("weights_", [[0.5], [0.25, 0.25]], "weights_ .* rows of different lengths"),
    "infinite": ("means_", np.full((3, 3), np.inf), "finite"),
    "negative weights": ("weights_", [0.75, 0.5, -0.25], "at least 0 and sum to 1"),
    "weights too heavy": ("weights_", [0.75, 0.5, 0.25], "the sum 1.5"),
    "a tied covariance": ("covariances_", np.eye(3), r"expected \(3, 3, 3\)"),
    "indefinite": ("covariances_", np.stack([np.diag([1, 1, -1.0])] * 3), "positive definite"),
    "singular": ("covariances_", np.ones((3, 3, 3)), "covariances_: .* not positive definite"),
    "singular precision": ("precisions_", np.ones((3, 3, 3)), "not positive definite"),
    "indefinite precision": ("precisions_", np.stack([-np.eye(3)] * 3), "positive definite"),
    "asymmetric": ("covariances_", np.stack([np.eye(3) + np.eye(3, k=1) / 2] * 3), "symmetric"),
    "asymmetric precision": ("precisions_", np.stack([np.eye(3) + np.eye(3, k=1)] * 3), "symmet"),
    "no factor": ("precisions_cholesky_", np.full((3, 3, 3), 0.5) + np.eye(3), "triangular"),
    "negative root": ("precisions_cholesky_", np.stack([-np.eye(3)] * 3), "positive diagonals"),
    "a peer": ("model_", Peer(3), "model_ is GaussianMixture; expected a dgmm MixtureModel"),
    "two names": ("feature_names_in_", ["a", "b"], "2 names for 3 features"),
    "equal names": ("feature_names_in_", ["a", "b", "a"], "unique"),
}


@pytest.mark.parametrize(("name", "value", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_mixture_is_refused_and_changes_nothing(rows, name, value, words):
    mixture = fitted(rows)
    score = mixture.score(rows)
    before = dict(vars(mixture))
    with pytest.raises(DataError, match=words):
        setattr(mixture, name, value)
    assert vars(mixture) == before
    assert mixture.score(rows) == score


def test_vectors_of_diagonal_families_have_to_be_positive(rows):
    for family in ("diag", "spherical"):
        mixture = fitted(rows, family)
        for name in SPREADS:
            with pytest.raises(DataError, match=name):
                setattr(mixture, name, -getattr(mixture, name))
            with pytest.raises(DataError, match=name):
                setattr(mixture, name, 0 * getattr(mixture, name))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("left", SPREADS)
def test_a_spread_that_was_left_behind_is_named(rows, family, left):
    mixture = fitted(rows, family)
    factor = {"covariances_": 2.0, "precisions_": 0.5, "precisions_cholesky_": 0.5**0.5}
    held = {name: np.array(getattr(mixture, name)) for name in SPREADS}
    for name in SPREADS:
        setattr(mixture, name, held[name] * (1.0 if name == left else factor[name]))
    with pytest.raises(DataError, match=r"contradicts .* in component 0: assign one of"):
        mixture.predict(rows)
    assert not hasattr(mixture, "model_")
    assert "predict" in dir(mixture)
    setattr(mixture, left, held[left] * factor[left])
    assert np.isfinite(mixture.score(rows))


def test_arrays_of_an_unfitted_estimator_have_to_fit_together():
    made = GaussianMixture(2)
    with pytest.raises(DataError, match=r"means_ has shape \(3,\)"):
        made.means_ = [1.0, 2.0, 3.0]
    made.weights_, made.means_, made.covariances_ = [0.5, 0.5], np.eye(2), np.ones((2, 2))
    words = r"covariances_ has shape \(2, 2\); expected \(2, 2, 2\).*covariance_type is 'full'"
    with pytest.raises(DataError, match=words):
        made.predict(np.eye(2))
    assert made.set_params(covariance_type="diag").predict(np.eye(2)).tolist() == [0, 1]


def test_parts_of_a_mixture_are_not_fitted_yet(rows):
    made = GaussianMixture(2)
    made.weights_ = [0.5, 0.5]
    with pytest.raises(NotFittedError, match="weights_ were assigned; a mixture needs means_, cov"):
        made.predict(rows)
    with pytest.raises(PeersNotFittedError):
        check_is_fitted(made)
    assert not hasattr(made, "model_")
    assert not hasattr(made, "n_features_in_")
    assert made.fit(rows).weights_.shape == (2,)


@pytest.mark.parametrize("name", ARRAYS)
def test_nothing_is_written_into_the_arrays(rows, name):
    mixture = fitted(rows)
    for one in (mixture, copy.deepcopy(mixture), pickled(mixture)):
        with pytest.raises(ValueError, match="read-only"):
            getattr(one, name)[0] = 1
        with pytest.raises(ValueError, match="read-only"):
            getattr(one.model_, name.removesuffix("_"))[0] = 1
    given = np.array(getattr(mixture, name))
    setattr(mixture, name, given)
    given[:] = 7
    assert getattr(mixture, name).max() != 7


def test_before_fit_there_are_no_attributes(rows):
    mixture = GaussianMixture(3, random_state=0)
    names = [*ARRAYS, "model_", "n_features_in_", "feature_names_in_", "converged_", "n_iter_"]
    assert not any(hasattr(mixture, name) for name in names)
    with pytest.raises(AttributeError, match="GaussianMixture has no attribute 'means_': call fit"):
        _ = mixture.means_
    assert not [name for name in vars(mixture) if name.endswith("_")]
    mixture.fit(rows)
    assert {name for name in vars(mixture) if name.endswith("_")} == {
        *ARRAYS,
        *("model_", "n_features_in_", "converged_", "n_iter_", "lower_bound_", "lower_bounds_"),
    }
    assert not hasattr(clone(mixture), "means_")


def test_what_is_deleted_is_gone(rows):
    mixture = fitted(rows)
    score, means = mixture.score(rows), mixture.means_
    del mixture.precisions_
    assert not hasattr(mixture, "precisions_")
    assert mixture.score(rows) == pytest.approx(score, rel=1e-12)
    del mixture.means_
    with pytest.raises(AttributeError):
        del mixture.means_
    with pytest.raises(NotFittedError, match="needs means_ too"):
        mixture.score(rows)
    mixture.means_ = means
    assert mixture.score(rows) == pytest.approx(score, rel=1e-12)
    del mixture.model_
    assert not any(hasattr(mixture, name) for name in (*ARRAYS, "model_", "n_features_in_"))


def pickled(mixture):
    return pickle.loads(pickle.dumps(mixture))  # noqa: S301 - our own


def dumped(mixture):
    file = io.BytesIO()
    joblib.dump(mixture, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, dumped, pickled])
def test_copies_have_what_was_assigned_and_what_was_not_yet_used(rows, copied):
    mixture = fitted(rows)
    mixture.means_ = mixture.means_ + 0.5
    other = copied(mixture)
    mixture.covariances_ = 9 * mixture.covariances_  # not the copy's
    assert other.score(rows) > mixture.score(rows)
    np.testing.assert_array_equal(other.means_, mixture.means_)
    again = copied(other)
    assert again.score_samples(rows).tobytes() == other.score_samples(rows).tobytes()


def test_results_change_no_attribute_of_a_fitted_estimator(rows):
    mixture = fitted(rows)
    before = dict(vars(mixture))
    mixture.predict(rows)
    mixture.sample(2)
    assert vars(mixture) == before


def test_the_record_of_the_last_fit_stays(rows):
    mixture = fitted(rows)
    record = {n: getattr(mixture, n) for n in ("converged_", "n_iter_", "lower_bound_")}
    mixture.means_ = mixture.means_ + 1
    mixture.score(rows)
    assert {n: getattr(mixture, n) for n in record} == record


def test_names_and_numbers_of_features_are_the_models(rows):
    mixture = fitted(rows)
    mixture.feature_names_in_ = ["a", "b", "c"]
    assert mixture.model_.feature_names == ("a", "b", "c")
    with pytest.raises(ValueError, match="read-only"):
        mixture.feature_names_in_[0] = "q"
    mixture.weights_ = mixture.weights_[::-1]
    assert mixture.model_.feature_names == ("a", "b", "c")
    del mixture.feature_names_in_
    assert mixture.model_.feature_names == ("x0", "x1", "x2")
    assert not hasattr(mixture, "feature_names_in_")
    mixture.n_features_in_ = 3
    with pytest.raises(AttributeError, match="follows from means_"):
        mixture.n_features_in_ = 2
    made = GaussianMixture(1)
    made.n_features_in_ = 2
    made.weights_, made.means_, made.covariances_ = [1.0], np.zeros((1, 3)), [np.eye(3)]
    with pytest.raises(DataError, match="n_features_in_ is 2, means_ has 3 features"):
        made.predict(rows)


def test_a_model_is_assigned_whole(rows):
    mixture, other = fitted(rows, "tied"), fitted(rows)
    mixture.model_ = other.model_
    assert mixture.model_ is other.model_
    assert mixture.score_samples(rows).tobytes() == other.score_samples(rows).tobytes()
    assert mixture.covariances_.shape == (3, 3, 3)


@pytest.mark.parametrize("name", ARRAYS)
def test_an_anomaly_threshold_does_not_outlive_other_parameters(rows, name):
    mixture = fitted(rows)
    mixture.model_ = mixture.model_.with_threshold(-20.0, 0.01)
    mixture.feature_names_in_ = ["a", "b", "c"]
    assert mixture.model_.anomaly_threshold == -20.0
    value = getattr(mixture, name)
    setattr(mixture, name, np.full(3, 1 / 3) if name == "weights_" else value * 1.5)
    assert mixture.model_.anomaly_threshold is None
    assert mixture.model_.anomaly_quantile is None


def test_a_warm_start_begins_at_what_was_assigned(rows):
    one_step = {"max_iter": 1, "tol": 0, "acceleration": "none"}
    mixture = fitted(rows).set_params(warm_start=True, **one_step)
    mixture.means_ = mixture.means_ + np.array([0.125, 0.0, -0.25])
    mixture.covariances_ = 2 * mixture.covariances_
    straight = GaussianMixture(
        3,
        weights_init=mixture.weights_,
        means_init=mixture.means_,
        precisions_init=mixture.model_.precisions,
        **one_step,
    )
    for one in (mixture, straight):
        with pytest.warns(ConvergenceWarning):
            one.fit(rows)
    np.testing.assert_allclose(mixture.means_, straight.means_, rtol=1e-10)
    np.testing.assert_allclose(mixture.covariances_, straight.covariances_, atol=1e-10)


def test_a_warm_start_does_not_pass_over_a_contradiction(rows):
    mixture = fitted(rows).set_params(warm_start=True)
    mixture.covariances_, mixture.precisions_ = 2 * mixture.covariances_, 2 * mixture.precisions_
    with pytest.raises(DataError, match="contradicts"):
        mixture.fit(rows)
    assert mixture.set_params(warm_start=False).fit(rows).converged_
