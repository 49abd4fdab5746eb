"""A fit of odd data ends in words and finite parameters, never in a traceback or in silence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters

from dgmm.data.array_dataset import ArrayDataset
from dgmm.errors import DataError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.saved_progress import NoSavedProgress
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.preparation import sample_rows
from dgmm.fitting.settings import FitSettings
from dgmm.mixture import backends as backend
from dgmm.outcome import Outcome

FAMILIES = ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"]


def fitted(X: np.ndarray, k: int = 3, **settings) -> Fit:
    with ThreadExecutor(2) as executor:
        return fit(ArrayDataset(X), executor, FitSettings(k, **settings), SilentListener())


def rows(n: int = 1500, d: int = 3) -> np.ndarray:
    return gaussian_clusters(n, d)[0]


def with_column(values: np.ndarray) -> np.ndarray:
    return np.column_stack([rows(len(values)), values])


def scaled(exponents: list[int]) -> np.ndarray:
    return rows(d=len(exponents)) * 10.0 ** np.array(exponents)


def with_outlier(value: float) -> np.ndarray:
    X = rows()
    X[700] = value
    return X


ODD = {
    "constant column": with_column(np.full(1500, 7.5)),
    "repeated column": with_column(rows()[:, 0]),
    "sum of columns": with_column(rows().sum(axis=1)),
    "integers with ties": np.round(rows() / 4).astype(np.int32),
    "binary": (rows() > rows().mean(axis=0)).astype(bool),
    "identical rows": np.ones((1500, 3)),
    "two distinct rows": np.repeat([[0.0, 0, 0], [1.0, 2, 3]], 750, axis=0),
    "outlier 1e12": with_outlier(1e12),
    "outlier 1e36": with_outlier(9.97e36),
    "scales 1e-12 to 1e12": scaled([-12, 0, 12]),
    "values 1e307": rows() * 1e306,
    "denormals": rows() * 1e-309,
    "offset 1e15": rows() + 1e15,
    "one feature": rows()[:, :1],
    "as many rows as components": rows(3),
    "five rows": rows(5),
    "a pile of equal rows": np.concatenate([rows(900), np.zeros((600, 3))]),
    "minus zero": np.where(np.arange(1500)[:, None] % 2, 0.0, -0.0) + rows(),
}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small passes compiled too."""
    pytest.importorskip("numba", reason="Numba is optional")
    monkeypatch.setattr(backend, "WORTH_COMPILING", 1)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ODD)
def test_odd_data_end_with_finite_parameters_in_compiled_passes(name: str, family: str) -> None:
    test_odd_data_end_with_finite_parameters(name, family, regularised=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("regularised", [True, False])
def test_odd_data_end_with_finite_parameters(name: str, family: str, regularised: bool) -> None:
    settings = {} if regularised else {"reg_covar_relative": 0.0}
    result = fitted(ODD[name], covariance_type=family, max_iter=30, **settings)
    p = result.model.parameters
    assert result.chosen.outcome is not None
    assert result.chosen.outcome.is_usable
    for values in (p.weights, p.means, p.covariances, p.precisions_cholesky):
        assert np.isfinite(values).all()
    assert p.weights.sum() == pytest.approx(1.0)
    assert np.isfinite(result.chosen.history).all()
    scores = result.model.score_samples(ODD[name])
    assert not np.isnan(scores).any()


def test_what_is_odd_is_said() -> None:
    def warned(name: str) -> str:
        return " ".join(fitted(ODD[name], max_iter=5).warnings)

    assert "x3" in warned("constant column")
    assert "x0 = x3" in warned("repeated column")
    assert "row 700" in warned("outlier 1e36")
    with_sum = fitted(ODD["sum of columns"], max_iter=5, reg_covar_relative=0.0)
    assert "linear combinations" in " ".join(with_sum.warnings)


def test_one_component_has_the_mean_and_covariance_of_the_rows() -> None:
    X = rows()
    result = fitted(X, k=1, reg_covar_relative=0.0, tol=0.0, max_iter=2)
    np.testing.assert_allclose(result.model.means[0], X.mean(axis=0), rtol=1e-12)
    covariance = np.cov(X.T, bias=True)
    np.testing.assert_allclose(result.model.component_covariance(0), covariance, rtol=1e-11)


def test_random_responsibilities_that_em_cannot_part_are_a_degenerate_start() -> None:
    X = np.random.default_rng(0).normal(size=(200_000, 2))
    result = fitted(X, k=4, method="random", tol=1e-3, n_sample_starts=0)
    assert result.chosen.outcome is Outcome.DEGENERATE_START


def test_a_component_that_collapses_stands_in_the_log() -> None:
    # 600 equal rows: the component on them has no variance without regularisation.
    X = ODD["a pile of equal rows"]
    for policy, event in (("reseed", "reseeded"), ("drop", "dropped")):
        result = fitted(X, k=4, reg_covar_relative=0.0, on_collapse=policy, n_sample_starts=0)
        assert event in {e.kind for e in result.events}
        if policy == "drop":
            assert result.model.n_components < 4
        else:
            assert result.model.n_components == 4


def test_regularisation_that_is_most_of_a_component_is_noted() -> None:
    X = with_column(rows()[:, 0])
    noted = {e.component for e in fitted(X).events if e.kind == "regularised"}
    assert noted == {0, 1, 2}
    (shared,) = fitted(X, covariance_type="tied").events
    assert shared.component is None
    assert shared.message.startswith("the covariance of all 3 components: regularisation is more")
    assert not fitted(rows()).events


def test_fewer_rows_than_components_are_refused() -> None:
    with pytest.raises(DataError, match="2 rows"):
        fitted(rows(2))


@pytest.mark.parametrize(
    "settings",
    [
        {"n_components": True},
        {"n_components": 3, "seed": -1},
        {"n_components": 3, "n_init": 0},
        {"n_components": 3, "tol": float("inf")},
        {"n_components": 3, "method": ["kmeans"]},
        {"n_components": 3, "missing": None},
    ],
)
def test_settings_that_mean_nothing_are_refused_by_name(settings) -> None:
    name, value = list(settings.items())[-1]
    name = {"method": "initialisation.method"}.get(name, name)
    with pytest.raises(DataError, match=f"^{name}.* is {re.escape(repr(value))}; expected"):
        FitSettings(**settings)


def test_all_rows_missing_are_refused_with_counts() -> None:
    with pytest.raises(DataError, match="x1: 10 NaN"):
        fitted(np.full((10, 2), np.nan), k=1, missing="drop")


def test_more_starts_are_never_worse() -> None:
    X = gaussian_clusters(3000, 2, 6, spread=2.5)[0]
    few = fitted(X, k=6, method="random_from_data", n_init=1)
    many = fitted(X, k=6, method="random_from_data", n_init=5)
    assert many.chosen.mean_log_likelihood >= few.chosen.mean_log_likelihood
    assert [c.restart for c in many.candidates] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("n_features", "n_components", "expected"),
    [(2, 3, 100_000), (2, 5000, 500_000), (1000, 3, 33_554), (10**6, 3, 1000)],
)
def test_the_sample_follows_the_job_and_the_data_alone(n_features, n_components, expected) -> None:
    assert sample_rows(FitSettings(n_components), n_features) == expected


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "method",
    ["kmeans", "k-means++", "random_from_data", "hierarchical", "random", "kmeans_parallel"],
)
def test_every_start_leads_every_family_to_a_mixture(method: str, family: str) -> None:
    X, _ = gaussian_clusters(1200, 3)
    result = fitted(X, covariance_type=family, method=method, max_iter=300)
    single = fitted(X, k=1, covariance_type=family)
    assert result.chosen.mean_log_likelihood > single.chosen.mean_log_likelihood


