"""The estimator's base class, error and warning: scikit-learn's too, where it is installed.

scikit-learn is optional, and importing it takes 0.7 s and 100 MiB. `dgmm.estimator` alone imports
this module: neither `import dgmm` nor a job loads scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dgmm import errors
from dgmm.plain_estimator import PlainEstimator

__all__ = ["ConvergenceWarning", "EstimatorBase", "NotFittedError"]

if TYPE_CHECKING:

    class EstimatorBase(PlainEstimator):
        """`BaseEstimator` as the type checker sees it: scikit-learn ships no types."""

        def __sklearn_tags__(self) -> Any: ...

    from dgmm.errors import ConvergenceWarning, NotFittedError

else:
    try:
        from sklearn.base import BaseEstimator, DensityMixin
        from sklearn.exceptions import ConvergenceWarning as PeersConvergenceWarning
        from sklearn.exceptions import NotFittedError as PeersNotFittedError
    except Exception:  # noqa: BLE001 - absent, or too broken to be imported: dgmm works without it
        EstimatorBase = PlainEstimator
        ConvergenceWarning = errors.ConvergenceWarning
        NotFittedError = errors.NotFittedError
    else:

        class EstimatorBase(DensityMixin, BaseEstimator):
            """What `isinstance` and scikit-learn's tools look for, with its repr and HTML."""

        class NotFittedError(errors.NotFittedError, PeersNotFittedError):
            """The estimator was asked for results before `fit`."""

        class ConvergenceWarning(errors.ConvergenceWarning, PeersConvergenceWarning):
            """The fit ended without convergence; the text says why and what to do."""
