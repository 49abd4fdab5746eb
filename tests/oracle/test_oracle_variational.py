"""Variational inference against scikit-learn's BayesianGaussianMixture, array by array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm import GaussianMixture
from dgmm.data.standardisation import Standardisation
from dgmm.fitting.inference.prior import ConjugatePrior
from dgmm.fitting.inference.variational import Variational
from dgmm.fitting.inference.weight_posterior import Kind, WeightPosterior
from dgmm.mixture.covariance import Family, family_named
from dgmm.mixture.kernels import ProductKernel
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model, save_model

mixture = pytest.importorskip("sklearn.mixture", reason="scikit-learn is optional")

Array = NDArray[np.float64]
K, D = 5, 4
FAMILIES = pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
KINDS = pytest.mark.parametrize("kind", ["dirichlet_process", "dirichlet_distribution"])


def _rows() -> Array:
    rng = np.random.default_rng(0)
    sd = np.array([1.0, 3.0, 0.5, 2.0])
    return np.concatenate([c + rng.normal(size=(60, D)) * sd for c in (-4, 0, 6)]) + 10.0


def _peer(family: str, kind: Kind, reg: float) -> Any:
    peer = mixture.BayesianGaussianMixture(
        n_components=K, covariance_type=family, weight_concentration_prior_type=kind,
        reg_covar=reg, mean_precision_prior=0.7, weight_concentration_prior=0.3,
        degrees_of_freedom_prior=6.5,
    )  # fmt: skip
    peer._check_parameters(_rows())
    return peer


def _ours(peer: Any, family: Family, units: Standardisation, kind: Kind) -> Variational:
    scale = np.asarray(peer.covariance_prior_).reshape(family.covariance_shape(1, D))
    own = family.rescaled(scale, 1.0 / units.scale)
    prior = ConjugatePrior(family, units.means_from_user(peer.mean_prior_), 0.7, 6.5, own)
    return Variational(prior, WeightPosterior(kind, 0.3), float(len(_rows())))


def _statistics(family: Family, Y: Array, R: Array) -> Statistics:
    scatter = family.scatter(Y) if family.empty_scatter(D) is not None else None
    sums = [np.concatenate([family.second_moment(Y, r), Y @ r, [r.sum()]]) for r in R.T]
    return Statistics(Y.shape[1], 0.0, np.stack(sums), scatter)


def _near(ours: Array, theirs: Array) -> bool:
    return bool(np.abs(ours - theirs).max() <= 1e-10 * np.abs(theirs).max())


@FAMILIES
@KINDS
@pytest.mark.parametrize("reg", [0.0, 0.05])
def test_one_step_is_scikit_learns_in_every_array(
    family: str, kind: Kind, reg: float, tmp_path: Any
) -> None:
    X, member, peer = _rows(), family_named(family), _peer(family, kind, reg)
    units = Standardisation.from_sample(X, common_scale=member.common_scale)
    R = np.random.default_rng(1).dirichlet(np.full(K, 0.3), len(X))
    peer._m_step(X, np.log(R))
    peer._set_parameters(peer._get_parameters())
    inference = _ours(peer, member, units, kind)
    Y = units.apply(X, np.float64)
    estimate = inference.maximise(member, _statistics(member, Y, R))
    found = inference.parameters(estimate, reg / units.scale / units.scale)
    model = MixtureModel(inference.model(found), units, tuple("abcd"))
    assert _near(model.weights, peer.weights_)
    assert _near(model.means, peer.means_)
    assert _near(model.covariances, peer.covariances_)
    assert _near(model.precisions, peer.precisions_)
    assert _near(model.precisions_cholesky, peer.precisions_cholesky_)
    save_model(model, tmp_path / "model")
    for own in (model, load_model(tmp_path / "model")):
        assert _near(own.score_samples(X), peer.score_samples(X))
        assert np.abs(own.predict_proba(X) - peer.predict_proba(X)).max() <= 1e-10
        assert (own.predict(X) == peer.predict(X)).all()


@FAMILIES
@KINDS
def test_the_objective_is_the_sum_of_scores_less_the_divergence_and_never_falls(
    family: str, kind: Kind
) -> None:
    """scikit-learn's bound, which is right just after its M-step, differs by a constant alone."""
    X, member, peer = _rows(), family_named(family), _peer(family, kind, 0.0)
    units = Standardisation.from_sample(X, common_scale=member.common_scale)
    inference = _ours(peer, member, units, kind)
    Y, n = units.apply(X, np.float64), len(X)
    log_resp = np.log(np.random.default_rng(1).dirichlet(np.full(K, 0.3), n))
    objectives = []
    for _ in range(40):
        peer._m_step(X, log_resp)
        statistics = _statistics(member, Y, np.exp(log_resp))
        found = inference.parameters(inference.maximise(member, statistics), np.zeros(D))
        mean = float(Scorer(inference.scored(found)).log_density(Y).mean())
        objectives.append(inference.objective(mean, found))
        log_resp = peer._estimate_log_prob_resp(X)[1]
    assert np.diff(objectives).min() >= -1e-11
    assert isinstance(ProductKernel.of(inference.scored(found)), ProductKernel)
    assert isinstance(found, Parameters)


@KINDS
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_components_that_the_rows_do_not_need_are_pruned(kind: Kind) -> None:
    X = _rows()
    own = GaussianMixture(
        8, inference="variational", weight_concentration_prior_type=kind, random_state=0,
        weight_concentration_prior=1e-3, max_iter=300, tol=1e-6,
    ).fit(X)  # fmt: skip
    assert 3 <= own.model_.n_components < 8
    assert np.abs(np.sort(own.weights_)[-3:] - 1 / 3).max() < 0.02
