"""What preparation leaves for a fit: units, sample, problem, and what the summary found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.counted_weights import CountedWeights
from dgmm.data.summary.repeated_values import RepeatedValue
from dgmm.data.summary.summarise import Summary
from dgmm.fitting.conditional_fill import ConditionalFill
from dgmm.fitting.em.state import EMProblem
from dgmm.fitting.missing_cost import MissingCost
from dgmm.mixture.covariance import Family
from dgmm.mixture.noise import Noise

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFit:
    """Data and job as a fit sees them.

    Attributes
    ----------
    family
        The covariance family asked for.
    summary
        Counts, moments, extremes and the sample, in user units.
    standardisation
        From the sample.
    sample : (m, d)
        Standardised, float64; expected values where one is missing.
    problem
        What all candidates have in common.
    backend
        Name of what computes the passes of this fit: selected once, for all workers, and saved.
    warnings
        What a user should know of the data.
    repeated_values
        Values that many rows share, and cells equal to the array's fill value.
    weights
        Of the rows that count; None where they have none.
    observed : (m, d) or None
        The sample with NaN where a value is missing; None where none is.
    fill
        What has filled the sample; None where nothing is missing.
    missing_cost
        What missing values cost; None where none is marginalised over.
    noise
        What starts begin with, and the box of the noise; None without noise.
    distance_scales
        What standardised features are multiplied by before distances are taken, (d,), by metric;
        None measures the sample.
    """

    family: Family
    summary: Summary
    standardisation: Standardisation
    sample: Array
    problem: EMProblem
    backend: str
    warnings: tuple[str, ...]
    repeated_values: tuple[RepeatedValue, ...]
    weights: CountedWeights | None = None
    observed: Array | None = None
    fill: ConditionalFill | None = None
    missing_cost: MissingCost | None = None
    noise: Noise | None = None
    distance_scales: Mapping[str, Array] | None = None

    @property
    def n_rows(self) -> float:
        """Rows that components are shares of: Σw where weights are counts."""
        return self.summary.weight if self.problem.counts_are_rows else self.summary.n_kept

    @property
    def n_rows_ranked(self) -> float:
        """Rows by which components with too few are told; infinite where none can be a spike."""
        return np.inf if self.problem.inference.is_bounded else self.n_rows

    @property
    def rows(self) -> Array:
        """The sample as it was observed, (m, d)."""
        return self.sample if self.observed is None else self.observed

    def filled(self, rows: Array) -> Array:
        """Standardised rows with expected values where one is missing; themselves where none is."""
        return rows if self.fill is None else self.fill.rows(rows)

    @property
    def regularisation(self) -> Array:
        """What is added to the variances (d,) of starts, standardised units."""
        return self.problem.collapse.regularisation

    @property
    def added(self) -> Array:
        """What EM adds to the variances (d,), standardised units."""
        regularisation = self.problem.collapse.regularisation
        return regularisation if self.problem.inference.regularises else 0.0 * regularisation
