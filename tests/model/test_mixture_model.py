"""A model on disk: whole, checked, without pickle, and bit-identical when it comes back."""

from __future__ import annotations

import pickle
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, write_zarr

import dgmm
from dgmm.errors import DataError, InputNotFoundError
from dgmm.model.model_files import arrays_digest, load_model, model_digest, save_model
from dgmm.storage.array_files import read_arrays, write_arrays
from dgmm.storage.atomic_files import read_json, write_json

FAMILIES = ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    X, _ = gaussian_clusters(2000)
    mixture = dgmm.GaussianMixture(3, covariance_type=request.param, random_state=0)
    return mixture.fit(X).model_.with_threshold(-9.5, 0.01)


def resealed(path: Path, **changed: np.ndarray) -> None:
    """Change arrays and give them a checksum that fits, as a careful forger would."""
    arrays = read_arrays(path / "arrays.npz") | changed
    write_arrays(path / "arrays.npz", **arrays)
    write_json(
        path / "model.json", read_json(path / "model.json") | {"sha256": arrays_digest(arrays)}
    )


def test_a_model_comes_back_with_the_same_bits(model, tmp_path):
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    X, _ = gaussian_clusters(500, seed=1)
    assert again.score_samples(X).tobytes() == model.score_samples(X).tobytes()
    assert again.covariances.tobytes() == model.covariances.tobytes()
    assert again.feature_names == model.feature_names
    assert (again.anomaly_threshold, again.anomaly_quantile) == (-9.5, 0.01)
    np.testing.assert_array_equal(again.is_anomaly(X), model.score_samples(X) < -9.5)


def test_equal_models_are_equal_files(model, tmp_path):
    for name in ("a", "b"):
        save_model(model, tmp_path / name)
    for file in ("arrays.npz", "model.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_user_units_fit_together(model):
    k, d = model.n_components, model.n_features
    for j in range(k):
        covariance = model.component_covariance(j)
        np.testing.assert_allclose(np.diagonal(covariance), model.feature_variances()[j])
    factors = model.precisions_cholesky
    first = factors if model.parameters.family.is_shared else factors[0]
    U = first if np.ndim(first) == 2 else np.diag(np.broadcast_to(first, (d,)))
    np.testing.assert_allclose(U @ U.T @ model.component_covariance(0), np.eye(d), atol=1e-12)


def test_precisions_are_the_covariances_inverses(model):
    inverse = model.parameters.family.inverse(model.covariances)
    np.testing.assert_allclose(model.precisions, inverse, rtol=1e-10, atol=1e-12)


def test_rows_may_be_an_array_a_data_frame_or_zarr(model, tmp_path):
    pandas = pytest.importorskip("pandas")
    # More than one block, and a last one that is no whole number of tiles.
    X, _ = gaussian_clusters(200_001, seed=2)
    named = replace(model, feature_names=("a", "b", "c"))
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])[["c", "a", "b"]]
    path = write_zarr(tmp_path / "rows.zarr", X)
    for name in ("score_samples", "predict", "predict_proba", "is_anomaly"):
        wanted = getattr(model, name)(X)
        for rows in (frame, str(path)):
            np.testing.assert_array_equal(getattr(named, name)(rows), wanted)
    with pytest.raises(DataError, match="lack the model's features b"):
        named.predict(frame.rename(columns={"b": "z"}))


def test_a_model_and_its_estimator_say_the_same():
    X, _ = gaussian_clusters(2000)
    mixture = dgmm.GaussianMixture(3, random_state=0).fit(X)
    for name in ("score_samples", "predict", "predict_proba"):
        mine, models = getattr(mixture, name)(X), getattr(mixture.model_, name)(X)
        assert (mine.dtype, mine.tobytes()) == (models.dtype, models.tobytes())


def test_rows_that_are_not_finite_are_refused_with_their_place(model):
    X = np.zeros((100_000, 3))
    X[99_000, 1] = np.inf
    with pytest.raises(DataError, match=r"row 99000, feature x1\. Drop such rows first"):
        model.predict(X)
    with pytest.raises(DataError, match="2 features"):
        model.predict(X[:, :2])


@pytest.mark.parametrize("name", ["predict", "score_samples", "predict_proba"])
def test_rows_with_gaps_are_refused_with_what_scores_them(model, name):
    X = np.zeros((10, 3))
    X[4, 1] = np.nan
    advice = r'GaussianMixture\.from_model\(model, missing="marginalise"\)'
    with pytest.raises(DataError, match=f"row 4, feature x1.*{advice}"):
        getattr(model, name)(X)
    found = getattr(dgmm.GaussianMixture.from_model(model, missing="marginalise"), name)(X)
    assert np.isfinite(found).all()


def test_labels_need_no_matrix_of_posteriors():
    X, _ = gaussian_clusters(100_000, 2)
    rng = np.random.default_rng(0)
    start = {"means_init": rng.normal(size=(200, 2)), "max_iter": 0, "covariance_type": "spherical"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random means: some have no rows
        model = dgmm.GaussianMixture(200, random_state=0, **start).fit(X[:4000]).model_
    model.predict(X)  # what is loaded or compiled once is not the matrix
    tracemalloc.start()
    try:
        model.predict(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.shape[0] * model.n_components * 8 / 4


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"weights": np.array([0.5, 0.5, 0.5])}, "sum to 1"),
        ({"means": np.full((3, 3), np.nan)}, "means is not a finite array"),
        ({"means": np.zeros((2, 3))}, "means is not a finite array"),
        ({"scale": np.zeros(3)}, "scale"),
    ],
)
def test_a_model_that_is_no_mixture_is_refused(model, tmp_path, changed, words):
    save_model(model, tmp_path / "model")
    resealed(tmp_path / "model", **changed)
    with pytest.raises(DataError, match=words):
        load_model(tmp_path / "model")


