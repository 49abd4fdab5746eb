"""Two mixtures side by side: which component of one is nearest to which of the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_units import refuse_other_units
from dgmm.errors import DataError
from dgmm.mixture.bhattacharyya import all_distances, as_full, hellinger
from dgmm.mixture.covariance import family_named
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.runtime.blas_threads import limited_thread
from dgmm.terminal_text import listed

Array = NDArray[np.float64]

#: Stands for the distance of a component that cannot be inverted: larger than any other.
_FARTHEST = 1e300


@dataclass(frozen=True, slots=True)
class MatchedPair:
    """A component of each mixture.

    Attributes
    ----------
    first, second : int
        Their places.
    weights : tuple of float
        π of both.
    bhattacharyya, hellinger : float
        Their distance, infinite where a covariance cannot be inverted, and √(1 − e^−B).
    means_apart : float
        Distance of the means in standard deviations, of the average of both covariances.
    """

    first: int
    second: int
    weights: tuple[float, float]
    bhattacharyya: float
    hellinger: float
    means_apart: float


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs with the least sum of distances, and components that have no partner.

    Attributes
    ----------
    pairs : tuple of MatchedPair
        The heaviest component of the first mixture first.
    only_first, only_second : tuple of int
        Components without a partner, where one mixture has more than the other.
    """

    pairs: tuple[MatchedPair, ...]
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]

    @classmethod
    @limited_thread()
    def of(cls, first: MixtureModel, second: MixtureModel) -> Self:
        """Match by the Hungarian method (Kuhn 1955) on Bhattacharyya distances.

        Those have no upper bound; Hellinger's is 1 for all that are far apart, whatever is nearer.

        Raises
        ------
        DataError
            If features, units or steps of the models are not the same.
        """
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to import

        one, other = as_full(first.parameters), _in_units_of(first, second)
        distances = np.nan_to_num(all_distances(one, other), nan=_FARTHEST, posinf=_FARTHEST)
        rows, columns = linear_sum_assignment(distances)
        pairs = [
            _pair(one, other, int(i), int(j), _known(distances[i, j]))
            for i, j in zip(rows, columns, strict=True)
        ]
        return cls(
            tuple(sorted(pairs, key=lambda pair: (-pair.weights[0], pair.first))),
            tuple(sorted({*range(first.n_components)} - {*rows.tolist()})),
            tuple(sorted({*range(second.n_components)} - {*columns.tolist()})),
        )


def _known(distance: float) -> float:
    return float(distance) if distance < _FARTHEST else float("inf")


def _pair(one: Parameters, other: Parameters, i: int, j: int, distance: float) -> MatchedPair:
    between = 0.5 * (one.covariances[i] + other.covariances[j])
    delta = other.means[j] - one.means[i]
    factor = one.family.precisions_cholesky(between[None])
    apart = np.linalg.norm(one.family.whiten(factor, 0, delta[:, None]))
    weights = float(one.weights[i]), float(other.weights[j])
    return MatchedPair(i, j, weights, distance, float(hellinger(np.array(distance))), float(apart))


def _in_units_of(first: MixtureModel, second: MixtureModel) -> Parameters:
    """The second mixture in the first one's units and order of features, full covariances.

    Raises
    ------
    DataError
        Naming what differs.
    """
    order = _order(first, second)
    own, units = second.standardisation, first.standardisation
    ratio = (own.scale[order] / units.scale)[None, :]
    parameters = as_full(second.parameters)
    covariances = parameters.covariances[:, order][:, :, order] * ratio[:, :, None] * ratio[:, None]
    means = own.means_to_user(parameters.means)[:, order]
    full = family_named("full")
    return Parameters.of(full, parameters.weights, units.means_from_user(means), covariances)


def _order(first: MixtureModel, second: MixtureModel) -> NDArray[np.intp]:
    """Where the second mixture has each feature of the first."""
    steps = [None if m.preprocess is None else m.preprocess.record() for m in (first, second)]
    if steps[0] != steps[1]:
        raise DataError(
            "the models' rows went through other steps (preprocess): their components lie in "
            "different spaces. Compare models with the same steps, whose numbers are the same too"
        )
    names, others = first.feature_names, second.feature_names
    if {*names} != {*others}:
        only = sorted({*names} - {*others}), sorted({*others} - {*names})
        raise DataError(
            "the models have different features: expected the same names, found "
            f"{listed(only[0], 6) or 'none'} in the first alone and "
            f"{listed(only[1], 6) or 'none'} in the second alone"
        )
    own = [(name, second.feature_units.get(name)) for name in first.input_names]
    refuse_other_units(own, [(name, first.feature_units.get(name)) for name in first.input_names])
    return np.array([others.index(name) for name in names], dtype=np.intp)
