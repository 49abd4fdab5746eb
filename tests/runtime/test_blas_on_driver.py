"""Whatever the driver multiplies or factors, it does so with one thread of BLAS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import gaussian_clusters, write_zarr

pytestmark = pytest.mark.timeout(120)

PROGRAM = '''
import sys
import traceback
import warnings

import numpy as np

import dgmm
from clusters import job
from dgmm.mixture.covariance import FAMILIES
from dgmm.runtime import blas_threads
from dgmm.job import predict_job, run_job
from dgmm.job.planning import plan_job
from dgmm.events import SilentListener
from dgmm.report import write_report

ALGEBRA = {
    "precisions", "precisions_cholesky", "inverse", "whiten", "linear_parameters", "second_moment",
    "quadratic_parameters", "log_factors", "covariances_of_log_factors", "pooled",
    "precision_bound", "common_density", "upper_factors",
}
calls, outside = 0, []


def watched(function):
    def call(*arguments, **words):
        global calls
        calls += 1
        if not blas_threads._holders:
            stack = "".join(traceback.format_stack()[-5:-1])
            outside.append(f"{function.__qualname__} in\\n{stack}")
        return function(*arguments, **words)

    call.__wrapped__ = function
    return call


for name in ("cholesky", "inv", "eigh", "eigvalsh", "solve", "svd", "norm", "qr"):
    setattr(np.linalg, name, watched(getattr(np.linalg, name)))
for kind in {base for family in FAMILIES.values() for base in type(family).__mro__}:
    for name in ALGEBRA & set(vars(kind)):
        setattr(kind, name, watched(vars(kind)[name]))

folder, data, family = sys.argv[1:]
quiet = SilentListener()
shape = {"covariance_type": family, "max_iter": 3}
seen = 0


def done(what):
    """Every step is watched, and does some algebra."""
    global seen
    assert not outside, f"{what}: {outside[0]}"
    assert calls > seen, f"{what}: nothing was watched"
    seen = calls


warnings.simplefilter("ignore")
path = f"{folder}/run"
run_job(job(data, path, model=shape, output={"report": True}), quiet)
done("run")
write_report(path)
done("report")
model = dgmm.load_model(path)
done("load_model")
rows = np.random.default_rng(1).normal(size=(40, model.n_features))
for name in ("score_samples", "predict", "predict_proba"):
    getattr(model, name)(rows)
    done(name)
model.precisions
done("precisions")
model.sample(5, np.random.default_rng(0))
done("sample")
model.standardised_parameters(model.standardisation)
done("standardised_parameters")
plan_job(job(data, f"{folder}/planned", model={"path": path}))
done("plan")
predict_job(job(data, f"{folder}/predicted", model={"path": path}), quiet)
done("predict")
given = {"method": "given", "model": path}
run_job(job(data, f"{folder}/again", model=shape, initialisation=given), quiet)
done("a given start")
settings = {"max_iter": 3, "warm_start": True, "random_state": 0}
mixture = dgmm.GaussianMixture(3, covariance_type=family, **settings).fit(rows)
done("fit")
mixture.fit(rows).score_samples(rows)
mixture.sample(3)
done("warm start")
arrays = {f"{n}_init": getattr(mixture, f"{n}_") for n in ("weights", "means", "precisions")}
dgmm.GaussianMixture(3, covariance_type=family, **arrays).fit(rows)
done("given arrays")
made = dgmm.GaussianMixture(3, covariance_type=family)
for name in ("weights", "means", "covariances", "precisions"):
    setattr(made, f"{name}_", getattr(mixture, f"{name}_"))
made.precisions_cholesky_ = np.linalg.cholesky.__wrapped__(mixture.precisions_)
made.predict(rows)
done("a model of assigned arrays")
made.precisions_ = 2 * made.precisions_
done("an assigned array")
made.means_ = made.means_ + 1e6
made.score(rows)
done("assigned arrays")
'''


def test_no_matrix_is_multiplied_or_factored_outside_the_limit(tmp_path: Path) -> None:
    data = write_zarr(tmp_path / "rows.zarr", gaussian_clusters(900, 4)[0])
    tests = Path(__file__).resolve().parent.parent
    environment = os.environ | {
        "OPENBLAS_NUM_THREADS": "2",
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]),
    }
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(data), "full"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
