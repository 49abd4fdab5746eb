"""Acceleration of EM: SQUAREM, steps extrapolated from two plain ones, which the next pass accepts.

With r = θ1 − θ0 and v = (θ2 − θ1) − r of two plain steps θ0 → θ1 → θ2, the next pass goes to
θ0 − 2αr + α²v with α = −‖r‖/‖v‖ (Varadhan & Roland 2008, Scand. J. Statist. 35, step length S3);
α = −1 gives θ2. As in their package, one plain step follows before a new pair is begun, and the
length has a bound that grows fourfold where it was reached and shrinks where a step was rejected.

Any point is as good a start for a plain step, so that the fixed points are those of plain EM,
regularisation included, and an extrapolation costs no pass of its own: the E-step that
decides on it is the next one. Where the objective fell, EM goes on from θ2, one pass later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]

Acceleration = Literal["squarem", "none"]
ACCELERATIONS: tuple[Acceleration, ...] = get_args(Acceleration)

#: How the parameters of a pass came about: by a plain step of EM (or as the start), or by an
#: accelerated one, which the pass accepted or rejected.
Step = Literal["plain", "accelerated", "rejected"]

#: The first bound of −α, and what it grows and shrinks by.
_FIRST_BOUND, _FACTOR = 1.0, 4.0
#: Shares of noise far below this do not count in the length of a step...
_NOISE_UNIT = 1e-4
#: ...which leaves it at least this much of its weight: weight 0 would be for ever.
_LEAST_LEFT = 0.01
#: A length this close to 1 is a plain step.
_LEAST_LENGTH = 1.01
#: An estimate this many times below a limit needs no second one.
_CLEARLY = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """Where a candidate stands between two extrapolations.

    Attributes
    ----------
    start
        θ0 of the pair of plain steps that was begun; None before its first.
    fallback
        θ2, while an extrapolation from it waits for its pass.
    length
        −α of that extrapolation.
    bound
        Largest −α allowed.
    remaining
        The gain of the objective that is still to come, estimated from the last pair of
        plain steps, and not below what the extrapolation from it gained; infinite before one.
    remaining_before
        The same of the pair before that.
    """

    start: Parameters | None = None
    fallback: Parameters | None = None
    length: float = 1.0
    bound: float = _FIRST_BOUND
    remaining: float = math.inf
    remaining_before: float = math.inf

    @property
    def is_extrapolated(self) -> bool:
        """Whether the next pass is one of an extrapolation."""
        return self.fallback is not None

    def interrupted(self) -> Cycle:
        """The cycle after anything but a plain step: a new pair is begun, the bound stays."""
        return Cycle(length=self.length, bound=self.bound)

    def expects_less_than(self, limit: float, *, twice: bool = False) -> bool:
        """Whether so little is still to come.

        Fast directions hide slow ones for a while: two pairs in turn must show it, or one by far
        unless it has to be `twice`.
        """
        both = max(self.remaining, self.remaining_before) < limit
        return both or (not twice and self.remaining < limit / _CLEARLY)

    def accepted(self, gain: float) -> Cycle:
        """The cycle after a pass that found the extrapolation as good, or better by `gain`."""
        return replace(self, fallback=None, remaining=max(self.remaining, gain))

    def rejected(self) -> Cycle:
        """The cycle after an extrapolation that was rejected: shorter ones from now on."""
        return replace(self, fallback=None, bound=max(_FIRST_BOUND, self.bound / _FACTOR))


def next_point(
    cycle: Cycle,
    at: Parameters,
    to: Parameters,
    gain: float,
    admits: Callable[[Parameters], bool],
) -> tuple[Cycle, Parameters]:
    """Where the next pass goes after the plain step `at` → `to`.

    Parameters
    ----------
    cycle
        Not one that waits to be accepted or rejected.
    gain
        Of the objective by the step that led to `at`.
    admits
        Whether a pass may be spent on parameters; finite ones alone are asked for.
    """
    if cycle.start is None:
        return replace(cycle, start=at), to
    with np.errstate(all="ignore"):
        steps = _Steps.between(cycle.start, at, to)
        length = min(steps.length, cycle.bound)
        point = None if not length > _LEAST_LENGTH else _parameters(to, steps.end(length))
        remaining = steps.remaining(gain)
    bound = cycle.bound * _FACTOR if length >= cycle.bound else cycle.bound
    ended = replace(
        cycle, start=None, bound=bound, remaining=remaining, remaining_before=cycle.remaining
    )
    if point is None:  # NaN where nothing moves
        return ended, to
    if not (_is_finite(point) and admits(point)):
        return ended.rejected(), to
    return replace(ended, fallback=to, length=length), point


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Two plain steps from θ0: r = θ1 − θ0, and v = (θ2 − θ1) − r, in coordinates.

    `length` is −α = ‖r‖/‖v‖; NaN where nothing moves.
    """

    first: list[Array]
    r: list[Array]
    v: list[Array]
    r_squared: np.float64
    length: float

    @classmethod
    def between(cls, first: Parameters, second: Parameters, third: Parameters) -> Self:
        x0, x1, x2 = (_coordinates(p) for p in (first, second, third))
        r = [b - a for a, b in zip(x0, x1, strict=True)]
        v = [(c - b) - s for b, c, s in zip(x1, x2, r, strict=True)]
        r_squared = _product(r, r)
        return cls(x0, r, v, r_squared, float(np.sqrt(r_squared / _product(v, v))))

    def end(self, length: float) -> list[Array]:
        """θ0 − 2αr + α²v."""
        parts = zip(self.first, self.r, self.v, strict=True)
        return [a + 2.0 * length * s + length**2 * t for a, s, t in parts]

    def remaining(self, gain: float) -> float:
        """What is to come after the step r, which gained so much, if steps go on shrinking alike.

        Aitken's estimate: with steps that shrink by λ = 1 − 1/length each, gains shrink by λ², and
        λ²/(1 − λ²) of this one is still to come. Infinite where steps grow.
        """
        length = self.length
        if not np.isfinite(length):
            return 0.0 if self.r_squared == 0 else math.inf
        if _product(self.r, self.v) > 0:
            return math.inf
        shrink = max(0.0, 1.0 - 1.0 / length) ** 2
        return abs(gain) * shrink / (1.0 - shrink)


