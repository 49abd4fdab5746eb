"""Acceleration of EM: SQUAREM, a step extrapolated from two plain ones and judged by the next pass.

With r = θ1 − θ0 and v = (θ2 − θ1) − r of two plain steps θ0 → θ1 → θ2, the next pass goes to
θ0 − 2αr + α²v with α = −‖r‖/‖v‖ (Varadhan & Roland 2008, Scand. J. Statist. 35, step length S3);
α = −1 gives θ2. As in their package, one plain step follows before a new pair is begun, and the
length has a bound that grows fourfold where it was reached and shrinks where a step led astray.

Any point is as good a start for a plain step, so that the fixed points are those of plain EM,
regularisation included, and an extrapolation costs no pass of its own: the E-step that would judge
it is the next one. Where the likelihood fell, θ2 is still there and that pass is what it cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dgmm.parameters import Parameters

Array = NDArray[np.float64]

Acceleration = Literal["squarem", "none"]
ACCELERATIONS: tuple[Acceleration, ...] = get_args(Acceleration)

#: How the parameters of a pass came about: by a plain step of EM (or as the start), or by an
#: accelerated one, which the pass bore out or refuted.
Step = Literal["plain", "accelerated", "refuted"]

#: The first bound of −α, and what it grows and shrinks by.
_FIRST_BOUND, _FACTOR = 1.0, 4.0
#: A length this close to 1 is a plain step.
_LEAST_LENGTH = 1.01


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """Where a candidate stands between two extrapolations.

    Attributes
    ----------
    start
        θ0 of the pair of plain steps that was begun; None before its first.
    fallback
        θ2, while an extrapolation from it waits for the pass that judges it.
    length
        −α of that extrapolation.
    bound
        Largest −α allowed.
    is_fresh
        An accelerated step was taken, and no plain one below tol since.
    """

    start: Parameters | None = None
    fallback: Parameters | None = None
    length: float = 1.0
    bound: float = _FIRST_BOUND
    is_fresh: bool = False

    @property
    def is_extrapolated(self) -> bool:
        """Whether the next pass judges an extrapolation."""
        return self.fallback is not None

    def interrupted(self) -> Cycle:
        """The cycle after anything but a plain step: a new pair is begun, the bound stays."""
        return replace(self, start=None, fallback=None)

    def accepted(self) -> Cycle:
        """The cycle after a pass that bore the extrapolation out."""
        return replace(self, fallback=None, is_fresh=True)

    def settled(self) -> Cycle:
        """The cycle after a plain step below tol: the next such one is believed."""
        return replace(self, is_fresh=False)

    def refuted(self) -> Cycle:
        """The cycle after an extrapolation that led astray: shorter ones from now on."""
        return replace(self, fallback=None, bound=max(_FIRST_BOUND, self.bound / _FACTOR))


def next_point(
    cycle: Cycle, at: Parameters, to: Parameters, admits: Callable[[Parameters], bool]
) -> tuple[Cycle, Parameters]:
    """Where the next pass goes after the plain step `at` → `to`.

    Parameters
    ----------
    cycle
        Not one that waits for its judgement.
    admits
        Whether a pass may be spent on parameters; finite ones alone are asked for.
    """
    if cycle.start is None:
        return replace(cycle, start=at), to
    length, point = _extrapolation(cycle.start, at, to, cycle.bound)
    bound = cycle.bound * _FACTOR if length >= cycle.bound else cycle.bound
    ended = replace(cycle, start=None, bound=bound)
    if point is None:
        return ended, to
    if not (_is_finite(point) and admits(point)):
        return ended.refuted(), to
    return replace(ended, fallback=to, length=length), point


def _extrapolation(
    first: Parameters, second: Parameters, third: Parameters, bound: float
) -> tuple[float, Parameters | None]:
    """Length −α and end of the step; None where it is a plain one."""
    with np.errstate(all="ignore"):
        x0, x1, x2 = (_coordinates(p) for p in (first, second, third))
        r = [b - a for a, b in zip(x0, x1, strict=True)]
        v = [(c - b) - s for b, c, s in zip(x1, x2, r, strict=True)]
        length = min(float(np.sqrt(_square(r) / _square(v))), bound)
        if not length > _LEAST_LENGTH:  # NaN where nothing moves
            return length, None
        moved = [a + 2.0 * length * s + length**2 * t for a, s, t in zip(x0, r, v, strict=True)]
        return length, _parameters(third, moved)


def _coordinates(parameters: Parameters) -> list[Array]:
    """Numbers without bounds: log weights, means, log-Cholesky factors of covariances."""
    p = parameters
    return [p.log_weights, p.means, p.family.log_factors(p.covariances)]


def _parameters(like: Parameters, coordinates: list[Array]) -> Parameters:
    """The mixture at coordinates, weights summing to 1."""
    log_weights, means, log_factors = coordinates
    weights = np.exp(log_weights - log_weights.max())
    covariances = like.family.covariances_of_log_factors(log_factors)
    return Parameters.of(like.family, weights / weights.sum(), means, covariances)


def _square(parts: list[Array]) -> np.float64:
    return np.float64(sum(float((part**2).sum()) for part in parts))


def _is_finite(p: Parameters) -> bool:
    """Whether all is finite; singular covariances have factors that are not."""
    values = (p.weights, p.means, p.covariances, p.precisions_cholesky)
    return all(bool(np.isfinite(value).all()) for value in values)
