"""Components without a covariance of their own, and regularisation beyond a feature's variance."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from dgmm import GaussianMixture
from dgmm.config import Job
from dgmm.events import SilentListener
from dgmm.job import run_job
from dgmm.mixture.covariance import FAMILIES
from dgmm.parameter_names import in_python

NO_COVARIANCE = "components without a covariance of their own, "
TOO_LARGE = "reg_covar, "


def clusters(n: int = 1200, seed: int = 4) -> NDArray[np.float64]:
    """Two unit Gaussians 7 apart along x0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    X[::2, 0] += 7.0
    return X


def said(X: object, k: int, begins: str, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GaussianMixture(k, random_state=0, **options).fit(X)
    return [text for w in caught if (text := str(w.message)).startswith(begins)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("value", [-777.0, 65535.0])
def test_a_component_of_a_rare_code_is_named_with_weight_rows_feature_and_value(family, value):
    X = clusters()
    X[:30, 2] = value
    (text,) = said(X, 3, NO_COVARIANCE, covariance_type=family)
    assert text.startswith(f"{NO_COVARIANCE}1 of 3: ")
    assert f"(weight 0.025, 30 rows; x2 = {value:.6g}). " in text
    assert 'set missing="drop"; ' in text


def test_a_few_outliers_with_fewer_rows_than_a_covariance_needs_are_named():
    X = clusters()
    X[:3] = 200 + np.random.default_rng(0).normal(size=(3, 3))
    (text,) = said(X, 3, NO_COVARIANCE)
    assert "(weight 0.0025, 3 rows). " in text
    assert "fewer rows than the 4 that it needs" in text


def test_saturation_at_both_ends_and_rows_of_zeros_are_named():
    Z = np.random.default_rng(1).normal(size=(3000, 2))
    (text,) = said(np.clip(Z, *np.quantile(Z, [0.04, 0.96])), 3, NO_COVARIANCE)
    assert "; x" in text
    X = clusters() + 20
    X[5::25] = 0.0
    (text,) = said(X, 3, NO_COVARIANCE)
    assert "48 rows; x0 = 0, x1 = 0, x2 = 0)" in text


def test_codes_beside_each_other_are_named_though_their_variance_is_not_regularisations():
    X = clusters()
    for place, value in enumerate((-99.0, -98.0, -97.0)):
        X[place::40, 1] = value
    (text,) = said(X, 3, NO_COVARIANCE)
    assert "90 rows; x1 = -99, -98, -97)" in text


def test_the_job_warns_as_the_estimator_does(tmp_path):
    X = clusters()
    X[:30, 2] = -555.0
    X[:, 1] *= 1e-4
    zarr.create_array(str(tmp_path / "rows.zarr"), data=X)
    sections = {
        "data": {"path": str(tmp_path / "rows.zarr")},
        "model": {"n_components": 3, "tol": 1e-3, "reg_covar": 1e-6, "reg_covar_relative": 0},
        "cluster": {"kind": "threads"},
        "output": {"path": str(tmp_path / "run"), "report": False},
    }
    run_job(Job.model_validate(sections), SilentListener())
    record = json.loads((tmp_path / "run/run.json").read_text())
    in_job = [in_python(text) for text in record["warnings"]]
    assert in_job == said(X, 3, "")
    assert any(text.startswith(NO_COVARIANCE) for text in in_job)
    assert any(text.startswith(TOO_LARGE) for text in in_job)


@pytest.mark.parametrize("family", FAMILIES)
def test_ordinary_data_need_no_such_warning(family):
    X = clusters()
    rounded = np.round(X, 1)
    constant = np.column_stack([X, np.full(len(X), 3.0)])
    collinear = np.column_stack([X, X.sum(axis=1)])
    outlying = X * np.random.default_rng(3).standard_t(4, size=(len(X), 1))
    for ordinary in (X, rounded, constant, collinear, outlying, X * 1e6, X.astype(np.float32)):
        assert said(ordinary, 3, NO_COVARIANCE, covariance_type=family) == []
        assert said(ordinary, 3, TOO_LARGE, covariance_type=family) == []


@pytest.mark.parametrize(("unit", "is_said"), [(2e-5, True), (2e-3, True), (1e-2, False)])
def test_reg_covar_beyond_a_tenth_of_a_variance_is_said_with_the_feature(unit, is_said):
    X = clusters()
    X[:, 1] *= unit
    texts = said(X, 2, TOO_LARGE)
    assert len(texts) == is_said
    for text in texts:
        assert text.startswith(
            "reg_covar, 1e-06, is more than 10% of the variance of 1 of 3 features, "
        )
        assert ": x1 (" in text
        assert "Lower reg_covar, or choose 0 for it and raise reg_covar_relative, " in text
    assert said(X, 2, TOO_LARGE, reg_covar=0.0, reg_covar_relative=1e-6) == []


def test_a_code_does_not_hide_that_reg_covar_is_too_large():
    X = clusters() * 1e-4
    X[:30, 1] = -1000.0
    (text,) = said(X, 3, TOO_LARGE)
    assert "of 3 of 3 features" in text


def test_a_degenerate_start_names_covariances_and_reg_covar():
    (text,) = said(clusters() * 1e-5, 2, "DEGENERATE_START: ")
    assert "all means are alike, and all covariances, " in text
    assert text.endswith(
        "choose another init_params, or, where regularisation exceeds the features' variances, "
        "lower reg_covar"
    )


def test_values_whose_squares_nearly_overflow_give_no_numerical_warning():
    X = clusters()
    X[:2, 2] = 3e149, -2e149
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        model = GaussianMixture(3, random_state=0).fit(X)
    assert np.isfinite(model.weights_).all()
