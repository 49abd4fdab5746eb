"""Starts by splitting: k components become more, where the most variance is.

Fits of k + 1 components that begin at fits of k find better optima than fresh starts, in fewer
passes, and cost no read where they are made on the sample. The component of largest n_k·λ₁ is
split, the best of three such after a few iterations, across its main axis: its rows on either
side of its mean become a component each. The halves of a Gaussian have their means at
±√(2/π)·√λ₁ ≈ ±0.8·√λ₁, so that this is a split at these points whose covariances are those of the
rows, in every family.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dgmm.errors import DataError
from dgmm.fitting.initialisation.first_parameters import parameters_from_responsibilities
from dgmm.fitting.restarts import Start
from dgmm.fitting.sample_effort import FURTHER_ITERATIONS, MOST_FLOPS, TRIED_ITERATIONS
from dgmm.fitting.sample_em import SampleEM
from dgmm.fitting.sample_trials import Tried, likeliest_of_each
from dgmm.mixture.covariance.family import Array
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.executor import Executor

#: Components whose split is tried, and the iterations after which the likeliest goes on.
TRIED_SPLITS, SPLIT_ITERATIONS = 3, 5
#: Posteriors (k, m) of the sample's rows that are held at once, at most.
_MOST_NUMBERS = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Splitter:
    """Makes starts of more components from mixtures of fewer, on the rows of a sample.

    Attributes
    ----------
    sample_em
        Of the model that is to begin: its rows, their units, and its EM.
    here
        Runs tasks in this process.
    restart
        Under which the starts are known.
    """

    sample_em: SampleEM
    here: Executor
    restart: int

    def grown(self, parameters: Parameters, n_components: int, name: str) -> Tried | None:
        """Where EM on the sample leads from a mixture that is split to so many components.

        None where that takes too long, or where components are lost on the way.
        """
        if not self._is_affordable(parameters, n_components):
            return None
        while parameters.n_components < n_components:
            n_more = min(n_components - parameters.n_components, parameters.n_components)
            if (best := self._split(parameters, n_more, name)) is None:
                return None
            parameters = best.start.parameters
        further = TRIED_ITERATIONS + FURTHER_ITERATIONS - SPLIT_ITERATIONS
        return self._led(further, [Start(self.restart, 0, name, parameters)])

    def _split(self, parameters: Parameters, n_more: int, name: str) -> Tried | None:
        """The likeliest of three splits of one component, or one split of several."""
        order = splitting_order(parameters)
        tried = [order[i : i + 1] for i in range(TRIED_SPLITS)] if n_more == 1 else [order[:n_more]]
        rows = self.sample_em.filled(self.sample_em.few.values)
        starts = []
        for number, components in enumerate(c for c in tried if len(c)):
            try:
                begun = split(
                    *(parameters, rows, components, self.sample_em.regularisation),
                    weights=self.sample_em.few.weights,
                )
            except DataError:
                continue
            starts.append(Start(self.restart, number, name, begun))
        return self._led(SPLIT_ITERATIONS, starts)

    def _led(self, n_iterations: int, starts: list[Start]) -> Tried | None:
        tried = self.sample_em.led(n_iterations, tuple(starts), self.here)
        found = likeliest_of_each(tried, lambda one: one.start.restart)
        return found[0] if found else None

    def _is_affordable(self, parameters: Parameters, n_components: int) -> bool:
        m, d = self.sample_em.few.values.shape
        width = parameters.family.width(d)
        n_iterations = TRIED_ITERATIONS + FURTHER_ITERATIONS + TRIED_SPLITS * SPLIT_ITERATIONS
        flops = 4.0 * m * n_components * width * n_iterations
        return bool(flops <= MOST_FLOPS and m * n_components <= _MOST_NUMBERS)


def splitting_order(parameters: Parameters) -> NDArray[np.intp]:
    """Components by n_k·λ₁, the largest first; the earlier where equal."""
    family, d = parameters.family, parameters.n_features
    largest = [
        float(np.linalg.eigvalsh(family.full_covariance(parameters.covariances, k, d))[-1])
        for k in range(parameters.n_components)
    ]
    return np.argsort(-parameters.weights * np.array(largest), kind="stable")


def split(
    parameters: Parameters,
    rows: Array,
    components: NDArray[np.intp],
    regularisation: Array,
    weights: Array | None = None,
) -> Parameters:
    """One M-step with some components' rows parted across their main axes; new ones stand last.

    Parameters
    ----------
    parameters
        k components.
    rows : (m, d)
        Standardised rows without gaps.
    components
        Those that are split; a half of each keeps its place.
    regularisation : (d,)
        Added to the variances.
    weights : (m,), optional
        Of the rows; 1 each by default.
    """
    Y = np.ascontiguousarray(rows.T)
    R = np.concatenate([r for _, _, r in Scorer(parameters).score(Y, Workspace())], axis=1)
    R = R[: parameters.n_components]  # rows of the noise are in no start
    halves = []
    for k in components:
        D = Y - parameters.means[k][:, None]
        own = R[k] if weights is None else R[k] * weights
        axis = np.linalg.eigh((D * own) @ D.T)[1][:, -1]
        is_beyond = axis @ D > 0.0
        halves.append(np.where(is_beyond, R[k], 0.0))
        R[k] = np.where(is_beyond, 0.0, R[k])
    parted = np.concatenate([R, np.array(halves)])
    begun = parameters_from_responsibilities(
        parameters.family, rows, parted, len(parted), regularisation, weights
    )
    if parameters.noise is None:
        return begun
    shares = begun.weights * parameters.gaussian_share
    return replace(begun, weights=shares, noise=parameters.noise)
