"""What EM asks of the principle by which parameters are estimated."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.parameters import Estimate, Parameters
from dgmm.mixture.sufficient_statistics import Statistics

Array = NDArray[np.float64]


class Inference(Protocol):
    """An M-step and the objective that it never lowers, for a number of rows.

    A value: what it gives depends on its arguments alone.
    """

    @property
    def name(self) -> str:
        """As `inference` has it in a job file."""

    @property
    def is_bounded(self) -> bool:
        """Whether the objective has an upper bound, whatever the covariances.

        The likelihood has none: a component on one row is a spike.
        """

    @property
    def regularises(self) -> bool:
        """Whether regularisation is added to covariances in every M-step."""

    @property
    def prunes(self) -> bool:
        """Whether components that empty are left out, and neither re-seeded nor warned of."""

    def with_rows(self, n_rows: float) -> Self:
        """The same for other rows: so many, or their sum of weights where weights are counts."""

    def maximise(
        self,
        family: Family,
        statistics: Statistics,
        scatter: Array | None = None,
        before: Parameters | None = None,
        *,
        by_weight: bool = False,
    ) -> Estimate:
        """The M-step, before regularisation; arguments as of `dgmm.mixture.parameters.m_step`."""

    def parameters(self, estimate: Estimate, regularisation: Array) -> Parameters:
        """Parameters of an estimate, with `regularisation` (d,) as far as there is any."""

    def scored(self, parameters: Parameters) -> Parameters:
        """What the natural parameters of a pass are made of."""

    def objective(self, mean_log_likelihood: float, parameters: Parameters) -> float:
        """What is maximised, per row; the likelihood is that of a pass with `scored` parameters."""

    def explained_fall(
        self, estimate: Estimate, parameters: Parameters, regularisation: Array
    ) -> float:
        """How far regularisation may lower the objective in one M-step."""

    def prior_record(self, units: Standardisation) -> dict[str, Any]:
        """The prior's numbers by name, in the user's units, for run.json."""

    def model(self, parameters: Parameters) -> Parameters:
        """What is saved, and scores rows as the last pass would."""
