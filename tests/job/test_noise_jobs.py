"""Jobs with noise: what they write and record, and that their bits are as any other job's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, job, write_zarr
from killed_anywhere import check_killed_anywhere
from numpy.typing import NDArray
from test_run_record import faults

from dgmm import GaussianMixture
from dgmm.config import Job, load_job
from dgmm.errors import DataError, JobFileError
from dgmm.events import SilentListener
from dgmm.job import predict_job, run_job
from dgmm.job.earlier_identities import in_former_names, in_todays_names
from dgmm.job.identity import identity
from dgmm.model.model_files import load_model
from dgmm.report import write_report
from dgmm.report.formatting import number, percent
from dgmm.run_record import json_schema

QUIET = SilentListener()
N, D, K = 9000, 2, 3
CONFIG = Path(__file__).resolve().parent.parent.parent / "config"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)  # three blocks
        yield


def _rows() -> NDArray[np.float64]:
    """Three clusters, a tenth of the rows anywhere between them, and one far out."""
    X, _ = gaussian_clusters(N, D, K)
    X[: N // 10] = np.random.default_rng(1).uniform(X.min(), X.max(), (N // 10, D))
    X[5] = 1e4
    return X


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zarr(tmp_path_factory.mktemp("rows") / "rows.zarr", _rows())


def _job(data: Path, run: Path, *, n_workers: int = 2, **sections: Any) -> Job:
    tree: dict[str, Any] = {
        "model": {"noise": True, "max_iter": 6, "tol": 0.0},
        "initialisation": {"n_sample_starts": 1},
        "cluster": {"n_workers": n_workers},
        "on_not_converged": "ignore",
    }
    for name, own in sections.items():
        tree[name] = {**tree[name], **own} if isinstance(tree.get(name), dict) else own
    return job(data, run, **tree)


def _record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def _bits(run: Path) -> tuple[Any, ...]:
    record = _record(run)
    outputs = {name: array["sha256"] for name, array in record["outputs"].items()}
    return record["model_sha256"], outputs, record["noise"], record["log_likelihood"]


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    written = {"responsibilities": True, "clusters": True, "anomaly_quantile": 0.01}
    model = {"tol": 1e-4, "max_iter": 100, "n_components": 6}
    run_job(_job(data, run, model=model, output=written), QUIET)
    return run


def _outputs(run: Path) -> dict[str, NDArray[Any]]:
    group = zarr.open_group(str(run / "outputs.zarr"), mode="r")
    return {name: np.asarray(array[...]) for name, array in group.arrays()}


def test_the_record_has_weight_box_and_volume(finished: Path) -> None:
    record, noise, X = _record(finished), _record(finished)["noise"], _rows()
    assert faults(record, json_schema()) == []
    assert noise["weight"] == pytest.approx(0.1, abs=0.02)
    assert np.allclose(noise["low"], np.quantile(X, 0.001, axis=0), rtol=1e-9)
    assert np.allclose(noise["high"], np.quantile(X, 0.999, axis=0), rtol=1e-9)
    width = np.array(noise["high"]) - np.array(noise["low"])
    assert noise["log_volume"] == pytest.approx(float(np.log(width).sum()), rel=1e-12)
    assert record["n_parameters"] == 5 + 6 * 2 + 6 * 3 + 1
    assert len(record["label_counts"]) == 7
    assert record["label_counts"][6] > 0.05 * N
    about = json.loads((finished / "model" / "model.json").read_text())
    assert about["noise"] == noise


def test_row_outputs_are_those_of_the_saved_model(finished: Path) -> None:
    found, model, X = _outputs(finished), load_model(finished), _rows()
    R = model.predict_proba(X)
    assert found["responsibilities"].shape == R.shape == (N, 7)
    assert np.allclose(found["responsibilities"], R, atol=1e-6)
    assert np.array_equal(found["labels"], R.argmax(axis=1))
    assert found["labels"][5] == 6
    assert np.allclose(found["log_density"], model.score_samples(X), atol=1e-9)
    assert _record(finished)["log_likelihood"] == pytest.approx(found["log_density"].sum())
    entropy = -(R * np.log(np.maximum(R, 1e-300))).sum()
    assert _record(finished)["entropy"] == pytest.approx(entropy, rel=1e-6)
    attributes = zarr.open_group(str(finished / "outputs.zarr"), mode="r")["labels"].attrs
    assert attributes["flag_values"] == [-1, *range(7)]
    assert attributes["flag_meanings"].split()[-2:] == ["component_5", "noise"]


def test_noise_is_a_cluster_of_its_own_and_never_merged(finished: Path) -> None:
    """Six Gaussians for three clusters: what is left of the entropy is that of the Gaussians."""
    found, merging, model = _outputs(finished), _record(finished)["merging"], load_model(finished)
    n = merging["n_clusters"]
    assert len(merging["clusters"]) == len(merging["entropies"]) == 6
    assert merging["entropies"][-1] == pytest.approx(0.0, abs=1e-9)
    R = model.predict_proba(_rows())
    P = np.zeros((N, n + 1))
    np.add.at(P.T, np.array([*merging["clusters"], n]), R.T)
    assert np.array_equal(found["clusters"], P.argmax(axis=1))
    assert (found["clusters"] == n).sum() > 0.05 * N
    own, share = P[:, :-1], P[:, :-1].sum(axis=1)
    given = -(own * np.log(np.maximum(own, 1e-300))).sum(axis=1)
    given += share * np.log(np.maximum(share, 1e-300))
    assert merging["entropy"] == pytest.approx(given.mean(), abs=1e-6)
    assert merging["entropy"] == pytest.approx(merging["entropies"][6 - n], abs=1e-3)


def test_the_report_has_its_share_and_its_box(finished: Path) -> None:
    page = write_report(finished).read_text(encoding="utf-8")
    noise, counts = _record(finished)["noise"], _record(finished)["label_counts"]
    assert "A uniform density over this box" in page
    words = f"Its weight is {percent(noise['weight'])}, and {number(counts[6])} rows have its label"
    assert words in page
    assert f"log V = {number(noise['log_volume'], 8)}" in page


def test_components_are_ordered_and_merged_without_the_noise(finished: Path) -> None:
    model, X = load_model(finished), _rows()
    ordered = model.ordered_by_weight()
    assert ordered.noise_weight == model.noise_weight
    assert (np.diff(ordered.weights) <= 0).all()
    assert np.allclose(ordered.score_samples(X), model.score_samples(X), rtol=1e-12)
    merged = replace(model, clusters=None).merge_components(X, n_clusters=3)
    assert merged.clusters is not None
    assert len(merged.clusters) == 6
    assert set(merged.predict_clusters(X).tolist()) == {0, 1, 2, 3}


def test_predict_gives_other_rows_the_same_labels(finished: Path, tmp_path: Path) -> None:
    other = write_zarr(tmp_path / "other.zarr", _rows()[::-1].copy())
    run_to = tmp_path / "predicted"
    asked = {"responsibilities": True, "clusters": True}
    predicted = job(other, run_to, model={"path": str(finished)}, output=asked)
    predict_job(predicted, QUIET)
    own, before = _outputs(run_to), _outputs(finished)
    for name in ("labels", "clusters", "responsibilities", "anomaly"):
        assert np.array_equal(own[name], before[name][::-1]), name
    assert _record(run_to)["label_counts"] == _record(finished)["label_counts"]
    gaps = job(
        other, tmp_path / "gaps", model={"path": str(finished)}, data={"missing": "marginalise"}
    )
    with pytest.raises(DataError, match="noise cannot score rows that lack values"):
        predict_job(gaps, QUIET)


@pytest.mark.parametrize("family", ["full", "tied"])
def test_bits_are_those_of_any_workers_and_any_chunks(
    data: Path, tmp_path: Path, family: str
) -> None:
    model = {"covariance_type": family}
    run_job(_job(data, tmp_path / "one", n_workers=1, model=model), QUIET)
    chunked = write_zarr(tmp_path / "chunked.zarr", _rows(), chunks=(701, 1))
    run_job(_job(chunked, tmp_path / "three", n_workers=3, model=model), QUIET)
    assert _bits(tmp_path / "one") == _bits(tmp_path / "three")


@pytest.mark.parametrize("family", ["full", "tied"])
def test_killed_at_ten_random_points_it_leaves_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    def asked(run: str) -> Job:
        model = {"covariance_type": family, "max_iter": 9}
        return _job(data, tmp_path / run, n_workers=1, model=model)

    check_killed_anywhere(monkeypatch, asked, _bits, tmp_path, 10)


def test_an_estimator_is_the_job(data: Path, tmp_path: Path) -> None:
    run_job(_job(data, tmp_path / "run"), QUIET)
    own = GaussianMixture(
        K, noise=True, max_iter=6, tol=0.0, n_sample_starts=1, reg_covar=0.0,
        reg_covar_relative=1e-6, random_state=0,
    ).fit(_rows())  # fmt: skip
    model = load_model(tmp_path / "run")
    assert np.array_equal(own.means_, model.means)
    assert own.model_.noise_weight == model.noise_weight
    assert own.model_.noise is not None
    assert own.model_.noise.record() == _record(tmp_path / "run")["noise"]


def test_several_models_have_noise_each_and_k_counts_gaussians(data: Path, tmp_path: Path) -> None:
    model = {"n_components": [2, 3], "covariance_type": ["diag", "tied"], "max_iter": 30}
    run_job(_job(data, tmp_path / "run", model={**model, "tol": 1e-4}), QUIET)
    selection = _record(tmp_path / "run")["selection"]
    for one in selection["models"]:
        k, family = one["n_components"], one["covariance_type"]
        own = load_model(tmp_path / "run" / "models" / f"{family}-{k}")
        assert own.n_components == k
        assert own.noise is not None
        free = (k - 1) + k * D + (k * D if family == "diag" else 3) + 1
        assert one["n_parameters"] == own.n_parameters == free
        likelihood = own.score_samples(_rows()).sum()
        assert one["log_likelihood"] == pytest.approx(likelihood, rel=1e-9)
    assert selection["chosen"]["n_components"] == 3


def test_a_job_goes_on_from_a_model_with_noise(finished: Path, data: Path, tmp_path: Path) -> None:
    given = {"method": "given", "model": str(finished), "n_sample_starts": "auto"}
    asked = {"n_components": 6, "max_iter": 0}
    run_job(_job(data, tmp_path / "run", model=asked, initialisation=given), QUIET)
    assert load_model(tmp_path / "run").noise_weight == load_model(finished).noise_weight


def test_what_noise_is_not_defined_for_is_refused_in_the_job_file(
    data: Path, tmp_path: Path
) -> None:
    text = (
        f"data: {{path: {data}, missing: marginalise}}\n"
        "model: {n_components: 3, noise: true, inference: variational}\n"
        f"output: {{path: {tmp_path / 'run'}}}\n"
    )
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(JobFileError) as refused:
        load_job(tmp_path / "job.yaml")
    assert "model.noise: contradicts inference: variational" in str(refused.value)
    assert "model.noise: contradicts data.missing: marginalise" in str(refused.value)


def test_jobs_of_earlier_versions_keep_their_identity(data: Path, tmp_path: Path) -> None:
    plain = identity(job(data, tmp_path))
    former = in_former_names(plain)
    assert "noise" not in former["model"]
    assert in_todays_names(former) == plain
    assert in_former_names(identity(_job(data, tmp_path)))["model"]["noise"] is True


def test_the_job_file_for_noise_runs(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = (f"data.path={data}", "cluster.kind=threads", "initialisation.n_sample_starts=2")
    run_job(load_job(CONFIG / "noise.yaml", (*small, "output.report=false")), QUIET)
    found = _outputs(tmp_path / "runs" / "noise")
    assert found["responsibilities"].shape == (N, 9)
    assert found["labels"][5] == 8