@pytest.mark.parametrize("family", ["full", "tied"])
@pytest.mark.parametrize("seed", range(8))
def test_a_heavy_outlier_does_not_make_rounding_a_fall(family: str, seed: int) -> None:
    X = np.random.default_rng(seed).normal(size=(652, 10))
    X[7] *= 1e6
    result = fitted(X, k=1, covariance_type=family, tol=1e-6)
    assert result.chosen.outcome is Outcome.CONVERGED


def test_a_row_whose_square_overflows_is_named() -> None:
    X = rows()
    X[700, 1] = -1e200
    with pytest.raises(DataError, match=r"x1 is -1e\+200 in row 700"):
        fitted(X)


class WithWorker(ThreadExecutor):
    """Reports a worker that compiles with that."""

    compiled: str | None = None

    def environment(self) -> dict[str, Any]:
        own = super().environment()
        return own | {"workers": [{"environment": own["driver"] | {"compiled": self.compiled}}]}


@pytest.mark.usefixtures("compiled")
def test_passes_are_compiled_only_where_every_worker_has_the_same() -> None:
    X = rows()
    assert fitted(X, max_iter=2).backend == "numba"
    with WithWorker(1) as executor:
        same = executor.environment()["driver"]["compiled"]
        for executor.compiled, expected in (
            (same, "numba"),
            ("Numba 0.1", "numpy"),
            (None, "numpy"),
        ):
            found = fit(ArrayDataset(X), executor, FitSettings(3, max_iter=2), SilentListener())
            assert found.backend == expected


class Kept(NoSavedProgress):
    """Gives back what an earlier attempt has kept."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        return self.values.setdefault(name, make())


@pytest.mark.usefixtures("compiled")
def test_a_fit_that_goes_on_keeps_its_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, X, settings = Kept(), rows(), FitSettings(3, max_iter=2)
    with ThreadExecutor(1) as executor:
        for _ in range(2):
            found = fit(ArrayDataset(X), executor, settings, SilentListener(), progress=kept)
            assert found.backend == "numba"
            monkeypatch.setattr(backend, "WORTH_COMPILING", 10**9)


@pytest.mark.parametrize(("n", "pairs"), [(400, 2), (24_000, 1)])
def test_over_few_rows_a_second_pair_of_steps_has_to_confirm_the_first(n: int, pairs: int) -> None:
    """The start is all but the optimum: the first pair shows it, and over many rows that is all."""
    X = np.random.default_rng(9).normal(size=(n, 2)) + np.repeat([[0.0], [9.0]], n // 2, axis=0)
    chosen = fitted(X, k=2).chosen
    assert chosen.outcome is Outcome.CONVERGED
    assert chosen.n_iter == {1: 3, 2: 5}[pairs]
