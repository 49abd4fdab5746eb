"""What fixed parameters say of rows with missing values: densities, posteriors, expected values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance.family import LOG_2PI
from dgmm.mixture.covariance.marginals import Conditional
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.kernels.tiles import Array, Tile
from dgmm.mixture.marginal.kernel_parts import conditional_of
from dgmm.mixture.marginal.patterns import Mask, rows_by_pattern
from dgmm.mixture.parameters import Parameters


@dataclass(frozen=True, slots=True, eq=False)
class PatternScores:
    """Scores of some rows of one pattern; in standardised units.

    Attributes
    ----------
    rows : (b,)
        Numbers of the rows.
    observed : (d,) bool
        Their features that have a value.
    log_density : (b,)
        log p(x_o): of what is observed. −inf where a squared distance overflows.
    responsibilities : (k, b)
        p(component given x_o).
    entropies : (k,)
        h_k = ½ log det(2πe C_k) of the missing features given the observed ones; 0 where a row is
        complete.
    """

    rows: NDArray[np.intp]
    observed: Mask
    log_density: Array
    responsibilities: Array
    entropies: Array

    @property
    def completed_log_density(self) -> Array:
        """log p(x_o) − Σ r_k h_k (b,): comparable between rows of different patterns.

        It is log_density for complete rows, and what a row's density is expected to be, on a
        logarithmic scale, once the missing values are known: E log p(x_m | x_o) = −h_k.
        """
        return self.log_density - self.entropies @ self.responsibilities


class MarginalScorer:
    """Applies fixed parameters to standardised rows with NaN where a value is missing.

    Patterns are prepared when they are first met, and the last `most` of them are kept.
    """

    def __init__(self, parameters: Parameters, most: int = 256) -> None:
        self._parameters, self._most = parameters, most
        self._prepared: dict[bytes, _PreparedScores] = {}

    def score(self, Y: Tile, workspace: Workspace | None = None) -> Iterator[PatternScores]:
        """Score rows Y (d, n), pattern by pattern in the order of their bits, tile by tile.

        Every row has at least one value. The arrays are the caller's.
        """
        work = workspace or Workspace()
        numbers = np.arange(Y.shape[1])
        for pattern in rows_by_pattern(Y.T):
            prepared, rows = self._of(pattern.observed), numbers[pattern.rows]
            own = np.ascontiguousarray(Y[:, pattern.rows][pattern.observed], dtype=np.float64)
            for some, log_density, R in prepared.scorer.score(own, work):
                yield PatternScores(
                    *(rows[some], pattern.observed, log_density.copy(), R.copy()),
                    prepared.entropies,
                )

    def of_pattern(self, observed: Mask) -> tuple[Scorer, Array]:
        """The scorer of some features (d,) bool, and the entropies (k,) of the others given these.

        The scorer takes rows of the observed features alone, in their order.
        """
        prepared = self._of(observed)
        return prepared.scorer, prepared.entropies

    def log_density(self, Y: Tile) -> Array:
        """log p(x_o) of each row of Y (d, n)."""
        return self._each(Y, "log_density")

    def completed_log_density(self, Y: Tile) -> Array:
        """log p(x_o) − Σ r_k h_k of each row of Y (d, n)."""
        return self._each(Y, "completed_log_density")

    def responsibilities(self, Y: Tile) -> Array:
        """Posteriors (k, n) of rows Y (d, n)."""
        result = np.empty((self._parameters.n_components, Y.shape[1]))
        for scores in self.score(Y):
            result[:, scores.rows] = scores.responsibilities
        return result

    def impute(self, Y: Tile) -> tuple[Array, Array]:
        """Expected values (d, n) of rows Y, and their standard deviations (d, n).

        Means are Σ r_k (μ_m + B_k(x_o − μ_o)), deviations those of the mixture of the conditionals;
        an observed value is itself, of deviation 0.
        """
        means, deviations = np.array(Y, dtype=np.float64), np.zeros(Y.shape)
        for scores in self.score(Y):
            if scores.observed.all():
                continue
            at = np.ix_(~scores.observed, scores.rows)
            means[at], deviations[at] = self._expected(Y, scores)
        return means, deviations

    def conditional(self, observed: Mask, rows: Tile) -> tuple[Array, Array]:
        """Means (k, m, b) and standard deviations (k, m) of the missing features, by component.

        Parameters
        ----------
        observed : (d,) bool
        rows : (q, b)
            The observed features of some rows.
        """
        prepared, p = self._of(observed), self._parameters
        given, own = prepared.conditional, p.means[:, observed]
        means = np.stack(
            [given.mean(p.means, k, rows - own[k][:, None]) for k in range(p.n_components)]
        )
        return means, np.sqrt(given.variances)

    def _expected(self, Y: Tile, scores: PatternScores) -> tuple[Array, Array]:
        """Means and standard deviations (m, b) of the mixture of conditionals."""
        own = Y[:, scores.rows][scores.observed]
        means, deviations = self.conditional(scores.observed, own)
        R = scores.responsibilities[:, None, :]
        mean = (R * means).sum(axis=0)
        within = deviations[:, :, None] ** 2 + (means - mean) ** 2
        return mean, np.sqrt((R * within).sum(axis=0))

    def _each(self, Y: Tile, name: str) -> Array:
        result = np.empty(Y.shape[1])
        for scores in self.score(Y):
            result[scores.rows] = getattr(scores, name)
        return result

    def _of(self, observed: Mask) -> _PreparedScores:
        key = observed.tobytes()
        made = self._prepared.pop(key, None) or _PreparedScores.of(self._parameters, observed)
        self._prepared[key] = made
        if len(self._prepared) > self._most:
            del self._prepared[next(iter(self._prepared))]
        return made


@dataclass(frozen=True, slots=True, eq=False)
class _PreparedScores:
    """A pattern's scorer, its conditional, and the entropies of what is missing."""

    scorer: Scorer
    conditional: Conditional
    entropies: Array

    @classmethod
    def of(cls, parameters: Parameters, observed: Mask) -> _PreparedScores:
        known, given = conditional_of(parameters, observed)
        return cls(Scorer(known), given, entropies_of(parameters, known))


def entropies_of(parameters: Parameters, known: Parameters) -> Array:
    """h_k = ½ log det(2πe C_k) (k,): ½ log det Σ − ½ log det Σ_oo, and m/2 log 2πe."""
    family, k, d = parameters.family, parameters.n_components, parameters.n_features
    m = d - known.n_features
    if m == 0:
        return np.zeros(k)
    all_of_it = family.half_log_det_precision(parameters.precisions_cholesky, k, d)
    part = family.half_log_det_precision(known.precisions_cholesky, k, known.n_features)
    result: NDArray[Any] = 0.5 * m * (LOG_2PI + 1.0) + part - all_of_it
    return result
