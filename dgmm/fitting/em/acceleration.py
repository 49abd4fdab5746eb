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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.em.small_groups import small_groups
from dgmm.mixture.noise import Noise
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


@dataclass(frozen=True, slots=True, eq=False)
class PlainStep:
    """A plain step that a candidate took, for the next point to be chosen.

    Attributes
    ----------
    cycle
        Not one that waits to be accepted or rejected.
    at, to
        Its two ends.
    gain
        Of the objective by the step that led to `at`.
    admits
        Whether a pass may be spent on parameters; finite ones alone are asked for.
    """

    cycle: Cycle
    at: Parameters
    to: Parameters
    gain: float
    admits: Callable[[Parameters], bool]


def next_points(steps: Sequence[PlainStep]) -> list[tuple[Cycle, Parameters]]:
    """Where the next pass goes after each plain step, and the cycle that goes on."""
    found = [(replace(step.cycle, start=step.at), step.to) for step in steps]
    pairs = [i for i, step in enumerate(steps) if step.cycle.start is not None]
    to = [steps[i].to for i in pairs]
    keys = [None if p.noise or p.family.is_shared else (p.family.name, p.means.shape) for p in to]
    for own in small_groups(keys, [p.covariances.size for p in to]):
        places = [pairs[i] for i in own]
        ends = _ends([steps[i] for i in places])
        for i, end in zip(places, ends, strict=True):
            found[i] = end
    return found


