"""scikit-learn's classes, where it is installed: bases of the estimator's own, and its mixture.

scikit-learn is optional, and importing it takes 0.7 s and 100 MiB. Only
`dgmm.estimator.gaussian_mixture` and `to_sklearn` import this module: neither `import dgmm` nor a
job loads scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dgmm import errors
from dgmm.plain_estimator import PlainEstimator

__all__ = [
    "ClassifierBase",
    "ConvergenceWarning",
    "DataConversionWarning",
    "EstimatorBase",
    "NotFittedError",
    "sklearn_mixture",
]

if TYPE_CHECKING:

    class ClassifierBase(PlainEstimator):
        """The same of a classifier."""

    class EstimatorBase(PlainEstimator):
        """`BaseEstimator` as the type checker sees it: scikit-learn ships no types."""

        def __sklearn_tags__(self) -> Any: ...

    class DataConversionWarning(UserWarning):
        """The same of scikit-learn."""

    from dgmm.errors import ConvergenceWarning, NotFittedError

else:
    try:
        from sklearn.base import BaseEstimator, ClassifierMixin, DensityMixin
        from sklearn.exceptions import ConvergenceWarning as PeersConvergenceWarning
        from sklearn.exceptions import DataConversionWarning
        from sklearn.exceptions import NotFittedError as PeersNotFittedError
    except Exception:  # noqa: BLE001 - absent, or too broken to be imported: dgmm works without it
        EstimatorBase = ClassifierBase = PlainEstimator
        ConvergenceWarning = errors.ConvergenceWarning
        DataConversionWarning = UserWarning
        NotFittedError = errors.NotFittedError
    else:

        class EstimatorBase(DensityMixin, BaseEstimator):
            """What `isinstance` and scikit-learn's tools look for, with its repr and HTML."""

        class ClassifierBase(ClassifierMixin, BaseEstimator):
            """The same of a classifier."""

        class NotFittedError(errors.NotFittedError, PeersNotFittedError):
            """The estimator was asked for results before `fit`."""

        class ConvergenceWarning(errors.ConvergenceWarning, PeersConvergenceWarning):
            """The fit ended without convergence; the text says why and what to do."""


def sklearn_mixture(parameters: Mapping[str, Any], attributes: Mapping[str, Any]) -> Any:
    """scikit-learn's `GaussianMixture` with these parameters and fitted attributes.

    Parameters
    ----------
    parameters, attributes
        By name, the latter with the underscore at the end.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ImportError(
            f"to_sklearn needs scikit-learn ({error}): python -m pip install scikit-learn"
        ) from error
    mixture = GaussianMixture(**parameters)
    for name, value in attributes.items():
        setattr(mixture, name, value)
    return mixture
