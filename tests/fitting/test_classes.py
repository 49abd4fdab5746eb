"""Mixtures of classes on handwritten digits: as good as scikit-learn's, by default too."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.classed_dataset import ClassedDataset
from dgmm.data.stratified_folds import stratified_folds
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.classes.class_settings import ClassSettings
from dgmm.fitting.classes.fit_classes import FittedClasses, fit_classes
from dgmm.fitting.settings import FitSettings

N_FOLDS = 9


class _Digits(NamedTuple):
    X: NDArray[np.float64]
    y: NDArray[np.int64]
    folds: NDArray[np.int64]


class _Score(NamedTuple):
    accuracy: float
    log_loss: float


@pytest.fixture(scope="module")
def digits() -> _Digits:
    X, y = load_digits(return_X_y=True)
    (folds,) = stratified_folds(lambda: iter([(y, None)]), 10, 0, N_FOLDS, seed=0)
    return _Digits(PCA(30, random_state=0).fit_transform(X), y, folds)


def _score(log_posteriors: NDArray[np.float64], y: NDArray[np.int64]) -> _Score:
    hits = log_posteriors.argmax(axis=1) == y
    return _Score(float(hits.mean()), -float(log_posteriors[np.arange(len(y)), y].mean()))


@pytest.fixture(scope="module")
def scikit_learn(digits: _Digits) -> _Score:
    """One mixture per class of two components with reg_covar 1, on the same folds."""
    logs = np.empty((len(digits.y), 10))
    for fold in range(N_FOLDS):
        train, test = digits.folds != fold, digits.folds == fold
        for c in range(10):
            own = digits.X[train & (digits.y == c)]
            mixture = GaussianMixture(2, reg_covar=1.0, random_state=0).fit(own)
            logs[test, c] = mixture.score_samples(digits.X[test]) + np.log(len(own) / train.sum())
    return _score(logs - logsumexp(logs, axis=1, keepdims=True), digits.y)


def _fitted(digits: _Digits, **settings: Any) -> FittedClasses:
    codes = ArrayDataset(digits.y[:, None].astype(np.int32))
    folds = ArrayDataset(digits.folds[:, None].astype(np.int8))
    rows = ClassedDataset(ArrayDataset(digits.X), codes, None, folds, N_FOLDS)
    asked = FitSettings(2, tol=1e-3, n_sample_starts=2, backend="numpy", **settings)
    with ThreadExecutor(2) as executor:
        own = ClassSettings("data", N_FOLDS)
        return fit_classes(rows, executor, asked, own, range(10), SilentListener())


def _held_out(found: FittedClasses, digits: _Digits) -> _Score:
    logs = np.empty((len(digits.y), 10))
    for fold, classifier in enumerate(found.folds):
        test = digits.folds == fold
        joint = classifier.log_densities(digits.X[test]) + classifier.log_priors
        logs[test] = joint - logsumexp(joint, axis=1, keepdims=True)
    return _score(logs, digits.y)


def test_digits_are_told_apart_as_well_as_by_scikit_learn(
    digits: _Digits, scikit_learn: _Score
) -> None:
    found = _fitted(digits, reg_covar=1.0, reg_covar_relative=0.0)
    own = _held_out(found, digits)
    assert own.accuracy >= scikit_learn.accuracy - 0.005
    assert own.log_loss <= 1.2 * scikit_learn.log_loss
    assert found.shrinkage is None


def test_the_default_regularisation_of_few_rows_is_as_good(
    digits: _Digits, scikit_learn: _Score
) -> None:
    """Without it 1e-6 of each variance was added: accuracy .967, log loss 1.5."""
    found = _fitted(digits, shrinkage="auto")
    own = _held_out(found, digits)
    assert own.accuracy >= scikit_learn.accuracy - 0.01
    assert own.log_loss <= 1.2 * scikit_learn.log_loss
    assert found.shrinkage is not None
    assert found.shrinkage.share in (0.03, 0.1, 0.3)
    assert f"{found.shrinkage.share:g} of each feature's robust variance" in found.warnings[-1]
