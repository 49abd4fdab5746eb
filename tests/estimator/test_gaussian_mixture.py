"""`dgmm.GaussianMixture`: scikit-learn's interface."""

from __future__ import annotations

import inspect
import threading

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, write_zarr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError as PeersNotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Peer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

import dgmm
from dgmm.errors import ConvergenceWarning, DataError, NotFittedError
from dgmm.execution.threads import ThreadExecutor

FAMILIES = ["full", "tied", "diag", "spherical"]


@pytest.fixture(scope="module")
def clusters():
    return gaussian_clusters(4000)


def fitted(X, **parameters):
    return dgmm.GaussianMixture(3, random_state=0, **parameters).fit(X)


def test_parameters_have_scikit_learns_names_and_defaults():
    mine = inspect.signature(dgmm.GaussianMixture).parameters
    for name, parameter in inspect.signature(Peer).parameters.items():
        assert mine[name].default == parameter.default, name


@pytest.mark.parametrize("family", FAMILIES)
def test_attributes_and_results_are_scikit_learns(clusters, family):
    X, _ = clusters
    # The same start and as many plain iterations: the same numbers, up to rounding.
    start = {
        "weights_init": np.array([0.3, 0.3, 0.4]),
        "means_init": X[[5, 500, 1500]],
        "precisions_init": {
            "full": np.stack([np.eye(3)] * 3),
            "tied": np.eye(3),
            "diag": np.ones((3, 3)),
            "spherical": np.ones(3),
        }[family],
    }
    options = {"covariance_type": family, "max_iter": 8, "tol": 0, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        mine = dgmm.GaussianMixture(3, acceleration="none", **options, **start).fit(X)
    with pytest.warns(UserWarning, match="did not converge"):
        peer = Peer(3, **options, **start).fit(X)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_allclose(
            getattr(mine, name), getattr(peer, name), rtol=1e-9, atol=1e-11, err_msg=name
        )
    np.testing.assert_allclose(mine.score_samples(X), peer.score_samples(X), rtol=1e-10)
    np.testing.assert_allclose(mine.predict_proba(X), peer.predict_proba(X), atol=1e-12)
    assert mine.predict_proba(X).dtype == np.float64
    np.testing.assert_array_equal(mine.predict(X), peer.predict(X))
    assert mine.score(X) == pytest.approx(peer.score(X), rel=1e-12)
    assert mine.bic(X) == pytest.approx(peer.bic(X), rel=1e-12)
    assert mine.aic(X) == pytest.approx(peer.aic(X), rel=1e-12)
    assert mine.lower_bound_ == pytest.approx(peer.lower_bound_, rel=1e-12)
    np.testing.assert_allclose(mine.lower_bounds_, peer.lower_bounds_, rtol=1e-12)
    assert (mine.n_iter_, mine.converged_) == (peer.n_iter_, peer.converged_) == (8, False)
    assert mine.n_features_in_ == 3


@pytest.mark.filterwarnings("ignore:3,000 rows are too few")
@pytest.mark.parametrize("dimension", [2, 8, 32, 128])
@pytest.mark.parametrize("scale", [0.01, 1, 100])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_clusters_are_found_at_any_scale_and_dimension(dimension, scale, family):
    X, truth = gaussian_clusters(3000, dimension, 2, spread=0)
    X = (X + 6 * truth[:, None]) * scale
    mixture = dgmm.GaussianMixture(2, covariance_type=family, reg_covar=0, random_state=0)
    assert adjusted_rand_score(truth, mixture.fit_predict(X)) >= 0.999


# Not spherical: one variance for all features has no form that per-feature scaling leaves alone.
@pytest.mark.filterwarnings("ignore:3,000 rows are too few")
@pytest.mark.parametrize("dimension", [2, 8, 32, 128])
@pytest.mark.parametrize("family", ["full", "tied", "diag"])
def test_two_clusters_are_found_whatever_the_scale_of_each_feature(dimension, family):
    X, truth = gaussian_clusters(3000, dimension, 2, spread=0)
    X = (X + 6 * truth[:, None]) * np.resize([0.01, 1, 100], dimension)
    mixture = dgmm.GaussianMixture(2, covariance_type=family, reg_covar=0, random_state=0)
    assert adjusted_rand_score(truth, mixture.fit_predict(X)) >= 0.999


@pytest.mark.filterwarnings("ignore:variances of x0, x1, x2 are too small for float64")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("unit", [1e-200, 1e-20, 1e20])
def test_precisions_invert_covariances_in_any_unit(clusters, family, unit):
    usual = fitted(clusters[0], covariance_type=family, reg_covar=0)
    mixture = fitted(clusters[0] * unit, covariance_type=family, reg_covar=0)
    assert not np.isnan(mixture.precisions_).any()
    # What float64 cannot hold in these units is infinite or 0, and says nothing.
    with np.errstate(over="ignore", under="ignore"):
        expected = usual.precisions_ / unit / unit
    held = np.isfinite(expected) & np.isfinite(mixture.precisions_)
    # EM ends within tol of the same place from rows that were rounded otherwise.
    np.testing.assert_allclose(
        mixture.precisions_[held], expected[held], rtol=1e-6, atol=1e-6 / unit / unit
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("dtype", "offset", "tolerance"), [(np.float64, 1e8, 1e-6), (np.float32, 1e4, 1e-2)]
)
def test_variances_far_from_the_origin_are_those_of_centred_data(family, dtype, offset, tolerance):
    X, _ = gaussian_clusters(20_000, 4, 2)
    far = (X + offset).astype(dtype)
    near = far.astype(np.float64) - offset
    options = {"covariance_type": family, "random_state": 0, "reg_covar": 0, "tol": 1e-7}
    found = [dgmm.GaussianMixture(2, **options).fit(rows) for rows in (far, near)]
    variances = [m.model_.feature_variances()[np.argsort(m.means_[:, 0])] for m in found]
    np.testing.assert_allclose(variances[0], variances[1], rtol=tolerance)


@pytest.mark.filterwarnings("ignore:components without a covariance")  # of two flags
@pytest.mark.filterwarnings("ignore:features of repeated values")
@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i8", "f2", "f4", ">f4", ">f8", ">i4"])
def test_every_real_type_is_accepted(dtype):
    X, _ = gaussian_clusters(2000, spread=20)
    rng = np.random.default_rng(1)
    rows = (rng.random(X.shape) < 0.3 if dtype == "?" else np.abs(X)).astype(dtype)
    plain = rows.astype(np.float64)
    options = {"random_state": 0, "reg_covar": 1e-2}
    mine = dgmm.GaussianMixture(2, **options).fit(rows)
    theirs = dgmm.GaussianMixture(2, **options).fit(plain)
    # float32 rows may be computed in float32 at first and end elsewhere within tol.
    assert mine.score(rows) == pytest.approx(theirs.score(plain), abs=1e-3)


def test_rows_come_from_zarr_by_path_and_by_object(clusters, tmp_path):
    X, _ = clusters
    path = write_zarr(tmp_path / "rows.zarr", X)
    wanted = fitted(X).predict(X)
    for rows in (str(path), path, zarr.open_array(str(path), mode="r")):
        np.testing.assert_array_equal(fitted(rows).predict(rows), wanted)
    memory = zarr.create_array(store={}, data=X)
    np.testing.assert_array_equal(fitted(memory).predict(memory), wanted)


def test_a_data_frame_gives_its_names_and_may_come_in_another_order(clusters):
    pandas = pytest.importorskip("pandas")
    X, _ = clusters
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    mixture = fitted(frame)
    assert list(mixture.feature_names_in_) == ["a", "b", "c"]
    with pytest.warns(UserWarning, match="features were put in the model's order"):
        turned = mixture.predict(frame[["c", "a", "b"]])
    np.testing.assert_array_equal(turned, mixture.predict(frame))
    with pytest.raises(DataError, match="lack the model's features b"):
        mixture.predict(frame.rename(columns={"b": "z"}))
    assert not hasattr(mixture.fit(X), "feature_names_in_")


def test_columns_of_a_frame_that_are_called_x0_and_x1_go_by_name(clusters):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(clusters[0], columns=["x0", "x1", "x2"])
    mixture = fitted(frame)
    with pytest.warns(UserWarning, match="features were put in the model's order"):
        turned = mixture.predict(frame[["x2", "x0", "x1"]])
    np.testing.assert_array_equal(turned, mixture.predict(frame))
    with pytest.raises(DataError, match="on both sides, the others on one"):
        mixture.predict(frame.rename(columns={"x1": "y"}))


def test_equal_seeds_give_equal_bits_and_threads_do_not_matter(clusters):
    X, _ = clusters
    one, three = fitted(X, n_threads=1), fitted(X, n_threads=3)
    assert one.means_.tobytes() == three.means_.tobytes()
    assert one.score_samples(X).tobytes() == three.score_samples(X).tobytes()


def test_a_part_of_a_start_may_be_given(clusters):
    X, _ = clusters
    means = np.array([[6.0, 0, 0], [6, 12, 6], [12, 12, 18]])
    mixture = dgmm.GaussianMixture(3, means_init=means, random_state=0).fit(X)
    order = np.argmin(((mixture.means_[:, None] - means) ** 2).sum(axis=2), axis=1)
    assert order.tolist() == [0, 1, 2]


def test_warm_start_goes_on_where_the_last_fit_ended(clusters):
    X, _ = clusters
    mixture = dgmm.GaussianMixture(3, warm_start=True, max_iter=1, tol=0, random_state=0)
    scores = []
    for _ in range(3):
        with pytest.warns(ConvergenceWarning):
            scores.append(mixture.fit(X).score(X))
    with pytest.warns(ConvergenceWarning):
        straight = dgmm.GaussianMixture(3, max_iter=3, tol=0, random_state=0).fit(X)
    assert scores == sorted(scores)
    assert scores[-1] == pytest.approx(straight.score(X), rel=1e-12)


@pytest.mark.filterwarnings("ignore:one value is shared by more than 5%")
def test_warm_start_begins_afresh_where_the_last_mixture_has_another_shape(clusters):
    X, _ = clusters
    # 2000 equal rows have no variance: their component is dropped.
    pile = np.concatenate([X[:2000], np.zeros((2000, 3))])
    mixture = dgmm.GaussianMixture(
        4, warm_start=True, on_collapse="drop", reg_covar=0, random_state=0, n_sample_starts=0
    )
    with pytest.warns(UserWarning, match="dropped"):
        mixture.fit(pile)
    assert len(mixture.weights_) < 4
    afresh = dgmm.GaussianMixture(4, random_state=0, reg_covar=0, n_sample_starts=0).fit(X)
    assert mixture.fit(X).means_.tobytes() == afresh.means_.tobytes()
    assert mixture.fit(X[:, :2]).means_.shape == (4, 2)
    assert mixture.set_params(covariance_type="diag").fit(X).covariances_.shape == (4, 3)


def test_a_start_of_arrays_may_be_in_units_of_any_size(clusters):
    X, _ = clusters
    start = {"weights_init": [0.3, 0.3, 0.4], "means_init": X[[5, 500, 1500]]}
    usual = fitted(X, precisions_init=np.stack([np.eye(3)] * 3), reg_covar=0, **start)
    start["means_init"] = start["means_init"] * 2.0**-500
    precisions = np.stack([np.eye(3)] * 3) * 2.0**1000
    tiny = fitted(X * 2.0**-500, precisions_init=precisions, reg_covar=0, **start)
    # Powers of two change no bit.
    assert tiny.predict_proba(X * 2.0**-500).tobytes() == usual.predict_proba(X).tobytes()


def test_missing_rows_are_an_error_or_dropped(clusters):
    X = clusters[0].copy()
    X[7, 1] = np.nan
    with pytest.raises(ValueError, match="x1: 1 NaN"):
        fitted(X)
    with pytest.warns(UserWarning, match="1 of 4,000 rows"):
        mixture = fitted(X, missing="drop")
    labels, scores = mixture.predict(X), mixture.score_samples(X)
    assert labels[7] == -1
    assert np.isnan(scores[7])
    assert np.isfinite(np.delete(scores, 7)).all()
    assert np.isfinite(mixture.score(X))
    assert np.isfinite(mixture.bic(X))
    for criterion in (mixture.score, mixture.bic, mixture.aic):
        with pytest.raises(DataError, match="no row is left: all 10"):
            criterion(np.full((10, 3), np.nan))


def test_samples_follow_the_mixture(clusters):
    mixture = fitted(clusters[0])
    rows, components = mixture.sample(60_000)
    assert rows.shape == (60_000, 3)
    shares = np.bincount(components, minlength=3) / 60_000
    # Five standard errors of a share and of a mean.
    assert np.abs(shares - mixture.weights_).max() < 5 * np.sqrt(0.25 / 60_000)
    for k in range(3):
        error = np.sqrt(mixture.model_.feature_variances()[k] / (components == k).sum())
        deviation = np.abs(rows[components == k].mean(axis=0) - mixture.means_[k])
        assert (deviation < 5 * error).all()
        np.testing.assert_allclose(
            np.cov(rows[components == k].T), mixture.covariances_[k], atol=5 * np.sqrt(2 / 15_000)
        )
    with pytest.raises(ValueError, match="at least 1"):
        mixture.sample(0)


def test_scikit_learns_tools_take_the_estimator(clusters):
    X, truth = clusters
    labels = make_pipeline(StandardScaler(), dgmm.GaussianMixture(3, random_state=0)).fit(X)
    assert adjusted_rand_score(truth, labels.predict(X)) >= 0.999
    search = GridSearchCV(dgmm.GaussianMixture(random_state=0), {"n_components": [1, 3]}, cv=3)
    assert search.fit(X).best_params_ == {"n_components": 3}


def test_scikit_learn_is_told_what_its_own_mixture_tells(clusters):
    mine = dgmm.GaussianMixture()
    assert get_tags(mine) == get_tags(Peer())
    assert get_tags(dgmm.GaussianMixture(missing="drop")).input_tags.allow_nan
    with pytest.raises(PeersNotFittedError):
        check_is_fitted(mine)
    check_is_fitted(mine.fit(clusters[0]))


def test_parameters_are_got_set_shown_and_cloned():
    mixture = dgmm.GaussianMixture(3, tol=0.5)
    assert mixture.get_params()["tol"] == 0.5
    assert mixture.set_params(tol=0.25).tol == 0.25
    assert repr(mixture) == "GaussianMixture(n_components=3, tol=0.25)"
    assert clone(mixture).get_params() == mixture.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'tolerance' for estimator Gauss"):
        mixture.set_params(tolerance=1)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_components": 0}, "n_components is 0; expected an integer of at least 1"),
        ({"n_components": 2.5}, r"n_components is 2\.5"),
        ({"n_components": 3.0}, r"n_components is 3\.0"),
        ({"n_components": True}, "n_components is True"),
        ({"n_init": 1.5}, r"n_init is 1\.5"),
        ({"max_iter": 2.5}, r"max_iter is 2\.5"),
        ({"max_iter": -1}, "max_iter is -1; expected an integer of at least 0"),
        ({"sample_rows": 0}, "sample_rows is 0"),
        ({"sample_rows": -1}, "sample_rows is -1"),
        ({"sample_rows": 100.5}, r"sample_rows is 100\.5"),
        ({"n_threads": 0}, "n_threads is 0"),
        ({"n_threads": 1.0}, r"n_threads is 1\.0"),
        ({"tol": -1.0}, r"tol is -1\.0; expected a finite number of at least 0"),
        ({"tol": np.nan}, "tol is nan"),
        ({"tol": "1e-3"}, "tol is '1e-3'"),
        ({"reg_covar": np.inf}, "reg_covar is inf"),
        ({"reg_covar": True}, "reg_covar is True"),
        ({"reg_covar_relative": -1}, "reg_covar_relative is -1"),
        ({"missing": "drpo"}, "missing is 'drpo'; expected one of error, drop"),
        ({"on_collapse": "x"}, "on_collapse is 'x'; expected one of reseed, drop"),
        ({"covariance_type": ["full"]}, r"covariance_type is \['full'\]"),
        ({"covariance_type": "fulll"}, "expected one of full, tied, diag, spherical"),
        ({"init_params": "luck"}, "luck"),
        ({"n_components": 3, "weights_init": [0.5, 0.4, 0.2]}, "sum to 1"),
        ({"n_components": 3, "means_init": np.zeros((2, 3))}, r"\(2, 3\).*\(3, 3\)"),
        ({"n_components": 1, "precisions_init": -np.eye(3)[None]}, "positive definite"),
        ({"n_components": 1, "precisions_init": np.zeros((1, 3, 3))}, "positive definite"),
        ({"random_state": -4}, "random_state"),
        ({"n_components": 4001}, "4,000 rows"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(clusters, parameters, words):
    with pytest.raises(ValueError, match=words):
        dgmm.GaussianMixture(**parameters).fit(clusters[0])


def test_numpys_numbers_are_taken_as_pythons(clusters):
    options = {"max_iter": np.int16(100), "tol": np.float32(0.5), "sample_rows": np.uint8(200)}
    mixture = dgmm.GaussianMixture(np.int8(3), random_state=np.int64(0), **options)
    assert mixture.fit(clusters[0]).means_.shape == (3, 3)


def test_results_before_fit_are_refused_as_scikit_learn_does(clusters):
    with pytest.raises(NotFittedError):
        dgmm.GaussianMixture().predict(clusters[0])
    assert issubclass(NotFittedError, ValueError)
    with pytest.raises(DataError, match="2 features"):
        fitted(clusters[0]).predict(clusters[0][:, :2])


def test_results_of_few_rows_start_no_thread(monkeypatch):
    X = np.random.default_rng(0).normal(size=(1000, 4))
    mixture = fitted(X, tol=1.0)
    expected = mixture.predict_proba(X)

    def refuse(thread):
        raise AssertionError(f"{thread.name} is started")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert np.array_equal(mixture.predict(X), expected.argmax(axis=1))
    assert np.array_equal(mixture.predict_proba(X), expected)


def test_the_calling_thread_computes_where_rows_are_in_memory(tmp_path, monkeypatch):
    """Where tasks read and decode, memory that they have freed would stay with one thread more."""
    asked = []

    class Recorded(ThreadExecutor):
        def __init__(self, n_threads, *, caller_computes):
            asked.append(caller_computes)
            super().__init__(n_threads, caller_computes=caller_computes)

    monkeypatch.setattr("dgmm.estimator.fitted_scores.ThreadExecutor", Recorded)
    X = np.random.default_rng(0).normal(size=(500, 2))
    path = str(write_zarr(tmp_path / "rows.zarr", X))
    dgmm.GaussianMixture(2, max_iter=0).fit(X).predict(X)
    dgmm.GaussianMixture(2, max_iter=0).fit(path)
    assert asked == [True, True, False]
