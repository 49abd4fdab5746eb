"""`model.freeze`: components of a given start that a fit leaves as they are.

Within EM they are the first ones, so that their numbers stay whatever becomes of others; the fitted
model, and all that is reported of components, has them in their own places again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.inference.fixed_components import FixedComponents
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.restarts import UserStart
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import family_named
from dgmm.mixture.parameters import Parameters


def frozen_first(given: UserStart, settings: FitSettings) -> UserStart:
    """The start with its frozen components first, in the order in which they are named."""
    order = order_within_em(settings)
    return lambda standardisation: given(standardisation).take(order)


def with_frozen(prepared: PreparedFit, start: Parameters, settings: FitSettings) -> PreparedFit:
    """The fit whose M-steps keep the frozen components, which are never lost, of this start."""
    n, problem = len(settings.freeze), prepared.problem
    inference = FixedComponents.of(problem.inference, start, n)
    policy = replace(problem.collapse, n_fixed=n)
    return replace(prepared, problem=replace(problem, inference=inference, collapse=policy))


def n_frozen_parameters(settings: FitSettings, n_features: int) -> int:
    """Numbers of means and covariances that are not estimated."""
    family = family_named(settings.covariance_type)
    return len(settings.freeze) * (n_features + family.n_parameters(1, n_features))


def order_within_em(settings: FitSettings) -> NDArray[np.intp]:
    """The components (k,) of the start in the order in which EM has them."""
    frozen = list(settings.freeze)
    others = [k for k in range(settings.n_components) if k not in set(frozen)]
    return np.array([*frozen, *others], dtype=np.intp)
