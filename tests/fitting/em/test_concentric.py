"""Components with one centre and covariances of their own are a mixture like any other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dgmm import GaussianMixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import convergence
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.parameters import Parameters
from dgmm.outcome import Outcome

SDS = (1.0, 6.0, 40.0)


def core_and_halos(n: int = 1500, d: int = 3) -> np.ndarray:
    rng = np.random.default_rng(21)
    return np.concatenate([sd * rng.normal(size=(n, d)) for sd in SDS])


@pytest.mark.parametrize("family", ["full", "diag", "spherical"])
def test_a_fit_from_its_own_model_converges_there(family: str) -> None:
    X = core_and_halos()
    mixture = GaussianMixture(
        3, covariance_type=family, random_state=2, tol=1e-6, max_iter=400, warm_start=True
    ).fit(X)
    ended = mixture.score(X)
    mixture.set_params(tol=1e-3).fit(X)
    assert mixture.converged_
    assert mixture.score(X) == pytest.approx(ended, abs=1e-6)
    of = FAMILIES[family].variances
    variances = np.sort(of(mixture.covariances_, 3, 3).mean(axis=1))
    assert np.sqrt(variances) == pytest.approx(SDS, rel=0.15)


def begun_at(X: np.ndarray, variances: tuple[float, ...], **changes: Any) -> Fit:
    """One fit from components in the middle of the rows with these variances, standardised."""
    k = len(variances)
    family = FAMILIES["spherical"]
    start = Parameters.of(family, np.full(k, 1 / k), np.zeros((k, 3)), np.array(variances))
    with ThreadExecutor(1) as executor:
        settings = FitSettings(k, "spherical", method="given", **changes)
        return fit(ArrayDataset(X), executor, settings, SilentListener(), lambda _: start)


def test_a_given_start_of_equal_components_is_not_called_degenerate() -> None:
    result = begun_at(core_and_halos(), (1.0, 1.0))
    assert result.chosen.outcome is Outcome.CONVERGED


def test_equal_components_of_a_drawn_start_are_degenerate_and_differing_ones_are_not() -> None:
    ended = replace(begun_at(core_and_halos(), (1.0, 1.0)).chosen, history=(-5.0, -5.0))

    def is_degenerate(variances: list[float], mean: float = 0.0, **changes: Any) -> bool:
        means = np.array([[0.0] * 3, [mean] * 3])
        drawn = Parameters.of(FAMILIES["spherical"], np.full(2, 0.5), means, np.array(variances))
        one = replace(ended, **({"parameters": drawn, "is_given": False} | changes))
        return convergence.is_degenerate(one, tol=1e-3)

    assert is_degenerate([1.0, 1.0])
    assert is_degenerate([1.0, 1.05])
    assert not is_degenerate([1.0, 1.5])
    assert not is_degenerate([1.0, 1.0], mean=0.5)
    assert not is_degenerate([1.0, 1.0], is_given=True)
    assert not is_degenerate([1.0, 1.0], history=(-5.0, -4.9))
