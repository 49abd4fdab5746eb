"""Extrapolation from two plain steps: where it leads, how long it may be, what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dgmm.fitting.em.acceleration import Cycle, PlainStep, next_points
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.parameters import Parameters

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
EPS = float(np.finfo(np.float64).eps)


def next_point(
    cycle: Cycle,
    at: Parameters,
    to: Parameters,
    gain: float,
    admits: Callable[[Parameters], bool],
) -> tuple[Cycle, Parameters]:
    """After one step alone."""
    return next_points([PlainStep(cycle, at, to, gain, admits)])[0]


def anything(_: Parameters) -> bool:
    return True


def sequence(family: Family, rate: float, *, k: int = 3, d: int = 4) -> Iterator[Parameters]:
    """Parameters whose coordinates near a limit by the same rate at every step; the limit first."""
    rng = np.random.default_rng(5)
    weights = rng.uniform(0.5, 1.0, size=k)
    means, away = rng.normal(size=(2, k, d))
    roots, aside = (rng.normal(scale=0.3, size=family.covariance_shape(k, d)) for _ in range(2))
    if family.name in {"full", "tied"}:
        roots, aside = np.tril(roots), np.tril(aside)
    for share in (0.0, *(rate**n for n in range(6))):
        yield Parameters.of(
            family,
            weights / weights.sum(),
            means + share * away,
            family.covariances_of_log_factors(roots + share * aside),
        )


@FAMILY
@pytest.mark.parametrize("rate", [0.5, 0.9, -0.4])
def test_steps_that_shrink_at_one_rate_are_followed_to_their_limit(
    family: Family, rate: float
) -> None:
    """‖r‖/‖v‖ = 1/(1 − rate), and 1 − 2(1 − rate)/(1 − rate) + (1 − rate)²/(1 − rate)² = 0."""
    limit, first, second, third, *_ = sequence(family, rate)
    cycle, point = next_point(Cycle(start=first, bound=64.0), second, third, 0.1, anything)
    if rate < 0:  # a length below 1 is never taken: the plain step is
        assert point is third
        assert not cycle.is_extrapolated
        return
    assert cycle.fallback is third
    # Rounding of coordinates of size 3, times α² for the second difference.
    allowed = 64 * EPS * 3.0 / (1.0 - rate) ** 2
    for name in ("weights", "means", "covariances"):
        difference = np.abs(getattr(point, name) - getattr(limit, name)).max()
        assert difference <= allowed * np.abs(getattr(limit, name)).max(), name


def test_weights_move_in_logarithms_and_sum_to_one() -> None:
    family = FAMILIES["spherical"]
    logs = np.log([0.2, 0.3, 0.5]) + np.outer([4.0, 2.0, 1.0], [0.1, 0.0, -0.1])
    weights = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    first, second, third = (Parameters.of(family, w, np.zeros((3, 2)), np.ones(3)) for w in weights)
    _, point = next_point(Cycle(start=first, bound=64.0), second, third, 0.1, anything)
    x = np.log(weights)
    r, v = x[1] - x[0], x[2] - 2 * x[1] + x[0]
    length = np.sqrt((r**2).sum() / (v**2).sum())
    expected = np.exp(x[0] + 2 * length * r + length**2 * v)
    np.testing.assert_allclose(point.weights, expected / expected.sum(), rtol=1e-13)
    assert abs(point.weights.sum() - 1.0) <= 3 * EPS


def test_the_bound_begins_at_a_plain_step_and_grows_fourfold_where_it_is_reached() -> None:
    _, *steps = sequence(FAMILIES["diag"], 0.9)  # the length asked for is 10
    first, second, third = steps[:3]
    begun, to = next_point(Cycle(), first, second, 0.1, anything)
    assert (begun.start, to) == (first, second)
    plain, to = next_point(begun, second, third, 0.1, anything)
    assert to is third
    assert (plain.start, plain.fallback, plain.bound) == (None, None, 4.0)
    bounds = [4.0]
    for _ in range(3):
        cycle, point = next_point(
            Cycle(start=first, bound=bounds[-1]), second, third, 0.1, anything
        )
        assert cycle.is_extrapolated
        distance = np.abs(point.means - first.means).max() / np.abs(second.means - first.means)
        length = min(bounds[-1], 10.0)
        assert distance.max() >= 2 * length - length**2 * 0.1 - 1e-9
        bounds.append(cycle.bound)
    assert bounds == [4.0, 16.0, 16.0, 16.0]


def test_a_step_that_led_astray_shortens_the_next_ones() -> None:
    _, first, second, third, *_ = sequence(FAMILIES["diag"], 0.9)
    cycle, _ = next_point(Cycle(start=first, bound=16.0), second, third, 0.1, anything)
    back = cycle.rejected()
    assert (back.start, back.fallback, back.bound) == (None, None, 4.0)
    assert Cycle(bound=1.0).rejected().bound == 1.0


def test_a_step_that_is_not_admitted_costs_no_pass() -> None:
    _, first, second, third, *_ = sequence(FAMILIES["full"], 0.9)
    asked: list[Parameters] = []

    def refuses(parameters: Parameters) -> bool:
        asked.append(parameters)
        return False

    cycle, to = next_point(Cycle(start=first, bound=16.0), second, third, 0.1, refuses)
    assert to is third
    assert len(asked) == 1
    assert (cycle.start, cycle.fallback, cycle.bound) == (None, None, 4.0)


@FAMILY
def test_a_step_beyond_float64_is_refused_unasked(family: Family) -> None:
    first, second, third = (
        Parameters.of(p.family, p.weights, p.means, p.family.rescaled(p.covariances, scale))
        for p in list(sequence(family, 0.9))[:1]
        for scale in np.exp([[0.0] * 4, [100.0] * 4, [199.0] * 4])
    )

    def unasked(_: Parameters) -> bool:
        raise AssertionError

    _, to = next_point(Cycle(start=first, bound=1e4), second, third, 0.1, unasked)
    assert to is third


@FAMILY
def test_parameters_that_do_not_move_are_left_where_they_are(family: Family) -> None:
    at = next(sequence(family, 0.5))
    cycle, to = next_point(Cycle(start=at), at, at, 0.1, anything)
    assert to is at
    assert not cycle.is_extrapolated


@pytest.mark.parametrize(
    ("last", "before", "once", "twice"),
    [
        (0.9e-4, 2e-3, True, False),
        (0.9e-4, 0.9e-3, True, True),
        (0.9e-3, 0.9e-3, True, True),
        (0.9e-3, 1.1e-3, False, False),
        (1.1e-3, 0.0, False, False),
        (0.0, np.inf, True, False),
        (np.inf, np.inf, False, False),
    ],
)
def test_little_is_to_come_by_two_estimates_or_by_one_far_below_the_limit(
    last: float, before: float, once: bool, twice: bool
) -> None:
    cycle = Cycle(remaining=last, remaining_before=before)
    assert cycle.expects_less_than(1e-3) is once
    assert cycle.expects_less_than(1e-3, twice=True) is twice


@pytest.mark.parametrize(("r", "v"), [(0.0, 1.0), (1.0, 1e-17), (1.0, 0.0)])
def test_of_steps_that_do_not_shrink_the_gain_to_come_is_infinite(r: float, v: float) -> None:
    """Nor do they divide by 0: the first is none, or the second as long to the last digit."""
    at = next(sequence(FAMILIES["diag"], 0.9))

    def moved(steps: int, aside: float) -> Parameters:
        means = np.zeros(at.means.shape)
        means[0, :2] = steps * r, aside
        return Parameters.of(at.family, at.weights, means, at.covariances)

    first, second, third = moved(0, 0.0), moved(1, 0.0), moved(2, v)
    cycle, _ = next_point(Cycle(start=first), second, third, 0.1, anything)
    assert cycle.remaining == np.inf
