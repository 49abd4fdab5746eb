"""A classifier: a fitted mixture for each class, and the probability of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.model.mixture_model import MixtureModel
from dgmm.parameter_names import speaks_python
from dgmm.scoring.class_posteriors import class_posteriors

Array = NDArray[np.float64]
#: What classes are called: as the data have them.
ClassName = int | str


@speaks_python
@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """Mixtures of all classes in common units, with the classes' prior probabilities.

    Attributes
    ----------
    names : tuple of int or str
        Of the classes (C,), in the order of columns.
    priors : (C,)
        Probability of each class before a row is seen.
    mixtures : tuple of MixtureModel
        One for each class.

    Examples
    --------
    >>> from dgmm import GaussianMixtureClassifier
    >>> X = np.random.default_rng(0).normal(size=(300, 2)) + np.repeat([[0], [5], [10]], 100, 0)
    >>> y = np.repeat(["a", "b", "c"], 100)
    >>> found = GaussianMixtureClassifier(random_state=0).fit(X, y).classifier_
    >>> found.predict([[0.0, 0.0], [10.0, 10.0]]).tolist()
    ['a', 'c']
    """

    names: tuple[ClassName, ...]
    priors: Array
    mixtures: tuple[MixtureModel, ...]

    @property
    def n_classes(self) -> int:
        """Number of classes, C."""
        return len(self.names)

    @property
    def n_features(self) -> int:
        """Number of features behind `preprocess`, d."""
        return self.mixtures[0].n_features

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features behind `preprocess`."""
        return self.mixtures[0].feature_names

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the user's features."""
        return self.mixtures[0].input_names

    @property
    def preprocess(self) -> Preprocessing | None:
        """Steps that rows go through first."""
        return self.mixtures[0].preprocess

    @property
    def feature_units(self) -> Mapping[str, str]:
        """Units of the user's features, as far as the data stated them."""
        return self.mixtures[0].feature_units

    @property
    def covariance_type(self) -> str:
        """Name of the covariance family."""
        return self.mixtures[0].covariance_type

    @property
    def n_components(self) -> int:
        """Components of the largest mixture; one that lost some has fewer."""
        return max(mixture.n_components for mixture in self.mixtures)

    @property
    def log_priors(self) -> Array:
        """Logarithms of the priors, (C,)."""
        return np.asarray(np.log(self.priors))

    def log_densities(self, X: Any) -> Array:
        """Logarithm of the density of each class's mixture at each row, (n, C), nats."""
        columns = [np.asarray(mixture.score_samples(X)) for mixture in self.mixtures]
        return np.column_stack(columns)

    def predict_proba(self, X: Any) -> Array:
        """Posterior probability of each class at each row, (n, C)."""
        return class_posteriors(self.log_densities(X), self.log_priors).posteriors

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row, (n,), by name."""
        return np.asarray(self.names)[self.predict_codes(X)]

    def predict_codes(self, X: Any) -> NDArray[np.int32]:
        """The most probable class of each row, (n,), by its place among the names."""
        return class_posteriors(self.log_densities(X), self.log_priors).classes

    def score_samples(self, X: Any) -> Array:
        """Logarithm of the density of all classes at each row, (n,), nats."""
        return class_posteriors(self.log_densities(X), self.log_priors).log_density
