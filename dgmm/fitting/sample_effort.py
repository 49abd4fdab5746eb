"""How much is tried on the sample before EM over all rows: starts, rows and iterations.

Everything here is a function of sizes and the job alone, never of the cluster: bits follow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.initialisation import METRICS, reads_all_rows
from dgmm.fitting.initialisation.weighted_draws import few_rows
from dgmm.fitting.restarts import AUTO_STARTS, FEW_STARTS, n_starts
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import Family
from dgmm.mixture.covariance.family import Array
from dgmm.mixture.criteria import n_parameters
from dgmm.random_streams import Stage, stream

#: The likeliest start is followed over the sample where all rows are this many samples, and the
#: sample has this many rows for each free parameter.
LEAST_SAMPLES, ROWS_PER_PARAMETER = 4, 5
#: The few rows that all starts are tried on: so many, and so many for each free parameter.
FEW_ROWS, FEW_ROWS_PER_PARAMETER = 10_000, 2
#: Halves of a sample with fewer rows for each component are not made.
LEAST_ROWS_PER_COMPONENT = 10
#: Iterations of each start on the few rows, more of each metric's likeliest there, and of the
#: likeliest of all on the sample. After 15, likelihoods of one metric's starts are in the order in
#: which they end; those of different metrics often are not.
TRIED_ITERATIONS, FURTHER_ITERATIONS, MAX_ITERATIONS = 15, 45, 100
#: Iterations where all rows are fewer than free parameters.
FEW_ITERATIONS = 5
#: Multiplications and additions of these runs for one restart, half a minute of two threads: fewer
#: starts are tried where more would take longer.
MOST_FLOPS = 2e12


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried on the sample: a function of sizes and the job alone.

    Attributes
    ----------
    n_starts
        Starts of each restart that are tried; 0 where EM begins on all rows.
    n_iterations
        Of each of them; 0 compares starts as they were drawn.
    n_begun
        Starts of each restart that EM over all rows begins with.
    """

    n_starts: int
    n_iterations: int
    n_begun: int

    @classmethod
    def of(
        cls,
        settings: FitSettings,
        family: Family,
        n_rows: int,
        n_sampled: int,
        n_features: int,
        cost: float = 1.0,
    ) -> Self:
        """What the settings ask for, or what the sizes call for where they leave it open.

        Parameters
        ----------
        settings, family
            What is asked for.
        n_rows, n_sampled, n_features
            Rows to fit, rows of the sample, features.
        cost
            Time of a pass over that of one over complete rows.
        """
        if settings.method == "given" or reads_all_rows(settings.method):
            # A sample does not change a start of the user, or one that was drawn from all rows.
            return cls(0, 0, n_starts(settings, 0))
        p = n_parameters(family, settings.n_components, n_features, noise=settings.noise)
        wanted, iterations = AUTO_STARTS, TRIED_ITERATIONS
        if n_sampled < p:
            wanted, iterations = FEW_STARTS, FEW_ITERATIONS
        whole = _is_whole(n_sampled, n_rows, p, settings.n_components)
        tried = n_sampled if whole else _few_rows(n_sampled, p)
        flops = 4.0 * tried * settings.n_components * family.width(n_features)
        affordable = int(MOST_FLOPS / (flops * cost))
        metrics = len(METRICS)
        wanted = min(wanted, max(affordable // iterations // metrics, 1) * metrics)
        if settings.n_sample_starts is None:
            iterations = min(iterations, affordable // wanted)
        else:
            wanted = settings.n_sample_starts
        if not wanted or settings.max_iter == 0:
            iterations = 0  # but for that, starts do not depend on max_iter: it may be raised later
        n_begun = 1 if wanted else n_starts(settings, 0)
        if iterations == TRIED_ITERATIONS and not whole:
            n_begun += 1  # where EM on the sample led it, and as it was before
        return cls(wanted, iterations, n_begun)


def is_worth_following(n_rows: int, n_sampled: int, n_free: int) -> bool:
    """Whether EM over the sample saves passes over all rows.

    Parameters
    ----------
    n_rows, n_sampled, n_free
        Rows to fit, rows of the sample, free numbers of the mixture.
    """
    saves = n_rows >= LEAST_SAMPLES * n_sampled
    return saves and n_sampled >= ROWS_PER_PARAMETER * n_free


@dataclass(frozen=True, slots=True, eq=False)
class SampleRows:
    """Rows (m, d) of the sample, standardised, and what each stands for.

    Attributes
    ----------
    values : (m, d)
    weights : (m,) or None
        None where each row stands for the same.
    """

    values: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.values)

    def only(self, places: NDArray[np.intp], weights: Array | None) -> Self:
        """Some of the rows, with weights of their own."""
        return type(self)(self.values[places], weights)

    @property
    def empty(self) -> Self:
        """None of the rows."""
        return self.only(np.empty(0, np.intp), None)

    def mean(self, values: Array) -> float:
        """Mean of a value (m,) of each row, weighted."""
        if self.weights is None:
            return float(values.mean())
        return float(np.average(values, weights=self.weights))


def parted(
    sample: SampleRows, n_rows: int, n_free: int, settings: FitSettings
) -> tuple[SampleRows, SampleRows]:
    """Rows to try starts on and rows to compare them on: shares of the sample, in its order.

    Where there are few rows altogether, starts are tried on all of them and compared on them too:
    that likelihood is the one that the fit maximises.
    """
    m = len(sample)
    if _is_whole(m, n_rows, n_free, settings.n_components):
        return sample, sample.empty
    wanted = _few_rows(m, n_free)
    rng = stream(Stage.SAMPLE_EM, settings.seed, settings.n_components)
    if sample.weights is None:
        order, weights = rng.choice(m, 2 * wanted, replace=False), None
    else:
        few, weights = few_rows(m, 2 * wanted, rng, sample.weights)
        sample, order = sample.only(few, weights), rng.permutation(len(few))
    halves = np.sort(order[:wanted]), np.sort(order[wanted:])
    own = (None if weights is None else weights[half] for half in halves)
    fitted, compared = (sample.only(h, w) for h, w in zip(halves, own, strict=True))
    return fitted, compared


def _few_rows(n_sampled: int, n_free: int) -> int:
    """Rows that starts are tried on where not all are: at most half of the sample."""
    return max(min(max(FEW_ROWS, FEW_ROWS_PER_PARAMETER * n_free), n_sampled // 2), 1)


def _is_whole(n_sampled: int, n_rows: int, n_free: int, n_components: int) -> bool:
    """Whether starts are tried on the whole sample, and compared on it too.

    Where it is all rows and they are few, and where half of it would be too few for the components.
    """
    if n_sampled // 2 < LEAST_ROWS_PER_COMPONENT * n_components:
        return True
    few = max(FEW_ROWS, FEW_ROWS_PER_PARAMETER * n_free)
    return n_rows == n_sampled <= 2 * FEW_ROWS and 2 * few > n_sampled
