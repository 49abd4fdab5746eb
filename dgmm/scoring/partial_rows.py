"""Scores of rows that lack values: of the density of what is observed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import RowScores
from dgmm.mixture.marginal import MarginalScorer, PatternScores
from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]
_MOST_BYTES = 64 * 1024 * 1024
#: Rows that expected values are found for at a time.
_TILE_ROWS = 4096
#: Scores whole rows into arrays of their own, and returns the entropy of their posteriors.
WholeRows = Callable[[NDArray[Any], RowScores, Array | None], float]


def marginal_scorer(parameters: Parameters) -> MarginalScorer:
    """A scorer that keeps as many patterns as fit 64 MiB.

    Each holds about four arrays of the size of all covariances.
    """
    k, d = parameters.n_components, parameters.n_features
    of_pattern = 4 * 8 * k * (d + math.prod(parameters.family.covariance_shape(1, d)))
    return MarginalScorer(parameters, max(_MOST_BYTES // of_pattern, 1))


def require_marginals(parameters: Parameters, missing: MissingPolicy) -> None:
    """Refuse rows that lack values to a variational mixture, and to one with noise.

    What is added to the log density of each of the first's components is the expectation for a
    whole row. The second's noise has the volume of all features.

    Raises
    ------
    DataError
        If rows that lack values are to be scored by such a mixture.
    """
    if parameters.noise is not None and missing is MissingPolicy.MARGINALISE:
        raise DataError(
            "a mixture with noise cannot score rows that lack values by those that they have: "
            "drop such rows, or fit without noise"
        )
    if parameters.expected_log_weights is not None and missing is MissingPolicy.MARGINALISE:
        raise DataError(
            "a variational mixture cannot score rows that lack values by those that they have: "
            "drop such rows, or fit by maximum likelihood or map"
        )


@dataclass(frozen=True, slots=True, eq=False)
class PartialRows:
    """Rows of a block, some of which lack values.

    Attributes
    ----------
    values : (m, d)
        NaN where a value is missing; no row lacks all.
    weights : (m,) or None
        None where each weighs 1.
    """

    values: NDArray[Any]
    weights: Array | None

    @property
    def is_partial(self) -> NDArray[np.bool_]:
        """Which rows lack a value, (m,)."""
        return np.asarray(np.isnan(self.values).any(axis=1))

    def weights_of(self, rows: NDArray[np.intp]) -> Array | None:
        """Those of some rows."""
        return None if self.weights is None else self.weights[rows]

    def write_whole(self, rows: NDArray[np.intp], out: RowScores, write: WholeRows) -> float:
        """Score the whole rows as those of any block; their entropy."""
        places = rows if out.places is None else out.places[rows]
        own = RowScores.empty(len(rows), out.posteriors, places)
        entropy = write(self.values[rows], own, self.weights_of(rows))
        out.labels[rows], out.max_posterior[rows] = own.labels, own.max_posterior
        out.log_density[rows] = own.log_density
        return entropy

    def imputed(
        self, scorer: MarginalScorer, standardisation: Standardisation
    ) -> tuple[Array, Array]:
        """Values (m, d), expected ones where they are missing, and standard deviations (m, d)."""
        values, deviations = self.values.astype(np.float64), np.zeros(self.values.shape)
        lacking = np.flatnonzero(self.is_partial)
        for start in range(0, len(lacking), _TILE_ROWS):
            rows = lacking[start : start + _TILE_ROWS]
            own = self.values[rows]
            means, sds = scorer.impute(standardisation.apply(own, np.float64))
            expected = standardisation.means_to_user(means.T)
            values[rows] = np.where(np.isnan(own), expected, own)
            deviations[rows] = sds.T * standardisation.scale
        return values, deviations

    def scored(
        self,
        rows: NDArray[np.intp],
        scorer: MarginalScorer,
        standardisation: Standardisation,
        workspace: Workspace,
    ) -> Iterator[tuple[NDArray[np.intp], PatternScores, float]]:
        """Yield (rows, their scores, Σ log scale of what they lack), pattern by pattern.

        A density of q features has the units of those alone.
        """
        log_scale = np.log(standardisation.scale)
        Y = standardisation.apply(self.values[rows], np.float64)
        for scores in scorer.score(Y, workspace):
            yield rows[scores.rows], scores, float(log_scale[~scores.observed].sum())
