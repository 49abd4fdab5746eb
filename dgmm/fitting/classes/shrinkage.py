"""How much variance is added to classes of few rows: what held-out rows of the sample prefer.

With few rows for each free parameter the likeliest covariances are far too narrow: every class is
sure of its own rows, and no other class's rows are near. What is added to all variances, a share of
each feature's, is chosen by two-fold cross-validation on the sample, for all classes together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.row_labels import hashed_folds
from dgmm.fitting.classes.class_preparation import (
    ROWS_PER_PARAMETER,
    Part,
    PreparedClasses,
)
from dgmm.fitting.em.regularisation import regularisation_of
from dgmm.fitting.initialisation import start
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.restarts import Start
from dgmm.fitting.sample_effort import SampleRows
from dgmm.fitting.sample_em import SampleEM
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.criteria import n_parameters
from dgmm.random_streams import Stage, stream
from dgmm.reduction.executor import Executor

Array = NDArray[np.float64]
#: Shares of each feature's robust variance that are tried, the largest first: EM goes on from one
#: to the next. The last is the default where rows are many.
SHARES = (0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6)
#: Rows of a class that are used, at most, and iterations at each share.
_ROWS, _ITERATIONS = 2000, 20
_FOLDS = 2
#: The start's number in its stream: no start of a fit has it.
_NUMBER = 1_000_000


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """What was chosen.

    Attributes
    ----------
    share : float
        Of each feature's robust variance, added to the variances of all components.
    held_out : mapping
        Mean log-likelihood of held-out rows of the sample at each share, nats per row; −inf where
        a mixture could not be fitted.
    """

    share: float
    held_out: Mapping[float, float]

    def describe(self) -> str:
        """In words."""
        gain = self.held_out[self.share] - self.held_out[SHARES[-1]]
        more = f", {gain:.3g} nats per row more than {SHARES[-1]:g}" if math.isfinite(gain) else ""
        return (
            f"classes have few rows for their parameters: {self.share:g} of each feature's robust "
            f"variance is added to all covariances, chosen by held-out rows of the sample{more}. "
            "A number for model.reg_covar_relative is taken as it is"
        )


def is_due(prepared: PreparedClasses, settings: FitSettings) -> bool:
    """Whether a class has few rows, and the settings leave regularisation open."""
    d, family = len(prepared.whole.minimum), prepared.labelled.family
    few = ROWS_PER_PARAMETER * n_parameters(family, settings.n_components, d)
    is_open = settings.shrinkage == "auto" and settings.inference == "maximum_likelihood"
    return is_open and bool((prepared.n_rows < few).any())


def chosen_shrinkage(prepared: PreparedClasses, settings: FitSettings, here: Executor) -> Shrinkage:
    """The share that held-out rows of the sample prefer; the largest of equals."""
    n_classes = len(prepared.n_rows)
    totals, n_rows = np.zeros(len(SHARES)), 0
    for label in range(n_classes):
        part = prepared.parts[Part(label)]
        for fold in range(_FOLDS):
            train, test = _halves(part, fold, settings.seed)
            if len(train) > settings.n_components and len(test):
                totals += len(test) * _of_half(part, train, test, settings, label, here)
                n_rows += len(test)
    means = totals / max(n_rows, 1)
    best = int(np.argmax(means)) if n_rows and np.isfinite(means).any() else 0
    return Shrinkage(SHARES[best], dict(zip(SHARES, means.tolist(), strict=True)))


def with_shrinkage(prepared: PreparedClasses, share: float) -> PreparedClasses:
    """The same with that regularisation in every mixture."""
    labelled = prepared.labelled
    added = _added(labelled, share)
    parts = {part: _regularised(one, added) for part, one in prepared.parts.items()}
    return replace(prepared, labelled=_regularised(labelled, added), parts=parts)


def _halves(part: PreparedFit, fold: int, seed: int) -> tuple[Array, Array]:
    """Rows to fit and rows to compare, by hashed row numbers."""
    numbers = part.summary.sample_numbers
    step = -(-len(numbers) // _ROWS)
    rows, folds = part.rows[::step], hashed_folds(numbers[::step], _FOLDS, seed)
    return rows[folds != fold], rows[folds == fold]


def _of_half(
    part: PreparedFit, train: Array, test: Array, settings: FitSettings, label: int, here: Executor
) -> Array:
    """Mean log-likelihood of the rows to compare at each share."""
    whole, k = part.filled(train), settings.n_components
    rng = stream(Stage.INITIALISATION, settings.seed, k, label, _NUMBER)
    scales = part.distance_scales or {}
    parameters = start(
        *("kmeans", whole, part.family, k, _added(part, SHARES[0]), rng),
        scale=scales.get("sd"),
        observed=None if whole is train else train,
    )
    begun, found = Start(0, 0, "sd", parameters), list[float]()
    halves = replace(SampleEM.of(part, settings), few=SampleRows(train), held_out=SampleRows(test))
    for share in SHARES:
        problem = _regularised(part, _added(part, share)).problem
        (tried,) = replace(halves, problem=problem).led(_ITERATIONS, (begun,), here)
        mean = tried.mean_log_likelihood
        found.append(-math.inf if mean is None else mean)
        begun = begun if mean is None else tried.start
    return np.array(found)


def _added(prepared: PreparedFit, share: float) -> Array:
    """What is added to the variances (d,): the share of those of all classes."""
    units, weights = prepared.standardisation, prepared.summary.sample_weights
    return regularisation_of(
        *(prepared.family, units, prepared.sample),
        reg_covar=0.0,
        reg_covar_relative=share,
        weights=weights,
    )[0]


def _regularised(prepared: PreparedFit, added: Array) -> PreparedFit:
    policy: Any = replace(prepared.problem.collapse, regularisation=added)
    return replace(prepared, problem=replace(prepared.problem, collapse=policy))
