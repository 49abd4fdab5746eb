"""As many components as were asked for, or fewer and a warning that gives both numbers."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
import pytest
from clusters import job, write_zarr

import dgmm
from dgmm.errors import DataError
from dgmm.events import SilentListener
from dgmm.fitting.em.collapse import CollapsePolicy
from dgmm.job import run_job
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Estimate

FEWER = re.compile(r"the mixture has (\d+) of the (\d+) components that were asked for: ")


def repeated(distinct, n, d, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(distinct, d))[rng.integers(distinct, size=n)]


RNG = np.random.default_rng(12)
ROWS = {
    "fewer distinct rows than components": (repeated(4, 90, 3, 1), 7),
    "one distinct row": (np.full((40, 2), 3.7), 3),
    "as many distinct rows as components": (repeated(6, 200, 2, 2), 6),
    "duplicates": (repeated(25, 150, 2, 3), 9),
    "as many components as rows": (RNG.normal(size=(15, 2)), 15),
    "half as many components as rows": (RNG.normal(size=(40, 3)), 20),
    "counts": (RNG.poisson(1.3, size=(250, 2)), 7),
    "flags": (RNG.integers(2, size=(250, 3)), 9),
    "one flag": (RNG.integers(2, size=(250, 1)), 4),
    "a pile of equal rows": (np.concatenate([RNG.normal(size=(150, 2)), np.full((60, 2), 9)]), 5),
}


def warned(X, k, **parameters):
    """The fitted mixture and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mixture = dgmm.GaussianMixture(k, random_state=0, **parameters).fit(X)
    return mixture, [str(one.message) for one in caught]


@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ROWS)
def test_fewer_components_than_asked_for_are_never_silent(name, family, reg_covar):
    X, k = ROWS[name]
    for init in ("kmeans", "random"):
        options = {"covariance_type": family, "reg_covar": reg_covar, "init_params": init}
        mixture, texts = warned(X, k, **options)
        left = len(mixture.weights_)
        told = [found.groups() for text in texts if (found := FEWER.match(text))]
        assert told == ([(str(left), str(k))] if left < k else []), init
        assert np.isfinite(mixture.score(X))


def test_the_warning_says_why_and_what_to_do():
    X, k = ROWS["half as many components as rows"]
    mixture, texts = warned(X, k, reg_covar=0)
    assert len(mixture.weights_) < k
    (text,) = [text for text in texts if FEWER.match(text)]
    assert re.search(r"re-seeded \d+, dropped \d+\); the first dropped one: component \d+ of", text)
    assert "; dropped, as it was re-seeded 3 times before. Raise reg_covar, lower n_comp" in text


def test_more_components_than_rows_are_refused():
    with pytest.raises(DataError, match="11 rows cannot be parted into 12 components"):
        dgmm.GaussianMixture(12).fit(RNG.normal(size=(11, 2)))


def test_a_job_says_the_same_in_its_record_and_report(tmp_path):
    X, k = ROWS["half as many components as rows"]
    asked = job(
        write_zarr(tmp_path / "rows.zarr", X),
        tmp_path / "run",
        model={"n_components": k, "reg_covar_relative": 0.0},
        output={"report": True},
    )
    run_job(asked, SilentListener())
    record = json.loads((tmp_path / "run/run.json").read_text())
    (text,) = [text for text in record["warnings"] if FEWER.match(text)]
    model = dgmm.load_model(tmp_path / "run")
    assert FEWER.match(text).groups() == (str(model.n_components), str(k))
    assert FEWER.match(text)[0] in (tmp_path / "run/report.html").read_text()


def test_rows_behind_a_pile_of_equal_ones_are_found_to_re_seed_at():
    """The rows that fit worst are all alike, and a component has been re-seeded there before."""
    sample = np.concatenate([np.full((1500, 1), 50.0), np.linspace(-1, 1, 40)[:, None]])
    family = FAMILIES["full"]
    counts, means = np.array([40.0, 0.0]), np.array([[0.0], [np.nan]])
    covariances = np.array([[[0.4]], [[np.nan]]])
    policy = CollapsePolicy("reseed", sample, np.zeros(1))
    resolved = policy.resolve(Estimate(family, counts, means, covariances), (1, 1), (0,), 2, 0)
    assert [event.kind for event in resolved.events] == ["reseeded"]
    assert len(resolved.parameters.weights) == 2
    place = resolved.parameters.means[1, 0]
    assert abs(place) == 1.0
    first = CollapsePolicy("reseed", sample, np.zeros(1))
    resolved = first.resolve(Estimate(family, counts, means, covariances), (0, 0), (), 1, 0)
    assert resolved.parameters.means[1, 0] == 50.0
    assert np.isfinite(Scorer(resolved.parameters).log_density(sample.T)).all()
