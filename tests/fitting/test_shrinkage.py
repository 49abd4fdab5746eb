"""Regularisation that held-out rows choose: `reg_covar_relative: held_out`, for one mixture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import job, write_zarr
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from dgmm import GaussianMixture
from dgmm.config import Job, load_job
from dgmm.data.array_dataset import ArrayDataset
from dgmm.errors import JobFileError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting import fit as fitting
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.settings import FitSettings
from dgmm.job import run_job
from dgmm.model.model_files import load_model
from dgmm.report import write_report

Array = NDArray[np.float64]
QUIET = SilentListener()
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def digits() -> Array:
    """12 principal components: 273 free parameters of three components."""
    return np.asarray(PCA(12, random_state=0).fit_transform(load_digits().data)[:1000])


def _fitted(X: Array, k: int = 3, **settings: Any) -> Fit:
    common: dict[str, Any] = {"tol": 1e-3, "n_sample_starts": 1, "backend": "numpy"}
    asked = FitSettings(k, **common | settings)
    with ThreadExecutor(1) as executor:
        return fit(ArrayDataset(X), executor, asked, QUIET)


def _is_same(one: Fit, other: Fit) -> bool:
    return bool(
        np.array_equal(one.model.means, other.model.means)
        and np.array_equal(one.model.covariances, other.model.covariances)
    )


def test_of_few_rows_other_rows_are_described_better(digits: Array) -> None:
    """100 rows for 272 free parameters; what is chosen is added as that number would be."""
    X, others = digits[:100], digits[100:]

    def scores(one: Fit) -> float:
        return float(one.model.score_samples(others).mean())

    found, usual = _fitted(X, shrinkage="auto"), _fitted(X)
    chosen = found.shrinkage
    assert chosen is not None
    assert chosen.share >= 0.01
    assert chosen.held_out[chosen.share] == max(chosen.held_out.values())
    assert scores(found) > scores(usual) + 1.0
    assert _is_same(found, _fitted(X, reg_covar_relative=chosen.share))
    assert any(f"{chosen.share:g} of each feature's robust variance" in w for w in found.warnings)
    assert any("set model.reg_covar_relative to held_out" in w for w in usual.warnings)
    assert not any("set model.reg_covar_relative" in w for w in found.warnings)


def test_what_is_given_in_the_units_of_the_data_is_added_too(digits: Array) -> None:
    X = digits[:100]
    found = _fitted(X, shrinkage="auto", reg_covar=2.0)
    assert found.shrinkage is not None
    share = found.shrinkage.share
    assert _is_same(found, _fitted(X, reg_covar=2.0, reg_covar_relative=share))


@pytest.mark.parametrize(
    "settings",
    [
        {"k": 1},  # 900 rows, 90 free parameters
        {"sample_rows": 500},
        {"inference": "map"},
        {"noise": True},
        {"shrinkage": "none"},
    ],
    ids=["many rows", "a part sampled", "a prior", "noise", "a number"],
)
def test_elsewhere_it_is_the_usual_share(digits: Array, settings: dict[str, Any]) -> None:
    X = np.ascontiguousarray(digits[:900])
    found = _fitted(X, **{"shrinkage": "auto", "max_iter": 3} | settings)
    assert found.shrinkage is None
    assert _is_same(found, _fitted(X, **{"max_iter": 3} | settings | {"shrinkage": "none"}))


def test_equal_weights_choose_what_none_do(digits: Array) -> None:
    X = digits[:100]
    options: dict[str, Any] = {
        "reg_covar_relative": "held_out", "tol": 1e-3, "n_sample_starts": 1, "random_state": 0
    }  # fmt: skip
    one = GaussianMixture(2, **options).fit(X)
    weighted = GaussianMixture(2, **options).fit(X, sample_weight=np.full(len(X), 3.0))
    assert np.allclose(one.covariances_, weighted.covariances_, rtol=1e-6)
    first = np.where(np.arange(len(X)) < 50, 1.0, 1e-9)  # half of the rows count
    fewer = GaussianMixture(2, **options).fit(X, sample_weight=first)
    assert not np.allclose(one.covariances_, fewer.covariances_, rtol=1e-2)


@pytest.fixture(scope="module")
def data(digits: Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zarr(tmp_path_factory.mktemp("rows") / "rows.zarr", digits[:100])


def _job(data: Path, run: Path, **sections: Any) -> Job:
    tree: dict[str, Any] = {
        "model": {"n_components": 3, "reg_covar_relative": "held_out", "tol": 1e-3},
        "initialisation": {"n_sample_starts": 1},
    }
    return job(data, run, **tree | {"cluster": {"n_workers": 1}} | sections)


def _bits(run: Path) -> tuple[bytes, bytes]:
    model = load_model(run)
    return model.means.tobytes(), model.covariances.tobytes()


def test_a_job_records_it_and_is_the_estimator(data: Path, digits: Array, tmp_path: Path) -> None:
    run_job(_job(data, tmp_path / "run"), QUIET)
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    chosen = record["shrinkage"]
    assert chosen["share"] >= 0.01
    assert max(chosen["held_out"].values()) == chosen["held_out"][f"{chosen['share']:g}"]
    assert any("components have few rows" in text for text in record["warnings"])
    own = GaussianMixture(
        3, reg_covar=0.0, reg_covar_relative="held_out", tol=1e-3, max_iter=200,
        n_sample_starts=1, random_state=0,
    ).fit(digits[:100])  # fmt: skip
    model = load_model(tmp_path / "run")
    assert own.means_.tobytes() == model.means.tobytes()
    assert own.covariances_.tobytes() == model.covariances.tobytes()
    page = write_report(tmp_path / "run").read_text("utf-8")
    assert "Components have few rows for their parameters" in page


class _Dies(SilentListener):
    def iteration(self, *_: Any) -> None:
        raise RuntimeError("killed")


def test_an_interrupted_job_does_not_choose_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(_job(data, tmp_path / "whole"), QUIET)
    with pytest.raises(RuntimeError, match="killed"):
        run_job(_job(data, tmp_path / "run"), _Dies())
    monkeypatch.delattr(fitting, "shrinkage_of")
    run_job(_job(data, tmp_path / "run"), QUIET)
    assert _bits(tmp_path / "run") == _bits(tmp_path / "whole")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.inference", "map"),
        ("model.noise", True),
        ("model.n_components", [2, 3]),
        ("selection.stability", True),
    ],
)
def test_what_it_is_not_defined_for_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    tree: dict[str, Any] = {
        "data": {"path": "rows.zarr"},
        "model": {"n_components": 3, "reg_covar_relative": "held_out"},
        "output": {"path": "run"},
    }
    section, name = key.split(".")
    tree.setdefault(section, {})[name] = value
    file = tmp_path / "job.json"
    file.write_text(json.dumps(tree), "utf-8")
    with pytest.raises(JobFileError, match=f"reg_covar_relative: contradicts .*{key}"):
        load_job(file)
