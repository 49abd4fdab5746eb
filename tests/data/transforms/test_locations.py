"""What a component's mean is once the steps' inverse has taken it to the user's units."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.transforms.elementwise import Asinh, Clip, Log, Standardise
from dgmm.data.transforms.fitted_step import ComponentsStep, ElementwiseStep
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.data.transforms.principal_components import PrincipalComponents

NAMES = ("a", "b", "c")
RNG = np.random.default_rng(2)


def alone(kind, columns, transform, names=NAMES):
    return ElementwiseStep(kind, names, columns, transform)


def scaled(columns, names=NAMES):
    m = len(columns)
    return alone("standardise", columns, Standardise(np.arange(m) - 1.0, np.full(m, 2.0)), names)


def logged(*columns, names=NAMES):
    return alone("log", columns, Log(1.0), names)


def clipped(*columns, names=NAMES):
    m = len(columns)
    return alone("clip", columns, Clip(np.full(m, -1.0), np.full(m, 1.0)), names)


def components(n=1):
    """Of a and b."""
    axes = np.linalg.qr(RNG.normal(size=(2, 2)))[0][:n]
    found = PrincipalComponents(np.array([1.0, 2.0]), axes, np.ones(n), 0.9)
    return ComponentsStep(NAMES, (*(f"pc{i + 1}" for i in range(n)), "c"), (((0, 1), found),))


BEHIND = ("pc1", "c")
PROJECTION = "mean of the projection"


def one_of_pc1_and_c():
    """One component of two columns, behind both components of a and b."""
    axes = np.array([[0.6, 0.8]])
    found = PrincipalComponents(np.array([1.0, 2.0]), axes, np.ones(1), 0.9)
    return ComponentsStep(("pc1", "pc2", "c"), ("z", "pc2"), (((0, 2), found),))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), ("mean", "mean", "mean")),
        ((scaled((0, 1)),), ("mean", "mean", "mean")),
        ((logged(1),), ("mean", "median", "mean")),
        ((alone("asinh", (2,), Asinh(2.0)), scaled((0, 2))), ("mean", "mean", "median")),
        ((clipped(0),), ("quantiles", "mean", "mean")),
        ((scaled((0, 1)), components(2)), ("mean", "mean", "mean")),
        ((scaled((0, 1)), components()), (PROJECTION, PROJECTION, "mean")),
        ((logged(0), components(2)), ("median", "mean", "mean")),
        ((logged(0), components()), ("image of the mean", PROJECTION, "mean")),
        ((components(2), one_of_pc1_and_c()), (PROJECTION,) * 3),
        ((components(), logged(0, 1, names=BEHIND)), ("image of the mean",) * 2 + ("median",)),
        ((clipped(0), components()), ("quantiles", PROJECTION, "mean")),
        ((logged(1), components(), clipped(0, names=BEHIND)), ("quantiles", "quantiles", "mean")),
    ],
)
def test_it_follows_from_the_steps(steps, expected):
    found = Preprocessing(NAMES, steps=steps)
    assert tuple(location.value for location in found.locations) == expected


def test_a_mean_is_a_mean_and_a_median_a_median():
    """Rows that are Gaussian behind the steps, taken back: compared with their mean and median."""
    cases = {
        "mean": ((scaled((0, 1, 2)), components(2)), np.mean),
        "median": ((logged(0, 1, 2), scaled((0, 1, 2))), np.median),
    }
    for word, (steps, statistic) in cases.items():
        found = Preprocessing(NAMES, steps=steps)
        assert {location.value for location in found.locations} == {word}
        d = len(found.output_names)
        mean, root = np.array([0.3, -0.2, 0.1])[:d], np.tril(RNG.normal(size=(d, d))) / 2
        # Normal rows, and their reflections in the mean: that of the sample is exact.
        half = RNG.normal(size=(4000, d)) @ root.T
        rows = found.inverse(np.concatenate([mean + half, mean - half]))
        shown = found.inverse(mean[np.newaxis])[0]
        tolerance = 1e-12 if word == "mean" else 2e-3
        np.testing.assert_allclose(statistic(rows, axis=0), shown, rtol=0, atol=tolerance)
        if word == "median":
            assert (np.abs(rows.mean(axis=0) - shown) > 0.01).any()


def test_a_mean_of_the_projection_is_that_of_projected_rows_and_not_of_the_rows():
    """A component that lies off the axis that is kept: its mean does not come back."""
    kept = PrincipalComponents(np.array([1.0, 2.0]), np.array([[0.6, 0.8]]), np.ones(1), 0.9)
    step = ComponentsStep(NAMES, BEHIND, (((0, 1), kept),))
    rows = RNG.normal(size=(400, 3)) + np.array([3.0, -2.0, 1.0])
    found = Preprocessing(NAMES, steps=(step,))
    shown = found.inverse(found.apply(rows).mean(axis=0)[np.newaxis])[0]
    assert [each.value for each in found.locations] == [PROJECTION, PROJECTION, "mean"]
    projected = found.inverse(found.apply(rows))
    np.testing.assert_allclose(projected.mean(axis=0), shown, rtol=0, atol=1e-12)
    # 4 along (0.8, −0.6), give or take the mean of 400 numbers of deviation 1
    assert np.linalg.norm(rows.mean(axis=0) - shown) > 3.5
