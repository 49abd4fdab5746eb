"""Marginals, conditionals, distances, levels of density: against SciPy and numerical integrals."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import stats

from dgmm import GaussianMixture, load_model
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.mixture.covariance import family_named
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import save_model

FAMILIES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")
D, K = 4, 3
#: Units that differ, but for families with one scale for all.
SCALE = np.array([0.25, 1.0, 1024.0, 8.0])
NAMES = ("a", "b", "c", "d")


def model_of(name: str, k: int = K, d: int = D) -> MixtureModel:
    rng = np.random.default_rng(7)
    family = family_named(name)
    roots = rng.normal(size=(k, d, d)) + 1.5 * np.eye(d)
    full = roots @ roots.transpose(0, 2, 1)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
        "spherical": full[:, 0, 0].copy(),
        "tied_diag": np.diagonal(full[0]).copy(),
        "tied_spherical": np.full(family_named("tied_spherical").covariance_shape(k, d), 2.5),
    }[name]
    scale = np.full(d, 4.0) if family.common_scale else SCALE[:d]
    units = Standardisation(10.0 * np.arange(d), scale, np.ones(d), np.zeros(d, np.bool_))
    parameters = Parameters.of(
        family, rng.dirichlet(np.full(k, 4.0)), rng.normal(0, 2, (k, d)), covariances
    )
    threshold, steps = -3.0, None
    return MixtureModel(
        parameters, units, NAMES[:d], threshold, 0.01, steps, {"a": "K", "c": "m"}, tuple(range(k))
    )


def log_density(model: MixtureModel, X: np.ndarray) -> np.ndarray:
    """By SciPy's densities, in user units."""
    each = [
        np.log(w) + stats.multivariate_normal(mean, model.component_covariance(j)).logpdf(X)
        for j, (w, mean) in enumerate(zip(model.weights, model.means, strict=True))
    ]
    return np.logaddexp.reduce(np.reshape(each, (model.n_components, -1)), axis=0)


