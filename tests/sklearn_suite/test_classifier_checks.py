"""scikit-learn's checks of classifiers, and what else its users do with one."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from dgmm import GaussianMixtureClassifier

#: The quick ones.
CHECKS = [
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimators_unfitted",
    "check_estimators_overwrite_params",
    "check_dict_unchanged",
    "check_fit_check_is_fitted",
]


@pytest.mark.filterwarnings("ignore")  # checks fit what nobody would
@pytest.mark.parametrize("name", CHECKS)
def test_checks_of_scikit_learn_pass(name):
    getattr(estimator_checks, name)("GaussianMixtureClassifier", GaussianMixtureClassifier())


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    y = np.repeat(["ash", "beech", "oak"], 300)
    return rng.normal(size=(900, 2)) + 4.0 * np.repeat(np.arange(3), 300)[:, None], y


@pytest.fixture(scope="module")
def fitted(rows):
    return GaussianMixtureClassifier(random_state=0).fit(*rows)


def test_classes_are_text_as_given_in_order(fitted, rows):
    assert is_classifier(fitted)
    assert isinstance(fitted, BaseEstimator)
    assert fitted.classes_.tolist() == ["ash", "beech", "oak"]
    assert fitted.n_features_in_ == 2
    assert fitted.predict(rows[0]).dtype == rows[1].dtype
    assert fitted.predict_proba(rows[0]).shape == (900, 3)
    assert fitted.score(*rows) >= 0.97


def test_copies_predict_the_same_and_clones_are_not_fitted(fitted, rows):
    wanted = fitted.predict_proba(rows[0]).tobytes()
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):  # noqa: S301 - own
        assert other.predict_proba(rows[0]).tobytes() == wanted
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        again.predict(rows[0])


def test_parameters_are_set_by_name():
    own = GaussianMixtureClassifier(2, priors={"a": 0.5, "b": 0.5})
    assert clone(own).get_params()["priors"] == {"a": 0.5, "b": 0.5}
    assert own.set_params(n_components=3, covariance_type="diag").n_components == 3
    with pytest.raises(ValueError, match="Invalid parameter 'k'"):
        own.set_params(k=3)


def test_cross_validation_and_searches_run(rows):
    own = GaussianMixtureClassifier(random_state=0)
    assert cross_val_score(own, *rows, cv=3).mean() >= 0.95
    chain = make_pipeline(StandardScaler(), own)
    names = {"gaussianmixtureclassifier__covariance_type": ["full", "spherical"]}
    assert GridSearchCV(chain, names, cv=2).fit(*rows).best_score_ >= 0.95
