"""What is said of a fitted mixture: too few rows, components of one row, variances out of range."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.collapse import ComponentEvent
from dgmm.covariance import FAMILIES, Family, Moments, family_named
from dgmm.data.standardisation import Standardisation
from dgmm.fit_warnings import fit_warnings
from dgmm.model import MixtureModel
from dgmm.parameters import Parameters

EPS = np.finfo(np.float64).eps


def model(
    k: int = 2, d: int = 3, weights: tuple[float, ...] = (0.5, 0.5), scale: float = 1.0
) -> MixtureModel:
    """Unit covariances in standardised units."""
    covariances = np.broadcast_to(np.eye(d), (k, d, d))
    parameters = Parameters.of(
        family_named("full"), np.array(weights), np.zeros((k, d)), covariances
    )
    ones = np.ones(d)
    standardisation = Standardisation(0 * ones, scale * ones, ones, np.zeros(d, np.bool_))
    return MixtureModel(parameters, standardisation, tuple(f"x{i}" for i in range(d)))


def smallest_eigenvalue(family: Family, counts: list[int], d: int) -> float:
    """Of all covariances of groups of so many random rows each, about their own means."""
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=(d, count)) for count in counts]
    deviations = [rows - rows.mean(axis=1, keepdims=True) for rows in groups]
    moments = Moments(
        counts=np.array(counts, np.float64),
        first=np.zeros((len(counts), d)),
        second=np.stack([family.second_moment(D, np.ones(D.shape[1])) for D in deviations]),
        scatter=sum(D @ D.T for D in deviations) if family.pooled_scatter else None,
    )
    covariances = family.covariances(moments)
    wholes = [family.full_covariance(covariances, j, d) for j in range(len(counts))]
    return float(np.linalg.eigvalsh(np.stack(wholes)).min())


@pytest.mark.parametrize("name", FAMILIES)
def test_one_row_less_than_the_least_makes_a_covariance_singular(name):
    family, k, d = family_named(name), 3, 4
    least = family.least_rows(k, d)
    counts = [d + 1, 1, least - d - 2] if family.pooled_scatter else [least // k] * k
    assert sum(counts) == least
    assert smallest_eigenvalue(family, counts, d) > 1e-6
    counts[0] -= 1
    assert abs(smallest_eigenvalue(family, counts, d)) < 100 * d * EPS


def test_a_sound_mixture_needs_no_caution():
    # 1 weight, 2·3 means and 2·6 covariances: 19 free parameters.
    assert list(fit_warnings(model(), 95)) == []


def test_less_than_five_rows_for_each_free_parameter_are_too_few():
    (said,) = fit_warnings(model(), 94)
    assert said.startswith("94 rows are too few for the 19 free parameters of a mixture of 2 full ")
    assert "expected at least 95, 5 for each. " in said


def test_too_few_rows_for_covariances_are_said_with_the_number_needed():
    (said,) = fit_warnings(model(), 7)
    assert "5 for each; below 8 regularisation alone holds covariances up. " in said


def event(kind: str, component: int = 0) -> ComponentEvent:
    return ComponentEvent(3, 0, component, kind, f"component {component} {kind}")


def test_one_lost_component_is_said_as_it_was_logged():
    said = list(fit_warnings(model(), 100, [event("regularised"), event("dropped", 5)]))
    assert said == ["component 5 dropped"]


def test_many_lost_components_are_one_line_with_a_count():
    events = [*(event("reseeded", j) for j in range(30)), event("dropped", 4), event("dropped", 2)]
    (said,) = fit_warnings(model(), 100, events)
    assert "emptied 32 times (re-seeded 30, dropped 2); the first: component 0 reseeded" in said


def test_components_of_one_row_are_named():
    (said,) = fit_warnings(model(weights=(0.99, 0.01)), 100)
    assert said.startswith("each of these components has fewer than 2 of 100 rows: 1 (of 2). ")
    assert list(fit_warnings(model(weights=(0.98, 0.02)), 100)) == []


def test_many_of_them_are_counted():
    (said,) = fit_warnings(model(40, weights=(0.9649, *[0.0009] * 39)), 2000)
    assert ": 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 29 more (of 40)" in said


@pytest.mark.parametrize(("scale", "size"), [(2.0**600, "large"), (2.0**-600, "small")])
def test_variances_beyond_float64_are_said_with_their_features(scale, size):
    (said,) = fit_warnings(model(scale=scale), 100)
    assert said.startswith(f"variances of x0, x1, x2 are too {size} for float64 in the data's unit")
