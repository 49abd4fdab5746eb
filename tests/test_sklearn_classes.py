"""What scikit-learn's users expect of an estimator's classes, with scikit-learn and without."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import sklearn
from clusters import gaussian_clusters, write_zarr
from sklearn import exceptions as peers
from sklearn.base import BaseEstimator, DensityMixin, clone, is_classifier, is_clusterer
from sklearn.mixture import GaussianMixture as Peer
from sklearn.preprocessing import StandardScaler

from dgmm import GaussianMixture, errors
from dgmm.plain_estimator import PlainEstimator


@pytest.fixture(scope="module")
def rows():
    return gaussian_clusters(900, 2, 3, seed=5)[0]


class Weighted(GaussianMixture):
    """A subclass with parameters of its own, as users write them."""

    def __init__(self, n_components=2, *, prior=0.5, scaler=None, random_state=None):
        super().__init__(n_components, random_state=random_state)
        self.prior = prior
        self.scaler = scaler


class Bare(PlainEstimator):
    """The same signature on the class that stands in where scikit-learn is absent."""

    def __init__(self, n_components=2, *, prior=0.5, scaler=None, random_state=None, **others):
        self.n_components = n_components
        self.prior = prior
        self.scaler = scaler
        self.random_state = random_state


UNFITTED = {
    "predict": lambda m, X: m.predict(X),
    "predict_proba": lambda m, X: m.predict_proba(X),
    "score": lambda m, X: m.score(X),
    "score_samples": lambda m, X: m.score_samples(X),
    "bic": lambda m, X: m.bic(X),
    "aic": lambda m, X: m.aic(X),
    "sample": lambda m, X: m.sample(0),
}


@pytest.mark.parametrize("call", UNFITTED.values(), ids=UNFITTED)
@pytest.mark.parametrize(
    "kind", [peers.NotFittedError, errors.NotFittedError, ValueError, AttributeError]
)
def test_results_before_fit_are_caught_as_scikit_learns_error_and_as_ours(rows, call, kind):
    with pytest.raises(kind, match="this Weighted is not fitted: call fit first"):
        call(Weighted(), rows)


@pytest.mark.parametrize("category", [peers.ConvergenceWarning, errors.ConvergenceWarning])
def test_a_filter_of_either_class_holds_for_the_warning(rows, category):
    mixture = GaussianMixture(3, max_iter=1, tol=0, random_state=0)
    with pytest.warns(category, match="max_iter"):
        mixture.fit(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        mixture.fit(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error", category)
        with pytest.raises(category):
            mixture.fit(rows)


def test_a_filter_set_before_dgmm_is_imported_holds_from_the_first_warning_on():
    program = (
        "import warnings, sklearn.exceptions;"
        "warnings.simplefilter('ignore', sklearn.exceptions.ConvergenceWarning);"
        "import dgmm, numpy as np;"
        "X = np.random.default_rng(1).normal(size=(400, 2));"
        "dgmm.GaussianMixture(2, max_iter=1, tol=0, random_state=0).fit(X)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert said.stderr == b""


def pickled(value):
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
def test_the_error_and_the_warning_are_pickled(copied):
    with pytest.raises(errors.NotFittedError) as caught:
        GaussianMixture().sample()
    again = copied(caught.value)
    assert type(again) is type(caught.value)
    assert again.args == caught.value.args
    assert again.exit_code == caught.value.exit_code


def test_the_estimator_is_one_of_scikit_learns():
    assert isinstance(GaussianMixture(), BaseEstimator)
    assert issubclass(GaussianMixture, DensityMixin)
    for question in (is_clusterer, is_classifier):
        assert question(GaussianMixture()) == question(Peer())


def test_its_repr_is_scikit_learns():
    assert repr(GaussianMixture(4, tol=0.125)) == "GaussianMixture(n_components=4, tol=0.125)"
    long = GaussianMixture(2, means_init=np.arange(4000.0).reshape(2, 2000).tolist())
    assert len(repr(long)) < 1000
    assert "..." in repr(long)
    with sklearn.config_context(print_changed_only=False):
        assert "reg_covar_relative=0.0" in repr(GaussianMixture())


def test_it_is_shown_as_html_before_and_after_fit(rows):
    mixture = GaussianMixture(3, random_state=0)
    assert "GaussianMixture" in mixture._repr_html_()
    assert "fitted" in mixture.fit(rows)._repr_mimebundle_()["text/html"]


def test_a_subclass_keeps_its_parameters():
    mine = Weighted(3, prior=0.25, random_state=7)
    assert mine.get_params() == {
        "n_components": 3,
        "prior": 0.25,
        "scaler": None,
        "random_state": 7,
    }
    assert repr(mine) == "Weighted(n_components=3, prior=0.25, random_state=7)"
    again = clone(mine.set_params(prior=0.75))
    assert (type(again), again.prior, again.n_components) == (Weighted, 0.75, 3)
    with pytest.raises(ValueError, match=r"'tol' for estimator Weighted\(.*'prior'"):
        mine.set_params(tol=1)


@pytest.mark.parametrize("kind", [Weighted, Bare])
def test_parameters_of_an_estimator_among_them_are_reached(kind):
    mine = kind(scaler=StandardScaler())
    assert mine.get_params()["scaler__with_mean"] is True
    assert "scaler__with_mean" not in mine.get_params(deep=False)
    mine.set_params(scaler__with_mean=False, prior=0.125)
    assert (mine.scaler.with_mean, mine.prior) == (False, 0.125)
    with pytest.raises(ValueError, match="Invalid parameter 'nothing' for estimator"):
        mine.set_params(nothing__with_mean=True)


def test_without_scikit_learn_parameters_are_read_from_the_subclass():
    mine, peer = Bare(3, prior=0.25), Weighted(3, prior=0.25)
    assert list(mine.get_params().items()) == list(peer.get_params().items())
    assert repr(mine) == "Bare(n_components=3, prior=0.25)"
    with pytest.raises(ValueError, match="Invalid parameter 'tol'") as caught:
        mine.set_params(tol=1)
    with pytest.raises(ValueError, match="Invalid parameter 'tol'") as expected:
        peer.set_params(tol=1)
    assert str(caught.value).replace("Bare", "Weighted") == str(expected.value)


ABSENT = "import sys; sys.modules['sklearn'] = None; "
# Installed, and too broken to be imported: compiled for another NumPy, say.
BROKEN = (
    "import sys, importlib.abc\n"
    "class Broken(importlib.abc.MetaPathFinder):\n"
    "    def find_spec(self, name, path, target=None):\n"
    "        if name.split('.')[0] == 'sklearn': raise ValueError('numpy.dtype size changed')\n"
    "sys.meta_path.insert(0, Broken())\n"
)


@pytest.mark.parametrize("absence", [ABSENT, BROKEN], ids=["absent", "broken"])
def test_the_estimator_needs_no_scikit_learn(absence):
    program = absence + (
        "import pickle, copy, warnings, numpy as np, dgmm\n"
        "from dgmm import errors\n"
        "X = np.random.default_rng(0).normal(size=(300, 2))\n"
        "m = dgmm.GaussianMixture(2, random_state=0, tol=1)\n"
        "try: m.predict(X)\n"
        "except errors.NotFittedError as error: pickle.loads(pickle.dumps(error))\n"
        "labels = m.fit(X).predict(X)\n"
        "assert (pickle.loads(pickle.dumps(m)).predict(X) == labels).all()\n"
        "assert (copy.deepcopy(m).predict(X) == labels).all()\n"
        "warnings.simplefilter('error', errors.ConvergenceWarning)\n"
        "try: m.set_params(tol=0, max_iter=1).fit(X)\n"
        "except errors.ConvergenceWarning as warning: pickle.loads(pickle.dumps(warning))\n"
        "else: raise SystemExit('no warning')\n"
        "shown = 'GaussianMixture(tol=0, max_iter=1, random_state=0)'\n"
        "assert repr(m.set_params(n_components=1)) == shown, repr(m)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_what_was_pickled_with_scikit_learn_is_opened_without(rows, tmp_path):
    mixture = GaussianMixture(3, random_state=0).fit(rows)
    with pytest.raises(errors.NotFittedError) as caught:
        GaussianMixture().sample()
    kept = tmp_path / "kept.pickle"
    kept.write_bytes(pickle.dumps((mixture, caught.value, rows, mixture.score(rows))))
    program = ABSENT + (
        "import pickle, dgmm.errors\n"
        f"m, error, X, score = pickle.load(open({os.fspath(kept)!r}, 'rb'))\n"
        "assert m.score(X) == score and type(error) is dgmm.errors.NotFittedError\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_neither_the_package_nor_a_job_loads_scikit_learn(rows, tmp_path):
    data = write_zarr(tmp_path / "rows.zarr", rows)
    (tmp_path / "job.yaml").write_text(
        f"data: {{path: {data}}}\nmodel: {{n_components: 3}}\n"
        f"cluster: {{kind: threads}}\noutput: {{path: {tmp_path}/run, report: false}}\n"
    )
    program = (
        "import sys, dgmm, dgmm.errors\nfrom dgmm.cli.entry_point import run\n"
        f"code = run(['run', {os.fspath(tmp_path / 'job.yaml')!r}])\n"
        f"dgmm.load_model({os.fspath(tmp_path / 'run')!r})\n"
        "print(int(code), 'sklearn' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.splitlines()[-1] == "0 False"
