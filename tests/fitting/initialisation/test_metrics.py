"""In which units starts measure distance: what each metric divides by."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.initialisation import METRICS, distance_scale
from dgmm.fitting.initialisation.metrics import POOLED_FEATURES, POOLED_ROWS
from dgmm.fitting.preparation import prepare
from dgmm.fitting.settings import FitSettings

N = 4000


def scales_in_user_units(X: np.ndarray) -> dict[str, np.ndarray]:
    """What each metric divides user units by, relative to the last feature."""
    with ThreadExecutor(1) as executor:
        prepared = prepare(ArrayDataset(X), executor, FitSettings(3))
    of = prepared.standardisation
    found = {m: of.scale / distance_scale(m, of, prepared.sample) for m in METRICS}
    return {m: scale / scale[-1] for m, scale in found.items()}


def separated(n_clusters: int, distance: float = 20.0, n: int = N) -> np.ndarray:
    """One feature of unit clusters, one of unit noise."""
    X = np.random.default_rng(5).normal(size=(n, 2))
    X[:, 0] += distance * (np.arange(n) % n_clusters)
    return X


def test_own_units_are_one_scale_for_all_features() -> None:
    X = separated(2) * [1e6, 1e-6]
    ratio = scales_in_user_units(X)["units"][0]
    assert ratio == pytest.approx(1.0)


def test_deviations_and_interquartile_ranges_follow_the_distance_of_clusters() -> None:
    X = separated(2, 20.0)
    found = scales_in_user_units(X)
    quartiles = np.subtract(*np.quantile(X, [0.75, 0.25], axis=0))
    assert found["sd"][0] == pytest.approx(X[:, 0].std() / X[:, 1].std(), rel=1e-6)
    assert found["iqr"][0] == pytest.approx(quartiles[0] / quartiles[1], rel=0.05)
    assert found["iqr"][0] > 10.0


@pytest.mark.parametrize("n_clusters", [1, 2, 3, 4, 5, 6, 8, 11])
@pytest.mark.parametrize("factor", [1e-9, 1.0, 1e9])
def test_pooled_deviations_are_those_within_clusters(n_clusters: int, factor: float) -> None:
    X = separated(n_clusters) * [factor, 1.0]
    found = {m: scale[0] / factor for m, scale in scales_in_user_units(X).items()}
    # Of four clusters or six, five or eight are made: one that is cut leaves less of its deviation.
    assert 0.7 < found["pooled"] < 1.1
    if n_clusters > 1:
        assert found["sd"] > 9.0


def test_with_very_many_features_pooled_deviations_are_those_of_all_rows() -> None:
    X = np.random.default_rng(8).normal(size=(300, POOLED_FEATURES + 1))
    X[::2] += 30.0
    found = scales_in_user_units(X)
    np.testing.assert_array_equal(found["pooled"], found["sd"])


@pytest.mark.parametrize("n", [2, 5, 50])
def test_few_and_equal_values_have_a_scale_in_every_metric(n: int) -> None:
    X = np.repeat([[3.0, 7.0]], n, axis=0)
    X[: n // 2, 0] = 4.0
    with ThreadExecutor(1) as executor:
        prepared = prepare(ArrayDataset(X), executor, FitSettings(1))
    for metric in METRICS:
        scale = distance_scale(metric, prepared.standardisation, prepared.sample)
        assert (scale > 0).all()
        assert np.isfinite(prepared.sample * scale).all()


def test_pooled_deviations_take_rows_from_all_over_a_large_sample() -> None:
    X = np.random.default_rng(6).normal(size=(3 * POOLED_ROWS, 2))
    X[: 2 * POOLED_ROWS, 0] = 0.0
    X[2 * POOLED_ROWS :, 0] *= 100.0
    found = scales_in_user_units(X)["pooled"][0]
    assert 10.0 < found < 100.0
