"""Where a limit of EM lies: one step below it this happens, one step above it that."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import CollapsePolicy, lost_components
from dgmm.fitting.em.regularisation import regularisation_events
from dgmm.fitting.em.state import FitCandidate
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.parameters import Estimate, Parameters

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
EPS = float(np.finfo(np.float64).eps)


def _isotropic(family: Family, variance: float, means: list[list[float]]) -> Parameters:
    k, d = len(means), len(means[0])
    shape = family.covariance_shape(k, d)
    covariances = np.full(shape, variance)
    if family.name in {"full", "tied"}:
        covariances = covariances * np.eye(d)
    return Parameters.of(family, np.full(k, 1.0 / k), np.array(means), covariances)


@pytest.mark.parametrize(("n_reseeds", "kind"), [(2, "reseeded"), (3, "dropped")])
def test_a_component_is_re_seeded_three_times_and_then_dropped(n_reseeds: int, kind: str) -> None:
    sample = np.linspace(-1.0, 1.0, 40)[:, None]
    covariances = np.array([[[0.4]], [[np.nan]]])
    means = np.array([[0.0], [np.nan]])
    estimate = Estimate(FAMILIES["full"], np.array([40.0, 0.0]), means, covariances)
    policy = CollapsePolicy("reseed", sample, np.zeros(1))
    resolved = policy.resolve(estimate, (0, n_reseeds), (), 1, 0)
    assert [event.kind for event in resolved.events] == [kind]
    assert resolved.reseeds == ((0, n_reseeds + 1) if kind == "reseeded" else (0,))


@FAMILY
def test_a_component_is_on_one_point_below_the_variance_that_rounding_of_a_mean_leaves(
    family: Family,
) -> None:
    """Eight roundings of the mean, squared: ε of 3 and of values below 1."""
    counts = np.array([50.0])
    for mean in (0.0, 3.0):
        limit = (8.0 * EPS) ** 2 * (mean**2 + 1.0)
        on_point, beside = (_isotropic(family, f * limit, [[mean, mean]]) for f in (0.99, 1.01))
        assert not on_point.singular.any()
        assert lost_components(on_point, counts).all()
        assert not lost_components(beside, counts).any()


@FAMILY
@pytest.mark.parametrize(("share", "is_reported"), [(0.0099, False), (0.0101, True)])
def test_regularisation_is_reported_from_a_hundredth_of_the_smallest_eigenvalue(
    family: Family, share: float, is_reported: bool
) -> None:
    parameters = _isotropic(family, 2.0, [[0.0, 0.0], [9.0, 9.0]])
    chosen = FitCandidate(CandidateId(), parameters, 4)
    events = regularisation_events(chosen, np.array([0.0, share * 2.0]))
    covariances = [None] if family.is_shared else [0, 1]
    assert [event.component for event in events] == (covariances if is_reported else [])
    assert all(event.kind == "regularised" and event.iteration == 4 for event in events)
