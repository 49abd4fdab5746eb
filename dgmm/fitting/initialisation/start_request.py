"""What a start is asked for: the one argument of every method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dgmm.fitting.initialisation.distance_rows import Labels
from dgmm.fitting.initialisation.first_parameters import parameters_from_labels
from dgmm.fitting.initialisation.lifted_labels import lifted
from dgmm.fitting.initialisation.observed_variances import ObservedMoments
from dgmm.fitting.initialisation.sample_rows import CentredRows, clipped
from dgmm.fitting.initialisation.start_compute import WORTH_COMPILING, StartCompute
from dgmm.mixture.covariance.family import Array, Family
from dgmm.mixture.parameters import Parameters


@dataclass(frozen=True, slots=True, eq=False)
class StartRequest:
    """A sample, and what is wanted of it.

    Attributes
    ----------
    sample : (m, d)
        Standardised rows, float64, m ≥ k.
    family
        Covariance family.
    n_components
        k.
    regularisation : (d,)
        Added to the variances.
    rng
        The start's own stream.
    given
        Parameters to take, for the method `given`.
    scale : (d,), optional
        What the sample is multiplied by before distances are taken (`metrics.distance_scale`); None
        measures in standardised units.
    weights : (m,), optional
        What each row of the sample stands for; None where that is the same of all.
    observed : (m, d), optional
        The same rows with NaN where a value is missing, if any is; `sample` has expected ones.
    compute
        What computes distances, where they are many.
    """

    sample: Array
    family: Family
    n_components: int
    regularisation: Array
    rng: np.random.Generator
    given: Parameters | None = None
    scale: Array | None = None
    weights: Array | None = None
    observed: Array | None = None
    compute: StartCompute = field(default_factory=StartCompute)

    def in_metric(self, rows: Array) -> Array:
        """Standardised rows (·, d) in the units that distances are taken in."""
        return rows if self.scale is None else clipped(rows * self.scale)

    def distance_rows(self) -> CentredRows:
        """The sample, laid out for distances."""
        return CentredRows.of(self.in_metric(self.sample))

    def compute_for(self, rows: CentredRows) -> StartCompute:
        """What computes the distances of k points to those rows."""
        numbers = rows.n_rows * rows.n_features * self.n_components
        return self.compute if numbers >= WORTH_COMPILING else StartCompute()

    def from_labels(self, labels: Labels) -> Parameters:
        """Parameters of hard labels on all rows of the sample.

        Where rows lack values, one more M-step takes these as they are expected under the first,
        whose variances are those of the values there are: of filled-in values they are too small.
        """
        begun = parameters_from_labels(
            self.family,
            self.sample,
            labels,
            self.n_components,
            self.regularisation,
            self.weights,
        )
        if self.observed is None:
            return begun
        known = ~np.isnan(self.observed)
        moments = ObservedMoments.of_labels(
            self.sample.T, known.T, labels, begun.means, self.weights
        )
        widened = moments.widened(begun, self.regularisation)
        return lifted(
            *(widened, self.observed, labels, self.sample, self.regularisation), self.weights
        )


Method = Callable[[StartRequest], Parameters]