def rows_of(model: MixtureModel, n: int = 50) -> np.ndarray:
    return model.sample(n, np.random.default_rng(3))[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_marginal_has_the_density_of_its_features_in_the_order_given(name):
    model = model_of(name)
    marginal = model.marginal(["c", 0])
    assert marginal.feature_names == ("c", "a")
    assert marginal.covariance_type == name
    assert marginal.feature_units == {"c": "m", "a": "K"}
    assert marginal.clusters == model.clusters
    assert marginal.anomaly_threshold is None
    X = rows_of(model)[:, [2, 0]]
    each = [
        np.log(w)
        + stats.multivariate_normal(
            mean[[2, 0]], model.component_covariance(j)[np.ix_([2, 0], [2, 0])]
        ).logpdf(X)
        for j, (w, mean) in enumerate(zip(model.weights, model.means, strict=True))
    ]
    np.testing.assert_allclose(
        marginal.score_samples(X), np.logaddexp.reduce(each, axis=0), rtol=1e-9
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_a_conditional_times_the_marginal_is_the_joint_density(name):
    """log p(x_m | x_o) + log p(x_o) = log p(x), row by row."""
    model = model_of(name)
    for row in rows_of(model, 8):
        given = model.conditional({"d": row[3], 1: row[1]})
        assert given.feature_names == ("a", "c")
        assert given.covariance_type == name
        known = model.marginal(["b", "d"]).score_samples(row[None, [1, 3]])
        both = given.score_samples(row[None, [0, 2]]) + known
        np.testing.assert_allclose(both, log_density(model, row[None]), rtol=1e-8)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_conditional_is_the_normalised_slice_of_the_joint_density(name):
    """By integrating the joint density along one feature, with all others held."""
    model = model_of(name)
    row = rows_of(model, 1)[0]
    sd = np.sqrt(model.feature_variances()[:, 0].max())
    grid = np.linspace(
        *(model.means[:, 0].min() - 12 * sd, model.means[:, 0].max() + 12 * sd), 6001
    )
    X = np.repeat(row[None], len(grid), axis=0)
    X[:, 0] = grid
    slice_ = np.exp(log_density(model, X) - log_density(model, X).max())
    step = grid[1] - grid[0]
    density = slice_ / (slice_.sum() * step)
    given = model.conditional({"b": row[1], "c": row[2], "d": row[3]})
    np.testing.assert_allclose(
        np.exp(given.score_samples(grid[:, None])), density, rtol=1e-6, atol=1e-12
    )
    mean = (given.weights @ given.means)[0]
    np.testing.assert_allclose(mean, (grid * density).sum() * step, rtol=1e-6)


@pytest.mark.parametrize("name", ["full", "tied", "diag"])
def test_noise_stays_noise_with_its_posterior_as_weight(name):
    model = model_of(name)
    noise = Noise(0.3, np.full(D, -6.0), np.full(D, 6.0))
    parameters = replace(model.parameters, weights=0.7 * model.weights, noise=noise)
    noisy = replace(model, parameters=parameters)
    for row in rows_of(noisy, 6):
        given = noisy.conditional({"b": row[1], "d": row[3]})
        known = noisy.marginal(["b", "d"])
        posterior = known.predict_proba(row[None, [1, 3]])[0]
        np.testing.assert_allclose([*given.weights, given.noise_weight], posterior, rtol=1e-9)
        both = given.score_samples(row[None, [0, 2]]) + known.score_samples(row[None, [1, 3]])
        joint = np.logaddexp(
            log_density(replace(model, parameters=replace(parameters, noise=None)), row[None]),
            noisy.noise.weighted_log_density,
        )
        np.testing.assert_allclose(both, joint, rtol=1e-8)


def test_the_level_with_noise_is_that_of_rows_drawn_from_the_mixture():
    model = model_of("full", k=1)
    noise = Noise(0.3, np.full(D, -6.0), np.full(D, 6.0))
    parameters = replace(model.parameters, weights=0.7 * model.weights, noise=noise)
    noisy = replace(model, parameters=parameters)
    level = noisy.density_level(0.6, np.random.default_rng(1), n_samples=20_000)
    assert level.standard_error > 0.0
    X = noisy.sample(20_000, np.random.default_rng(2))[0]
    assert abs((noisy.score_samples(X) > level.log_density).mean() - 0.6) < 0.02


def test_values_far_out_give_the_nearest_component_all_weight():
    given = model_of("full").conditional({"a": 1e200})
    assert sorted(given.weights) == [0.0, 0.0, 1.0]
    assert np.isfinite(given.means).all()


def test_a_derived_mixture_is_saved_and_loaded(tmp_path):
    given = model_of("full").conditional({"b": 3.0}).marginal(["c", "a"])
    save_model(given, tmp_path / "model")
    again = load_model(tmp_path / "model")
    X = rows_of(given, 5)
    np.testing.assert_array_equal(again.score_samples(X), given.score_samples(X))


@pytest.mark.parametrize("name", FAMILIES)
def test_distances_are_those_of_scipys_formula(name):
    model = model_of(name)
    X = rows_of(model, 30)
    found = model.mahalanobis(X)
    assert found.shape == (30, K)
    for j in range(K):
        D = X - model.means[j]
        squared = (D * np.linalg.solve(model.component_covariance(j), D.T).T).sum(axis=1)
        np.testing.assert_allclose(found[:, j], np.sqrt(squared), rtol=1e-9)


def test_distances_of_far_rows_are_finite():
    model = model_of("full")
    near, far = model.mahalanobis(np.full((1, D), 1e20)), model.mahalanobis(np.full((1, D), 1e250))
    np.testing.assert_allclose(far / 1e230, near, rtol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("mass", [0.5, 0.99])
def test_the_level_of_one_gaussian_is_exact(name, mass):
    model = model_of(name, k=1)
    level = model.density_level(mass)
    assert level.standard_error == 0.0
    covariance = model.component_covariance(0)
    at_mode = stats.multivariate_normal(model.means[0], covariance).logpdf(model.means[0])
    np.testing.assert_allclose(
        level.log_density, at_mode - 0.5 * stats.chi2(D).ppf(mass), rtol=1e-10
    )


@pytest.mark.parametrize("mass", [0.2, 0.5, 0.9, 0.99])
def test_the_level_of_a_mixture_is_that_of_its_integral_within_its_error(mass):
    """One feature: the density on a grid, sorted, until so much mass is collected."""
    model = model_of("full").marginal([1])
    grid = np.linspace(-60, 80, 400_001)
    density = np.sort(np.exp(log_density(model, grid[:, None])))[::-1]
    enclosed = np.cumsum(density) * (grid[1] - grid[0])
    wanted = np.log(density[np.searchsorted(enclosed, mass)])
    assert abs(enclosed[-1] - 1.0) < 1e-9
    level = model.density_level(mass)
    assert 0.0 < level.standard_error < 0.05
    assert abs(level.log_density - wanted) < 4.0 * level.standard_error


def test_the_error_of_a_level_is_the_spread_over_seeds():
    model = model_of("tied")
    found = [
        model.density_level(0.9, np.random.default_rng(seed), n_samples=2000) for seed in range(60)
    ]
    levels = [level.log_density for level in found]
    error = np.mean([level.standard_error for level in found])
    assert 0.7 < np.std(levels) / error < 1.4
    assert model.density_level(0.9) == model.density_level(0.9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.marginal([]), "expected a list of names"),
        (lambda m: m.marginal("a"), "expected a list of names"),
        (lambda m: m.marginal(0), "features are 0; expected a list of names"),
        (lambda m: m.marginal(None), "expected a list of names"),
        (lambda m: m.marginal(["a", 0]), "feature 'a' is given twice"),
        (lambda m: m.marginal(["z"]), "there is no feature 'z'; expected one of a, b, c, d"),
        (lambda m: m.marginal([4]), "feature 4 is neither a name nor a number from 0 to 3"),
        (lambda m: m.marginal([True]), "feature True is neither"),
        (lambda m: m.conditional({}), "expected a value for each of some features"),
        (lambda m: m.conditional([1.0, 2.0]), "expected a value for each of some features"),
        (lambda m: m.conditional(dict.fromkeys("abcd", 1.0)), "values of all features are given"),
        (lambda m: m.conditional({"a": np.nan}), "the value of feature 'a' is nan"),
        (lambda m: m.conditional({"a": "1"}), "the value of feature 'a' is '1'"),
        (lambda m: m.mahalanobis([[0.0, np.nan, 0.0, 0.0]]), "rows 0 to 0 hold NaN"),
        (lambda m: m.density_level(1.0), "mass is 1.0; expected a number above 0 and below 1"),
        (lambda m: m.density_level(0.5, n_samples=10), "n_samples is 10; expected"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(call: Any, message: str):
    with pytest.raises(DataError, match=message):
        call(model_of("full"))


def test_a_variational_mixture_has_no_marginal_and_no_conditional():
    X = np.random.default_rng(0).normal(size=(300, 2))
    model = GaussianMixture(2, inference="variational", random_state=0, max_iter=3).fit(X).model_
    for call in (lambda: model.marginal([0]), lambda: model.conditional({0: 1.0})):
        with pytest.raises(DataError, match="a variational mixture has no"):
            call()


def unnamed_model() -> MixtureModel:
    return replace(model_of("full", d=3), feature_names=("x0", "x1", "x2"), feature_units={})


@pytest.mark.parametrize("order", list(permutations(range(3), 2)) + list(permutations(range(3))))
@pytest.mark.parametrize("by_name", [True, False])
def test_an_array_without_names_goes_by_position_into_a_marginal_without_names(order, by_name):
    model = unnamed_model()
    marginal = model.marginal([f"x{i}" for i in order] if by_name else order)
    X = rows_of(model)[:, order]
    parts = [
        np.log(w)
        + stats.multivariate_normal(
            mean[list(order)], model.component_covariance(j)[np.ix_(order, order)]
        ).logpdf(X)
        for j, (w, mean) in enumerate(zip(model.weights, model.means, strict=True))
    ]
    expected = np.logaddexp.reduce(parts, axis=0)
    # SciPy inverts covariances in user units, by their eigenvalues.
    condition = max(np.linalg.cond(model.component_covariance(j)) for j in range(K))
    rtol = np.finfo(np.float64).eps * condition
    assert rtol < 1e-6
    np.testing.assert_allclose(marginal.score_samples(X), expected, rtol=rtol)
    np.testing.assert_allclose(marginal.score_samples(X.tolist()), expected, rtol=rtol)
    again = GaussianMixture.from_model(marginal)
    np.testing.assert_allclose(again.score_samples(X), expected, rtol=rtol)


@pytest.mark.parametrize("known", [0, 1, 2])
def test_the_chain_rule_holds_for_arrays_without_names(known):
    model = unnamed_model()
    others = [i for i in range(3) if i != known]
    for row in rows_of(model, 5):
        first = model.marginal([known]).score_samples(row[None, [known]])
        given = model.conditional({f"x{known}": row[known]}).score_samples(row[None, others])
        np.testing.assert_allclose(first + given, model.score_samples(row[None]), rtol=1e-9)


def test_names_of_tables_and_of_stored_rows_move_columns_and_stored_ones_with_a_warning(tmp_path):
    model = unnamed_model()
    X = rows_of(model)
    table = pd.DataFrame(X[:, [1, 0]], columns=["x1", "x0"])
    marginal = model.marginal(["x0", "x1"])
    np.testing.assert_array_equal(marginal.score_samples(table), marginal.score_samples(X[:, :2]))
    zarr.create_array(str(tmp_path / "rows.zarr"), data=np.ascontiguousarray(X[:, :2]))
    turned = model.marginal(["x1", "x0"])
    for asked in (turned.score_samples, turned.mahalanobis):
        with pytest.warns(UserWarning, match="taking x0, x1, … for names that the data have"):
            found = asked(str(tmp_path / "rows.zarr"))
        np.testing.assert_array_equal(found, asked(X[:, [1, 0]]))


def test_the_source_of_a_density_level_may_be_a_seed():
    model = model_of("full")
    level = model.density_level(0.9, 3, 1000)
    assert level == model.density_level(0.9, np.random.default_rng(3), 1000)
    assert level != model.density_level(0.9, n_samples=1000)
    for wrong in ("3", -1, True, 0.5):
        with pytest.raises(DataError, match=r"rng is .* expected a numpy\.random\.Gen"):
            model.density_level(0.9, wrong)
