"""From the estimator and from models to scikit-learn's class, to ONNX, and back from models."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from clusters import gaussian_clusters, job, write_zarr
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.base import clone
from sklearn.mixture import GaussianMixture as Peer

import dgmm
from dgmm.errors import DataError, NotFittedError
from dgmm.estimator.assigned_arrays import ARRAYS
from dgmm.events import SilentListener
from dgmm.job import run_job
from dgmm.mixture.criteria import n_parameters
from dgmm.model.model_files import save_model

FAMILIES = ["full", "tied", "diag", "spherical"]


@pytest.fixture(scope="module")
def rows():
    X, _ = gaussian_clusters(800, 4, 3, seed=21, spread=3)
    return X * [1.0, 0.25, 3.0, 10.0] - [2.0, 0, 5.0, 1.0]


def fitted(rows, family="full", **parameters):
    options = {"covariance_type": family, "random_state": 0, **parameters}
    return dgmm.GaussianMixture(3, **options).fit(rows)


def agree(peer, mine, rows):
    assert type(peer) is Peer
    np.testing.assert_allclose(peer.score_samples(rows), mine.score_samples(rows), atol=1e-12)
    np.testing.assert_allclose(peer.predict_proba(rows), mine.predict_proba(rows), atol=1e-12)
    np.testing.assert_array_equal(peer.predict(rows), mine.predict(rows))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_estimator_becomes_scikit_learns_own(rows, family):
    mine = fitted(rows, family, tol=1e-4, max_iter=200)
    peer = mine.to_sklearn()
    agree(peer, mine, rows)
    assert peer.score(rows) == pytest.approx(mine.score(rows), rel=1e-13)
    assert peer.bic(rows) == pytest.approx(mine.bic(rows), rel=1e-13)
    assert peer.aic(rows) == pytest.approx(mine.aic(rows), rel=1e-13)
    assert peer.sample(5)[0].shape == (5, 4)
    shared = set(peer.get_params())
    assert peer.get_params() == {n: v for n, v in mine.get_params().items() if n in shared}
    own = {name for name in vars(Peer(3, covariance_type=family).fit(rows)) if name.endswith("_")}
    assert own <= {name for name in vars(peer) if name.endswith("_")}
    for name in own:
        np.testing.assert_array_equal(getattr(peer, name), getattr(mine, name))
    # It can be fitted again, and is no part of the estimator.
    clone(peer).fit(rows)
    peer.means_[0] = 100.0
    assert mine.means_.max() < 100


@pytest.mark.parametrize("family", FAMILIES)
def test_onnx_computes_what_the_estimator_does(rows, family):
    mine = fitted(rows, family)
    peer = mine.to_sklearn()
    graph = to_onnx(
        peer,
        initial_types=[("X", DoubleTensorType([None, 4]))],
        options={id(peer): {"score_samples": True}},
    )
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    labels, posteriors, log_density = session.run(None, {"X": rows})
    assert posteriors.dtype == log_density.dtype == np.float64
    np.testing.assert_array_equal(labels.ravel(), mine.predict(rows))
    np.testing.assert_allclose(posteriors, mine.predict_proba(rows), atol=1e-12)
    np.testing.assert_allclose(log_density.ravel(), mine.score_samples(rows), rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_becomes_an_estimator_bit_for_bit(rows, family, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=["u", "v", "w", "z"])
    model = fitted(frame, family).model_.with_threshold(-15.0, 0.02)
    save_model(model, tmp_path / "model")
    loaded = dgmm.load_model(tmp_path / "model")
    mine = dgmm.GaussianMixture.from_model(loaded, random_state=5, n_threads=1)
    for method in ("predict", "predict_proba", "score_samples"):
        found, expected = getattr(mine, method)(rows), getattr(loaded, method)(rows)
        assert found.tobytes() == expected.tobytes()
    for name in ARRAYS:
        expected = getattr(model, name.removesuffix("_"))
        assert getattr(mine, name).tobytes() == expected.tobytes(), name
    assert mine.model_ is loaded
    for name in ("shift", "scale", "standardised_variance", "is_constant"):
        found = getattr(mine.model_.standardisation, name)
        assert found.tobytes() == getattr(model.standardisation, name).tobytes()
    assert mine.model_.anomaly_threshold == -15.0
    assert mine.feature_names_in_.tolist() == ["u", "v", "w", "z"]
    assert mine.n_features_in_ == 4
    parameters = mine.get_params()
    assert parameters["n_components"] == 3
    assert parameters["covariance_type"] == family
    assert parameters["random_state"] == 5
    assert not hasattr(mine, "converged_")
    agree(mine.to_sklearn(), mine, frame)
    agree(loaded.to_sklearn(), mine, frame)
    assert mine.to_sklearn().feature_names_in_.tolist() == ["u", "v", "w", "z"]


def test_what_a_job_wrote_is_the_estimators(rows, tmp_path):
    data = write_zarr(tmp_path / "rows.zarr", rows)
    run_job(job(data, tmp_path / "run"), SilentListener())
    mine = dgmm.GaussianMixture.from_model(dgmm.load_model(tmp_path / "run"))
    model = mine.model_
    assert mine.predict(str(data)).tobytes() == model.predict(rows).tobytes()
    agree(model.to_sklearn(), mine, rows)
    with pytest.raises(DataError, match="model_ is str; expected a dgmm MixtureModel"):
        dgmm.GaussianMixture.from_model(str(tmp_path / "run"))


@pytest.mark.filterwarnings("ignore:one value is shared by more than 5%")
def test_the_number_of_components_is_the_mixtures():
    X = np.concatenate([gaussian_clusters(300, 2, 2, seed=2)[0], np.full((200, 2), 50.0)])
    mixture = dgmm.GaussianMixture(4, on_collapse="drop", reg_covar=0, random_state=0)
    with pytest.warns(UserWarning, match="dropped"):
        mixture.fit(X)
    assert len(mixture.weights_) < 4
    peer = mixture.to_sklearn()
    assert peer.n_components == len(mixture.weights_)
    assert peer.bic(X[:300]) == pytest.approx(mixture.bic(X[:300]), rel=1e-12)


def test_what_scikit_learn_does_not_have_is_replaced(rows):
    generator = np.random.default_rng(3)
    mine = fitted(rows, init_params="hierarchical", random_state=generator)
    peer = mine.to_sklearn()
    assert peer.init_params == "kmeans"
    assert isinstance(peer.random_state, int)
    assert peer.sample(3)[0].shape == (3, 4)


def test_assigned_attributes_go_along(rows):
    mine = fitted(rows)
    mine.means_ = mine.means_ + 0.5
    agree(mine.to_sklearn(), mine, rows)


def test_units_that_float64_does_not_hold_are_refused():
    made = dgmm.GaussianMixture(1)
    made.weights_, made.means_ = [1.0], [[0.0, 0.0]]
    made.precisions_cholesky_ = [np.eye(2) * 1e200]
    with pytest.raises(DataError, match="cannot be written as float64 in the units of the data"):
        made.to_sklearn()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_number_of_free_parameters_is_public(rows, family):
    mine = fitted(rows, family)
    assert mine.n_parameters == n_parameters(mine.model_.parameters.family, 3, 4)
    assert mine.n_parameters == Peer(3, covariance_type=family).fit(rows)._n_parameters()
    assert not hasattr(dgmm.GaussianMixture(), "n_parameters")
    for call in (lambda m: m.n_parameters, lambda m: m.to_sklearn()):
        with pytest.raises(NotFittedError):
            call(dgmm.GaussianMixture())


def test_without_scikit_learn_the_command_to_install_it_is_named(rows, tmp_path):
    save_model(fitted(rows).model_, tmp_path / "model")
    program = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import dgmm\n"
        f"model = dgmm.load_model({str(tmp_path / 'model')!r})\n"
        "for one in (model, dgmm.GaussianMixture.from_model(model)):\n"
        "    try: one.to_sklearn()\n"
        "    except ImportError as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.count("python -m pip install scikit-learn") == 2