def test_a_covariance_that_is_not_positive_definite_is_refused(model, tmp_path):
    save_model(model, tmp_path / "model")
    resealed(tmp_path / "model", covariances=-model.parameters.covariances)
    with pytest.raises(DataError, match="positive definite"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("family", ["full", "tied"])
def test_a_covariance_that_is_not_symmetric_is_refused(family, tmp_path):
    X, _ = gaussian_clusters(400)
    own = dgmm.GaussianMixture(3, covariance_type=family, random_state=0).fit(X).model_
    covariances = own.parameters.covariances.copy()
    covariances[..., 2, 0] += 0.01 * covariances[..., 2, 2]
    save_model(own, tmp_path / "model")
    resealed(tmp_path / "model", covariances=covariances)
    with pytest.raises(DataError, match=r"not symmetric: \[(\d, )?[02], [02]\] is"):
        load_model(tmp_path / "model")


def test_a_flipped_bit_is_seen(model, tmp_path):
    save_model(model, tmp_path / "model")
    arrays = read_arrays(tmp_path / "model" / "arrays.npz")
    means = arrays["means"].copy()
    means.view(np.uint64)[0, 0] ^= np.uint64(1)
    write_arrays(tmp_path / "model" / "arrays.npz", **(arrays | {"means": means}))
    with pytest.raises(DataError, match="checksum"):
        load_model(tmp_path / "model")


def test_truncated_newer_and_pickled_models_are_refused(model, tmp_path):
    path = tmp_path / "model"
    save_model(model, path)
    whole = (path / "arrays.npz").read_bytes()
    (path / "arrays.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="npz"):
        load_model(path)
    (path / "arrays.npz").write_bytes(pickle.dumps({"means": 1}))
    with pytest.raises(DataError, match="npz"):
        load_model(path)
    (path / "arrays.npz").write_bytes(whole)
    write_json(path / "model.json", read_json(path / "model.json") | {"schema_version": 99})
    with pytest.raises(DataError, match="update dgmm"):
        load_model(path)
    with pytest.raises(InputNotFoundError, match=r"model\.json"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "broken",
    [{}, {"n_components": "three"}, {"feature_names": 7}, {"covariance_type": "round"}],
    ids=["emptied", "text-for-a-number", "number-for-names", "unknown-family"],
)
def test_a_description_that_makes_no_sense_is_refused_in_words(model, tmp_path, broken):
    path = tmp_path / "model"
    save_model(model, path)
    description = read_json(path / "model.json")
    whole = {"format": "dgmm-model", "schema_version": 1, "sha256": description["sha256"]}
    write_json(path / "model.json", description | broken if broken else whole)
    with pytest.raises(DataError):
        load_model(path)


def test_a_row_without_a_density_is_an_anomaly_under_any_threshold(model, tmp_path):
    far = np.full((2, model.n_features), 3.0)
    far[1] = 1e200
    for threshold in (-1e300, -np.inf):
        changed = model.with_threshold(threshold, 0.001)
        np.testing.assert_array_equal(changed.is_anomaly(far), [False, True])
        save_model(changed, tmp_path / "model")  # earlier versions wrote -inf
        np.testing.assert_array_equal(load_model(tmp_path / "model").is_anomaly(far), [False, True])


def test_units_are_saved_and_rows_in_others_refused(model, tmp_path):
    xarray = pytest.importorskip("xarray")
    stated = replace(model, feature_names=("a", "b", "c"), feature_units={"a": "K", "c": "m s-1"})
    save_model(stated, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.feature_units == stated.feature_units
    assert model_digest(loaded) == model_digest(stated)
    X, _ = gaussian_clusters(100, seed=2)

    def data(**units: str) -> object:
        columns = zip("abc", X.T, strict=True)
        return xarray.Dataset({n: ("row", x, {"units": units.get(n, "1")}) for n, x in columns})

    wanted = model.predict(X)
    np.testing.assert_array_equal(loaded.predict(data(a="K", c="m/s")), wanted)
    with pytest.raises(DataError, match="a is in degC, and in the model in K"):
        loaded.predict(data(a="degC", c="m/s"))
    file = tmp_path / "model" / "model.json"
    file.write_text(file.read_text().replace('"m s-1"', "3"))
    with pytest.raises(DataError, match=r"model\.json: feature_units absent or of the wrong kind"):
        load_model(tmp_path / "model")


def test_an_estimator_compares_the_units_of_labelled_arrays():
    xarray = pytest.importorskip("xarray")
    X = xarray.DataArray(gaussian_clusters(300)[0], dims=("row", "x"), attrs={"units": "K"})
    mixture = dgmm.GaussianMixture(2, random_state=0, max_iter=2, tol=1e9).fit(X)
    assert mixture.model_.feature_units == {"x0": "K", "x1": "K", "x2": "K"}
    assert len(mixture.predict(X.values)) == 300
    with pytest.raises(DataError, match="x0 is in degC, and in the model in K"):
        mixture.predict(X.assign_attrs(units="degC"))


def test_a_model_shows_its_size_in_one_line():
    X = np.random.default_rng(0).normal(size=(100, 3))
    model = dgmm.GaussianMixture(2, covariance_type="tied").fit(X).model_
    assert repr(model) == "<MixtureModel: tied, k = 2, d = 3>"
