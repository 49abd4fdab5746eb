"""A family that dgmm does not know is fitted, saved, applied and reported like its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, write_zarr
from shared_diag import SHARED_DIAG

from dgmm import GaussianMixture, load_model
from dgmm.errors import DataError
from dgmm.mixture.covariance import FAMILIES, Full, register_family

LAWS = Path(__file__).resolve().parents[2] / "laws"
JOB = """\
data: {path: rows.zarr}
model: {n_components: 3, covariance_type: shared_diag}
cluster: {kind: threads, n_workers: 2}
output: {path: run, report: true, anomaly_quantile: 0.01}
"""
PREDICT = """\
data: {path: rows.zarr}
model: {path: run/model}
cluster: {kind: threads, n_workers: 2}
output: {path: again}
"""


@pytest.fixture
def registered() -> Iterator[None]:
    register_family(SHARED_DIAG)
    yield
    del FAMILIES["shared_diag"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rows, jobs, and an installed package that declares the family."""
    info = tmp_path / "packages" / "tied_families-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tied-families\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[dgmm.families]\nshared_diag = shared_diag:SHARED_DIAG\n"
    )
    write_zarr(tmp_path / "rows.zarr", gaussian_clusters()[0])
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "predict.yaml").write_text(PREDICT)
    return tmp_path


def dgmm(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "dgmm", *arguments],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{folder / 'packages'}:{LAWS}",
            "MPLCONFIGDIR": str(folder / ".mpl"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("registered")
def test_scikit_learn_is_given_no_covariances_that_it_lacks() -> None:
    X, _ = gaussian_clusters(300, 2, 3)
    fitted = GaussianMixture(3, covariance_type="shared_diag", random_state=0).fit(X)
    for each in (fitted, fitted.model_):
        with pytest.raises(DataError, match=r"scikit-learn has no .* family 'shared_diag'"):
            each.to_sklearn()


@pytest.mark.usefixtures("registered")
def test_the_estimator_takes_a_registered_family() -> None:
    X, labels = gaussian_clusters()
    fitted = GaussianMixture(3, covariance_type="shared_diag", random_state=0).fit(X)
    found = fitted.predict(X)
    within = [X[found == k] - X[found == k].mean(axis=0) for k in range(3)]
    assert fitted.covariances_.shape == (3,)
    expected = np.concatenate(within).var(axis=0)
    np.testing.assert_allclose(fitted.covariances_, expected, rtol=1e-3)
    assert len(set(zip(found, labels, strict=True))) == 3
    assert fitted.bic(X) == pytest.approx(
        -2 * fitted.score(X) * len(X) + (2 + 9 + 3) * np.log(len(X)), rel=1e-12
    )


@pytest.mark.usefixtures("registered")
def test_a_job_of_a_family_from_an_installed_package_is_run_applied_and_reported(
    folder: Path,
) -> None:
    assert "fits" in dgmm(folder, "plan", "job.yaml")
    dgmm(folder, "run", "job.yaml")
    dgmm(folder, "predict", "predict.yaml")
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["job"]["model"]["covariance_type"] == "shared_diag"
    assert "shared_diag" in (folder / "run" / "report.html").read_text()
    model = load_model(folder / "run" / "model")
    assert (model.covariance_type, model.covariances.shape) == ("shared_diag", (3,))
    ours, theirs = (
        zarr.open(str(folder / run / "outputs.zarr"))["labels"][:] for run in ("run", "again")
    )
    np.testing.assert_array_equal(ours, theirs)


def test_a_name_is_taken_once() -> None:
    class Other(Full):
        name = "tied"

    with pytest.raises(DataError, match="there is a covariance family 'tied' already"):
        register_family(Other())
    assert type(FAMILIES["tied"]).__name__ == "Tied"


def test_a_job_file_with_an_unknown_family_is_told_the_names(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB.replace("shared_diag", "diagonal"))
    with pytest.raises(
        AssertionError,
        match=r"expected one of full, .*, tied_spherical or a list of these \(did",
    ):
        dgmm(tmp_path, "validate", "job.yaml")
