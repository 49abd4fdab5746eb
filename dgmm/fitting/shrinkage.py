"""How much variance is added to components of few rows: what held-out rows of the sample prefer.

With few rows for each free parameter the likeliest covariances are far too narrow: a mixture is
sure of its own rows, and says little of others. What is added to all variances, a share of each
feature's, is chosen by cross-validation on the sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgmm.data.row_labels import hashed_folds
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
#: What a share that is left open is where rows are many.
USUAL_SHARE = SHARES[-1]
#: With fewer rows for each free parameter a mixture describes its rows and not others.
ROWS_PER_PARAMETER = 10
#: Iterations at each share.
_ITERATIONS = 20
#: Parts of the rows of one mixture, each under a mixture of the others: that of half of the rows
#: needs more shrinkage than that of all (iris, three components: .09 nats per row lost by it).
_FOLDS = 5
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

    def describe(self, whose: str) -> str:
        """In words; `whose` are the few rows: "classes have"."""
        gain = self.held_out[self.share] - self.held_out[SHARES[-1]]
        differs = math.isfinite(gain) and gain > 0.0
        more = f", {gain:.3g} nats per row more than {SHARES[-1]:g}" if differs else ""
        return (
            f"{whose} few rows for their parameters: {self.share:g} of each feature's robust "
            f"variance is added to all covariances, chosen by held-out rows of the sample{more}. "
            "A number that is given is taken as it is"
        )

    def record(self) -> dict[str, Any]:
        """Of run.json: shares are texts, and null where a mixture could not be fitted."""
        held_out = {
            f"{share:g}": v if math.isfinite(v) else None for share, v in self.held_out.items()
        }
        return {"share": self.share, "held_out": held_out}


class HeldOut(NamedTuple):
    """Sums over held-out rows: log-likelihood at each share, and rows (weights)."""

    totals: Array
    n_rows: float


def is_due(prepared: PreparedFit, settings: FitSettings) -> bool:
    """Whether regularisation is left open and can be chosen."""
    return settings.shrinkage == "auto" and can_be_chosen(prepared, settings)


def can_be_chosen(prepared: PreparedFit, settings: FitSettings) -> bool:
    """Whether rows are few, the sample is all of them, and nothing beside Gaussians is fitted.

    Of a sample of many rows the choice would be that of fewer rows than are fitted. A prior keeps
    covariances up itself; noise and frozen components are not part of what is compared.
    """
    if settings.inference != "maximum_likelihood" or settings.noise or settings.freeze:
        return False
    d, n_rows = prepared.sample.shape[1], prepared.summary.n_kept
    few = ROWS_PER_PARAMETER * n_parameters(prepared.family, settings.n_components, d)
    return len(prepared.sample) == n_rows and n_rows < few


def shrinkage_of(prepared: PreparedFit, settings: FitSettings, here: Executor) -> Shrinkage:
    """The share that held-out rows of the sample prefer, for one mixture."""
    most = len(prepared.sample)
    return preferred([held_out_of_folds(prepared, settings, (), (_FOLDS, most), here)])


def preferred(found: list[HeldOut]) -> Shrinkage:
    """The share of the highest held-out log-likelihood; the largest of equals."""
    totals, n_rows = sum(one.totals for one in found), sum(one.n_rows for one in found)
    means = np.zeros(len(SHARES)) + totals / max(n_rows, 1)
    best = int(np.argmax(means)) if n_rows and np.isfinite(means).any() else 0
    return Shrinkage(SHARES[best], dict(zip(SHARES, means.tolist(), strict=True)))


def held_out_of_folds(
    part: PreparedFit,
    settings: FitSettings,
    number: tuple[int, ...],
    parts: tuple[int, int],
    here: Executor,
) -> HeldOut:
    """Each fold of the sample under mixtures of the others.

    `number` tells the mixture from others of the job, in the stream of its start; `parts` are
    folds, and the most rows of all together.
    """
    n_folds, most = parts
    totals, n_rows = np.zeros(len(SHARES)), 0.0
    folds = _folds(part, n_folds, settings.seed, most)
    for train, test in folds:
        if len(train) > settings.n_components and len(test):
            weight = len(test) if test.weights is None else float(test.weights.sum())
            totals += weight * _of_fold(part, train, test, settings, number, here)
            n_rows += weight
    return HeldOut(totals, n_rows)


def with_added(prepared: PreparedFit, added: Array) -> PreparedFit:
    """The same with that regularisation (d,), standardised units."""
    policy: Any = replace(prepared.problem.collapse, regularisation=added)
    return replace(prepared, problem=replace(prepared.problem, collapse=policy))


def added_by(prepared: PreparedFit, share: float, reg_covar: float) -> Array:
    """What is added to the variances (d,), standardised units: the share, and what is given."""
    units, weights = prepared.standardisation, prepared.summary.sample_weights
    return regularisation_of(
        *(prepared.family, units, prepared.sample),
        reg_covar=reg_covar,
        reg_covar_relative=share,
        weights=weights,
    )[0]


def _folds(
    part: PreparedFit, n_folds: int, seed: int, most: int
) -> Iterator[tuple[SampleRows, SampleRows]]:
    """Rows to fit and rows to compare, by hashed row numbers."""
    numbers, weights = part.summary.sample_numbers, part.summary.sample_weights
    step = -(-len(numbers) // most)
    folds = hashed_folds(numbers[::step], n_folds, seed)
    rows = SampleRows(part.rows[::step])
    own = None if weights is None else weights[::step]

    def where(chosen: NDArray[np.bool_]) -> SampleRows:
        return rows.only(np.flatnonzero(chosen), None if own is None else own[chosen])

    for fold in range(n_folds):
        yield where(folds != fold), where(folds == fold)


def _of_fold(
    part: PreparedFit,
    train: SampleRows,
    test: SampleRows,
    settings: FitSettings,
    number: tuple[int, ...],
    here: Executor,
) -> Array:
    """Mean log-likelihood of the rows to compare at each share."""
    whole, k = part.filled(train.values), settings.n_components
    rng = stream(Stage.INITIALISATION, settings.seed, k, *number, _NUMBER)
    scales = part.distance_scales or {}
    parameters = start(
        *("kmeans", whole, part.family, k, added_by(part, SHARES[0], settings.reg_covar), rng),
        scale=scales.get("sd"),
        observed=None if whole is train.values else train.values,
        weights=train.weights,
    )
    begun, found = Start(0, 0, "sd", parameters), list[float]()
    sample_em = replace(SampleEM.of(part, settings), few=train, held_out=test)
    for share in SHARES:
        problem = with_added(part, added_by(part, share, settings.reg_covar)).problem
        (tried,) = replace(sample_em, problem=problem).led(_ITERATIONS, (begun,), here)
        mean = tried.mean_log_likelihood
        found.append(-math.inf if mean is None else mean)
        begun = begun if mean is None else tried.start
    return np.array(found)