def _ends(steps: list[PlainStep]) -> list[tuple[Cycle, Parameters]]:
    """The same where a pair of plain steps is complete, of mixtures of one shape."""
    with np.errstate(all="ignore"):
        pairs = _Pairs.of(steps)
        lengths = [
            min(own, step.cycle.bound) for own, step in zip(pairs.lengths, steps, strict=True)
        ]
        # NaN where nothing moves.
        going = [i for i, length in enumerate(lengths) if length > _LEAST_LENGTH]
        to = [steps[i].to for i in going]
        points = dict(zip(going, _mixtures(to, pairs.ends(going, lengths)), strict=True))
    ended = []
    for i, (step, length) in enumerate(zip(steps, lengths, strict=True)):
        cycle = step.cycle
        cycle = replace(
            cycle,
            start=None,
            bound=cycle.bound * _FACTOR if length >= cycle.bound else cycle.bound,
            remaining=pairs.remaining(i, step.gain),
            remaining_before=cycle.remaining,
        )
        point = points.get(i)
        if point is None:
            ended.append((cycle, step.to))
        elif not (_is_finite(point) and step.admits(point)):
            ended.append((cycle.rejected(), step.to))
        else:
            ended.append((replace(cycle, fallback=step.to, length=length), point))
    return ended


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Pairs of plain steps from θ0 of n mixtures: r = θ1 − θ0 and v = (θ2 − θ1) − r.

    Each is a list of coordinates' kinds, (n, …) each. `lengths` are −α = ‖r‖/‖v‖; NaN where nothing
    moves. `r_squared` and `across` are r·r and r·v, (n,).
    """

    first: list[Array]
    r: list[Array]
    v: list[Array]
    r_squared: list[float]
    across: list[float]
    lengths: list[float]

    @classmethod
    def of(cls, steps: list[PlainStep]) -> Self:
        begun = [step.cycle.start or step.at for step in steps]
        x0, x1, x2 = (
            _coordinates(some)
            for some in (begun, [step.at for step in steps], [step.to for step in steps])
        )
        r = [b - a for a, b in zip(x0, x1, strict=True)]
        v = [(c - b) - s for b, c, s in zip(x1, x2, r, strict=True)]
        r_squared = _products(r, r)
        lengths = np.sqrt(r_squared / _products(v, v)).tolist()
        return cls(x0, r, v, r_squared.tolist(), _products(r, v).tolist(), lengths)

    def ends(self, which: list[int], lengths: list[float]) -> list[Array]:
        """θ0 − 2αr + α²v of some of them."""
        if not which:
            return [values[:0] for values in self.first]
        own: Array = np.array([lengths[i] for i in which])
        ends = []
        for parts in zip(self.first, self.r, self.v, strict=True):
            a, s, t = parts if len(which) == len(lengths) else (x[which] for x in parts)
            length = own.reshape(-1, *[1] * (a.ndim - 1))
            ends.append(a + 2.0 * length * s + length**2 * t)
        return ends

    def remaining(self, i: int, gain: float) -> float:
        """What is to come after the i-th step r, which gained so much, if steps go on shrinking.

        Aitken's estimate: with steps that shrink by λ = 1 − 1/length each, gains shrink by λ², and
        λ²/(1 − λ²) of this one is still to come. Infinite where steps grow.
        """
        length = self.lengths[i]
        if not math.isfinite(length):
            return 0.0 if self.r_squared[i] == 0 else math.inf
        if self.across[i] > 0 or length == 0.0:
            return math.inf
        shrink = (1.0 - 1.0 / length) ** 2 if length > 1.0 else 0.0
        if shrink == 1.0:  # the second step is as long as the first, to the last digit
            return math.inf
        return float(abs(gain) * shrink / (1.0 - shrink))


def _coordinates(mixtures: list[Parameters]) -> list[Array]:
    """Numbers without bounds: log weights, means, log-Cholesky factors of covariances, (n, …) each.

    Noise without rows loses a constant share of its weight in each step: its logarithm would
    decide on the length of all steps until it is 0, so that its coordinate is log(π₀ + a unit).
    """
    log_weights = [p.log_weights for p in mixtures]
    for i, p in enumerate(mixtures):
        if p.noise is not None:
            log_weights[i] = np.append(p.log_weights, np.log(p.noise.weight + _NOISE_UNIT))
    kinds = log_weights, [p.means for p in mixtures], [p.log_factors() for p in mixtures]
    return [own[0][None] if len(own) == 1 else np.stack(own) for own in kinds]


def _mixtures(like: list[Parameters], coordinates: list[Array]) -> list[Parameters]:
    """The mixtures at coordinates, weights summing to 1."""
    log_weights, means, log_factors = coordinates
    if len(like) == 1:
        p = like[0]
        weights, noise = _weights(p, log_weights[0])
        covariances = p.family.covariances_of_log_factors(log_factors[0])
        return [Parameters.of(p.family, weights, means[0], covariances, noise)]
    n, k = log_weights.shape
    if not n:
        return []
    family = like[0].family
    weights = np.concatenate(
        [_weights(p, own)[0] for p, own in zip(like, log_weights, strict=True)]
    )
    roots = log_factors.reshape(n * k, *log_factors.shape[2:])
    covariances = family.covariances_of_log_factors(roots)
    return Parameters.of(family, weights, means.reshape(n * k, -1), covariances).parted(n)


def _weights(like: Parameters, log_weights: Array) -> tuple[Array, Noise | None]:
    """Weights (k,), and the noise with its own where there is one."""
    weights, noise = np.exp(log_weights - log_weights.max()), like.noise
    if noise is not None:
        own = max(float(np.exp(log_weights[-1])) - _NOISE_UNIT, _LEAST_LEFT * noise.weight)
        weights[-1] = own * np.exp(-log_weights.max())
    weights = weights / weights.sum()
    if noise is None:
        return weights, None
    return weights[:-1], noise.with_weight(float(weights[-1]))


def _products(mine: list[Array], theirs: list[Array]) -> Array:
    """Scalar products (n,) of coordinates."""
    n = len(mine[0])
    parts = [(a * b).reshape(n, -1).sum(axis=1) for a, b in zip(mine, theirs, strict=True)]
    return np.asarray(sum(parts))


def _is_finite(p: Parameters) -> bool:
    """Whether all is finite; singular covariances have factors that are not."""
    values = (p.weights, p.means, p.covariances, p.precisions_cholesky, p.gaussian_share)
    return all(bool(np.isfinite(value).all()) for value in values)