def _coordinates(parameters: Parameters) -> list[Array]:
    """Numbers without bounds: log weights, means, log-Cholesky factors of covariances.

    Noise without rows loses a constant share of its weight in each step: its logarithm would
    decide on the length of all steps until it is 0, so that its coordinate is log(π₀ + a unit).
    """
    p, log_weights = parameters, parameters.log_weights
    if p.noise is not None:
        log_weights = np.append(log_weights, np.log(p.noise.weight + _NOISE_UNIT))
    return [log_weights, p.means, p.family.log_factors(p.covariances)]


def _parameters(like: Parameters, coordinates: list[Array]) -> Parameters:
    """The mixture at coordinates, weights summing to 1."""
    log_weights, means, log_factors = coordinates
    weights, noise = np.exp(log_weights - log_weights.max()), like.noise
    if noise is not None:
        own = max(float(np.exp(log_weights[-1])) - _NOISE_UNIT, _LEAST_LEFT * noise.weight)
        weights[-1] = own * np.exp(-log_weights.max())
    weights = weights / weights.sum()
    if noise is not None:
        weights, noise = weights[:-1], noise.with_weight(float(weights[-1]))
    covariances = like.family.covariances_of_log_factors(log_factors)
    return Parameters.of(like.family, weights, means, covariances, noise)


def _product(mine: list[Array], theirs: list[Array]) -> np.float64:
    return np.float64(sum(float((a * b).sum()) for a, b in zip(mine, theirs, strict=True)))


def _is_finite(p: Parameters) -> bool:
    """Whether all is finite; singular covariances have factors that are not."""
    values = (p.weights, p.means, p.covariances, p.precisions_cholesky, p.gaussian_share)
    return all(bool(np.isfinite(value).all()) for value in values)
