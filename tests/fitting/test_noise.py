"""Noise in whole fits: what one far row does to the means, the box, and where the weight begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dgmm import GaussianMixture
from dgmm.errors import DataError
from dgmm.fitting.noise_start import BOX_SHARE, START_WEIGHT, noise_of_sample, with_noise
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters
from dgmm.model.model_files import load_model, save_model

Array = NDArray[np.float64]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def clusters(n: int, d: int, share: float, far: float = 1e4) -> tuple[Array, Array, Array]:
    """Rows of three clusters of unit variance, uniform ones among them, and one far out.

    Returns the rows, the clusters' centres, and which rows are of no cluster.
    """
    rng = np.random.default_rng(d)
    centres = 8.0 * np.eye(3, d) + 8.0 * np.arange(3)[:, None]
    X = centres[rng.integers(0, 3, n)] + rng.normal(size=(n, d))
    is_noise = np.arange(n) < share * n
    X[is_noise] = rng.uniform(X.min(axis=0), X.max(axis=0), (int(is_noise.sum()), d))
    X[0] = far
    return X, centres, is_noise


def error(found: Array, centres: Array) -> float:
    """The worst error of a mean, in standard deviations of its cluster."""
    distances = np.abs(found[:, None] - centres).max(axis=2)
    return float(distances.min(axis=0).max())


@pytest.mark.parametrize("d", [2, 4])
@pytest.mark.parametrize("family", ["full", "tied"])
def test_one_far_row_moves_no_mean_and_noise_is_found(d: int, family: str) -> None:
    """The box of all rows lets it move one by more than 1 sd (choosing.md, section 4)."""
    X, centres, is_noise = clusters(10_000, d, 0.05)
    fit = GaussianMixture(3, covariance_type=family, noise=True, random_state=0).fit(X)
    assert error(fit.means_, centres) <= 0.2
    labels = fit.predict(X)
    assert labels[0] == 3
    assert (labels[is_noise] == 3).mean() >= (0.6 if d == 2 else 0.9)
    assert (labels[~is_noise] == 3).mean() <= 0.01
    assert fit.model_.noise_weight == pytest.approx(0.05, abs=0.01)
    if (family, d) == ("full", 2):
        assert error(GaussianMixture(3, random_state=0).fit(X).means_, centres) > 1.0


@pytest.mark.parametrize("start", [0.005, 0.3])
def test_where_the_weight_begins_does_not_matter(
    start: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, _, _ = clusters(3000, 3, 0.2)
    usual = GaussianMixture(3, noise=True, tol=1e-8, random_state=0).fit(X)
    monkeypatch.setattr("dgmm.fitting.noise_start.START_WEIGHT", start)
    other = GaussianMixture(3, noise=True, tol=1e-8, random_state=0).fit(X)
    assert other.lower_bound_ == pytest.approx(usual.lower_bound_, abs=1e-5)
    assert other.model_.noise_weight == pytest.approx(usual.model_.noise_weight, abs=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_posteriors_have_a_column_more_and_files_keep_the_noise(family: str, tmp_path: Any) -> None:
    X, _, _ = clusters(600, 2, 0.1)
    fit = GaussianMixture(3, covariance_type=family, noise=True, random_state=0).fit(X)
    R, model = fit.predict_proba(X), fit.model_
    assert R.shape == (600, 4)
    assert np.allclose(R.sum(axis=1), 1.0)
    assert np.array_equal(R.argmax(axis=1), fit.predict(X))
    assert model.n_labels == 4
    assert model.weights.sum() + model.noise_weight == pytest.approx(1.0, abs=1e-12)
    assert model.n_parameters == GaussianMixture.from_model(model).n_parameters
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert np.array_equal(again.score_samples(X), model.score_samples(X))
    assert again.noise is not None
    assert model.noise is not None
    assert again.noise.record() == model.noise.record()
    inside = np.full((1, 2), 1e9)
    expected = np.log(model.noise.weight) - model.noise.log_volume
    assert model.score_samples(inside)[0] == pytest.approx(expected, rel=1e-12)
    rows, labels = model.sample(2000, np.random.default_rng(0))
    assert (labels == 3).mean() == pytest.approx(model.noise_weight, abs=0.03)
    drawn = rows[labels == 3]
    assert ((drawn >= model.noise.low) & (drawn <= model.noise.high)).all()


def test_the_box_is_that_of_quantiles_and_leaves_out_a_row_at_least() -> None:
    rng = np.random.default_rng(0)
    rows, names = rng.normal(size=(10_001, 2)), ("a", "b")
    found = noise_of_sample(rows, None, names)
    assert found.weight == START_WEIGHT
    assert np.allclose(found.low, np.quantile(rows, BOX_SHARE, axis=0), rtol=1e-12)
    assert np.allclose(found.high, np.quantile(rows, 1.0 - BOX_SHARE, axis=0), rtol=1e-12)
    few = rng.normal(size=(50, 2))
    few[7] = 1e4
    box = noise_of_sample(few, None, names)
    assert np.allclose(box.low, np.sort(few, axis=0)[1])
    assert np.allclose(box.high, np.sort(few, axis=0)[-2])
    copies = rng.integers(1, 4, 3000).astype(np.float64)
    own = rng.normal(size=(3000, 2))
    weighted = noise_of_sample(own, copies, names)
    share = BOX_SHARE * copies.sum()
    for low, high, column in zip(weighted.low, weighted.high, own.T, strict=True):
        assert copies[column < low].sum() < share <= copies[column <= low].sum()
        assert copies[column > high].sum() <= share < copies[column >= high].sum()


def test_a_feature_of_one_value_has_no_box() -> None:
    X, _, _ = clusters(500, 2, 0.1, far=0.0)
    X[:, 1] = 3.0
    X[7, 1] = 4.0
    with pytest.raises(DataError, match=r"the box of the noise has no volume.*one value of x1"):
        GaussianMixture(2, noise=True).fit(X)


def test_noise_is_refused_where_it_is_not_defined() -> None:
    with pytest.raises(DataError, match="inference is variational"):
        FitSettings(2, noise=True, inference="variational")
    with pytest.raises(DataError, match="missing is marginalise"):
        FitSettings(2, noise=True, missing="marginalise")
    with pytest.raises(DataError, match="noise is 'yes'"):
        FitSettings(2, noise="yes")  # type: ignore[arg-type]
    X, _, _ = clusters(500, 2, 0.1)
    fit = GaussianMixture(3, noise=True, random_state=0).fit(X)
    with pytest.raises(DataError, match="noise cannot score rows that lack values"):
        GaussianMixture.from_model(fit.model_, missing="marginalise")
    with pytest.raises(DataError, match="has no noise component"):
        fit.to_sklearn()
    with pytest.raises(DataError, match="means_ cannot be assigned: the mixture has noise"):
        fit.means_ = fit.means_ + 1.0


def test_a_start_keeps_the_weight_of_an_earlier_fit_and_takes_this_fits_box() -> None:
    p = Parameters.of(FAMILIES["diag"], np.array([0.6, 0.4]), np.zeros((2, 1)), np.ones((2, 1)))
    box = Noise(0.05, np.zeros(1), np.ones(1))
    begun = with_noise(p, box)
    assert begun.weights.tolist() == [0.6 * 0.95, 0.4 * 0.95]
    later = with_noise(begun, Noise(0.05, np.zeros(1), np.full(1, 2.0)))
    assert later.noise is not None
    assert later.noise.weight == 0.05
    assert later.noise.high.tolist() == [2.0]
    assert np.allclose(with_noise(begun, None).weights, [0.6, 0.4])
    assert with_noise(p, None) is p


def test_a_warm_start_goes_on_to_the_same_optimum() -> None:
    X, _, _ = clusters(2000, 2, 0.1)
    whole = GaussianMixture(3, noise=True, tol=1e-7, random_state=0).fit(X)
    steps = GaussianMixture(3, noise=True, tol=1e-7, max_iter=5, warm_start=True, random_state=0)
    for _ in range(20):
        steps.fit(X)
    assert steps.converged_
    assert steps.model_.noise_weight == pytest.approx(whole.model_.noise_weight, abs=1e-4)
    without = steps.set_params(noise=False).fit(X)
    assert without.model_.noise is None
    assert without.weights_.sum() == pytest.approx(1.0, abs=1e-12)


def test_arrays_of_the_user_are_a_start_beside_noise() -> None:
    X, centres, _ = clusters(3000, 2, 0.1)
    fit = GaussianMixture(
        3, noise=True, means_init=centres, weights_init=np.full(3, 1 / 3),
        precisions_init=np.tile(np.eye(2), (3, 1, 1)), random_state=0,
    ).fit(X)  # fmt: skip
    assert error(fit.means_, centres) <= 0.2
    assert fit.model_.noise_weight == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("alpha", [1.0, 5.0])
def test_the_mode_under_a_prior_takes_noise_as_one_more_component(alpha: float) -> None:
    """Weights (n_k + α − 1)/(n + (k + 1)(α − 1)) at the fixed point; the far row moves no prior."""
    X, centres, _ = clusters(2000, 2, 0.1)
    fit = GaussianMixture(
        3, noise=True, inference="map", weight_concentration_prior=alpha, tol=1e-12,
        max_iter=500, random_state=0,
    ).fit(X)  # fmt: skip
    counts = fit.predict_proba(X).sum(axis=0) + alpha - 1.0
    expected = counts / counts.sum()
    found = [*fit.weights_, fit.model_.noise_weight]
    assert np.allclose(found, expected, atol=1e-6)
    assert error(fit.means_, centres) <= 0.2
    assert np.abs(fit.covariances_ - np.eye(2)).max() < 0.3


def test_reasons_of_noise_are_those_of_the_nearest_component() -> None:
    X, centres, _ = clusters(3000, 2, 0.1)
    fit = GaussianMixture(3, noise=True, random_state=0).fit(X)
    near = int(np.abs(fit.means_ - centres[2]).max(axis=1).argmin())
    row = (centres[2] + [0.0, 30.0])[None]
    assert fit.predict(row).tolist() == [3]
    found = fit.explain_anomalies(np.concatenate([row, fit.means_[:1]]))
    assert found.components.tolist() == [near, 0]
    assert found.names[0, 0] == "x1"


@pytest.mark.parametrize("family", ["full", "diag"])
def test_marginals_and_conditionals_have_the_noise_of_their_features(family: str) -> None:
    """Densities of the mixture, integrated and divided by hand."""
    X, centres, _ = clusters(2000, 3, 0.2)
    model = GaussianMixture(3, covariance_type=family, noise=True, random_state=0).fit(X).model_
    assert model.noise is not None
    marginal = model.marginal(["x2", "x0"])
    assert marginal.noise is not None
    widths = model.noise.high - model.noise.low
    assert marginal.noise.weight == model.noise.weight
    assert marginal.noise.log_volume == pytest.approx(float(np.log(widths[[2, 0]]).sum()))
    far = pd.DataFrame([[1e9, 1e9]], columns=["x2", "x0"])
    expected = np.log(model.noise.weight / (widths[0] * widths[2]))
    assert marginal.score_samples(far).iloc[0] == pytest.approx(expected, rel=1e-9)
    given = model.conditional({"x1": float(centres[0, 1])})
    rows = np.array([[1.0, 2.0], [8.0, 9.0], [1e9, 0.0]])
    whole = np.insert(rows, 1, centres[0, 1], axis=1)
    alone = pd.DataFrame([centres[0, 1]], columns=["x1"])
    own = float(model.marginal(["x1"]).score_samples(alone).iloc[0])
    others = given.score_samples(pd.DataFrame(rows, columns=["x0", "x2"])).to_numpy()
    assert np.allclose(others, model.score_samples(whole) - own, rtol=1e-9)
    assert given.weights.sum() + given.noise_weight == pytest.approx(1.0, abs=1e-12)


def test_one_gaussian_with_noise_has_no_exact_density_level() -> None:
    X = np.random.default_rng(0).normal(size=(3000, 2))
    X[:600] = np.random.default_rng(1).uniform(-9, 9, (600, 2))
    model = GaussianMixture(1, noise=True, random_state=0).fit(X).model_
    level = model.density_level(0.5)
    assert level.standard_error > 0.0
    assert (model.score_samples(X) > level.log_density).mean() == pytest.approx(0.5, abs=0.03)


def test_a_sample_of_three_rows_is_refused_as_too_few_for_a_box() -> None:
    rows = np.random.default_rng(0).normal(size=(4, 2))
    with pytest.raises(DataError, match=r"^noise needs a sample of at least 4 rows.* there are 3"):
        noise_of_sample(rows[:3], None, ("a", "b"))
    assert (noise_of_sample(rows, None, ("a", "b")).high > rows.min(axis=0)).all()
