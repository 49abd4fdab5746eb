"""Jobs that merge components into clusters: heavy tails and curves are one cluster each."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from clusters import job, write_zarr
from sklearn.metrics import adjusted_rand_score

from dgmm.config import load_job
from dgmm.errors import DataError, JobFileError, OutputExistsError
from dgmm.events import SilentListener
from dgmm.job import predict_job, run_job
from dgmm.job.earlier_identities import in_former_names, in_todays_names
from dgmm.job.identity import identity
from dgmm.mixture.marginal import MarginalScorer
from dgmm.model.model_files import load_model
from dgmm.report import write_report

QUIET = SilentListener()
N = 6000
CENTRES = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 30.0], [30.0, 30.0]])


def heavy_tailed(rng, truth):
    """Student t with 3 degrees of freedom about four centres."""
    noise = rng.standard_normal((N, 2)) / np.sqrt(rng.chisquare(3, size=(N, 1)) / 3)
    return CENTRES[truth] + noise


def curved(rng, truth):
    """Four parabolas."""
    x = rng.uniform(-3, 3, size=N)
    along = np.column_stack([2 * x, x**2 - 3]) + 0.6 * rng.standard_normal((N, 2))
    return CENTRES[truth] + along


SHAPES = {"heavy": heavy_tailed, "curved": curved}


def options(k=10, **more):
    model = {"n_components": k, "max_iter": 300}
    merged = {"output": {"clusters": True, "responsibilities": True}, "seed": 1}
    return {"model": model, **merged, "on_not_converged": "ignore"} | more


def outputs(run):
    group = zarr.open_group(str(run / "outputs.zarr"), mode="r")
    return {name: np.asarray(array[...]) for name, array in group.arrays()}


def events(run):
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def record(run):
    return json.loads((run / "run.json").read_text())


@pytest.fixture(scope="module", params=SHAPES)
def finished(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=N)
    X = SHAPES[request.param](rng, truth)
    write_zarr(folder / "rows.zarr", X)
    run_job(job(folder / "rows.zarr", folder / "run", **options()), QUIET)
    return folder, truth


def test_ten_components_are_merged_to_the_four_clusters_that_there_are(finished):
    folder, truth = finished
    found, told = outputs(folder / "run"), record(folder / "run")["merging"]
    assert told["n_clusters"] == 4
    assert adjusted_rand_score(truth, found["clusters"]) >= 0.98
    assert adjusted_rand_score(truth, found["labels"]) < 0.9


def test_clusters_and_their_entropy_are_those_of_all_posteriors(finished):
    folder, _ = finished
    found, told = outputs(folder / "run"), record(folder / "run")["merging"]
    model = load_model(folder / "run")
    assert model.clusters == tuple(told["clusters"])
    R = model.predict_proba(zarr.open_array(str(folder / "rows.zarr"), mode="r")[...])
    P = np.zeros((N, 4))
    np.add.at(P.T, np.array(model.clusters), R.T)
    np.testing.assert_array_equal(found["clusters"], P.argmax(axis=1))
    entropy = -(P * np.log(np.maximum(P, 1e-300))).sum(axis=1).mean()
    assert told["entropy"] == pytest.approx(entropy, abs=1e-6)
    assert told["entropy"] == pytest.approx(told["entropies"][10 - 4], abs=2e-3)


def test_predict_puts_the_same_rows_in_the_same_clusters(finished):
    folder, _ = finished
    own = {"model": {"path": str(folder / "run")}, "output": {"clusters": True}}
    predict_job(job(folder / "rows.zarr", folder / "predicted", **own), QUIET)
    due = outputs(folder / "run")["clusters"]
    np.testing.assert_array_equal(outputs(folder / "predicted")["clusters"], due)


def test_the_report_shows_the_merges(finished):
    page = write_report(finished[0] / "run").read_text(encoding="utf-8")
    assert "Entropy by number of clusters" in page
    assert "Merges of components" in page


def test_a_model_without_merged_components_has_no_clusters_to_predict(tmp_path):
    write_zarr(tmp_path / "rows.zarr", np.random.default_rng(0).normal(size=(500, 2)))
    run_job(job(tmp_path / "rows.zarr", tmp_path / "run", **options(2, output={})), QUIET)
    assert load_model(tmp_path / "run").clusters is None
    assert "merges" in record(tmp_path / "run")["merging"]
    own = {"model": {"path": str(tmp_path / "run")}, "output": {"clusters": True}}
    with pytest.raises(JobFileError, match=r"fit with output\.clusters: true"):
        predict_job(job(tmp_path / "rows.zarr", tmp_path / "predicted", **own), QUIET)


def test_the_number_of_clusters_can_be_given(tmp_path):
    write_zarr(tmp_path / "rows.zarr", np.random.default_rng(0).normal(size=(900, 2)))
    run_job(
        job(tmp_path / "rows.zarr", tmp_path / "run", **options(5, merging={"n_clusters": 2})),
        QUIET,
    )
    assert set(outputs(tmp_path / "run")["clusters"]) == {0, 1}
    merging = record(tmp_path / "run")["merging"]
    assert merging["max_entropy"] is None
    assert merging["min_overlap"] is None


def test_clusters_that_hardly_overlap_are_not_merged_and_it_is_said(tmp_path):
    """Two Gaussians 4.9 standard deviations apart: 0.02 nats of entropy."""
    X = np.random.default_rng(0).normal(size=(4000, 2))
    X[::2, 0] += 4.9
    write_zarr(tmp_path / "rows.zarr", X)
    run_job(job(tmp_path / "rows.zarr", tmp_path / "run", **options(4)), QUIET)
    merging = record(tmp_path / "run")["merging"]
    (said,) = [e["text"] for e in events(tmp_path / "run") if "overlap" in e.get("text", "")]
    overlap = merging["merges"][-1]["overlap"]
    assert f"overlap by {overlap:.2g} nats per row of the smaller one, less than merging" in said
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "overlaps by less than merging.min_overlap = 0.05" in page
    assert merging["entropies"][-2] > 0.01
    assert merging["n_clusters"] == 2
    wanted = {"min_overlap": 0.0}
    run_job(job(tmp_path / "rows.zarr", tmp_path / "all", **options(4, merging=wanted)), QUIET)
    assert record(tmp_path / "all")["merging"]["n_clusters"] == 1


def test_rows_that_weigh_more_count_as_their_copies_in_several_blocks(tmp_path, monkeypatch):
    """Merges of the sample, and the entropy of all rows."""
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)  # blocks of 4,096 rows
    rng = np.random.default_rng(4)
    X = rng.normal(size=(5000, 2)) + 2.0 * rng.integers(3, size=(5000, 1))
    counts = rng.integers(1, 4, size=5000)
    write_zarr(tmp_path / "rows.zarr", X)
    write_zarr(tmp_path / "counts.zarr", counts[:, None].astype(float))
    write_zarr(tmp_path / "copies.zarr", np.repeat(X, counts, axis=0))
    run_job(job(tmp_path / "rows.zarr", tmp_path / "start", **options(4, output={})), QUIET)
    given = {"initialisation": {"method": "given", "model": str(tmp_path / "start")}}
    given |= {"model": {"n_components": 4, "max_iter": 0}, "merging": {"n_clusters": 2}}
    weights = {"weights": {"array": "counts.zarr", "kind": "counts"}}
    weighed = job(tmp_path / "rows.zarr", tmp_path / "a", **options(4, **given, data=weights))
    copied = job(tmp_path / "copies.zarr", tmp_path / "b", **options(4, **given))
    run_job(weighed, QUIET)
    run_job(copied, QUIET)
    a, b = (record(tmp_path / name)["merging"] for name in "ab")
    assert [m["left"] for m in a["merges"]] == [m["left"] for m in b["merges"]]
    np.testing.assert_allclose(a["entropies"], b["entropies"], rtol=1e-9, atol=1e-12)
    assert a["entropy"] == pytest.approx(b["entropy"], rel=1e-5)
    assert a["entropy"] == pytest.approx(a["entropies"][2], rel=1e-5)  # the sample is all rows
    assert a["entropy"] > 0.01


def test_one_component_is_one_cluster(tmp_path):
    write_zarr(tmp_path / "rows.zarr", np.random.default_rng(0).normal(size=(900, 2)))
    run_job(job(tmp_path / "rows.zarr", tmp_path / "run", **options(1)), QUIET)
    assert set(outputs(tmp_path / "run")["clusters"]) == {0}
    told = record(tmp_path / "run")["merging"]
    assert (told["n_clusters"], told["entropy"], told["merges"]) == (1, 0.0, [])


def test_a_run_of_before_there_was_a_least_overlap_is_of_the_job_that_asks_for_none(tmp_path):
    write_zarr(tmp_path / "rows.zarr", np.zeros((9, 2)))
    plain, clusters, former = (
        identity(job(tmp_path / "rows.zarr", tmp_path / "run", **options(3, **own)))
        for own in (
            {"output": {}},
            {},
            {"merging": {"min_overlap": 0.0}},
        )
    )
    assert "merging" not in plain
    assert "min_overlap" not in in_former_names(former)["merging"]
    for one in (plain, clusters, former):
        assert in_todays_names(in_former_names(one)) == one


def test_a_finished_run_is_not_of_a_job_that_merges_otherwise(tmp_path):
    """And another job merges its mixture anew, without EM."""
    write_zarr(tmp_path / "rows.zarr", np.random.default_rng(0).normal(size=(900, 2)))
    data, run = tmp_path / "rows.zarr", tmp_path / "run"
    run_job(job(data, run, **options(3, output={})), QUIET)
    otherwise = options(3, output={}, merging={"n_clusters": 2})
    with pytest.raises(OutputExistsError):
        run_job(job(data, run, **otherwise), QUIET)
    start = {"method": "given", "model": str(run)}
    again = options(3, initialisation=start, merging={"n_clusters": 2})
    again["model"]["max_iter"] = 0
    run_job(job(data, tmp_path / "again", **again), QUIET)
    assert set(outputs(tmp_path / "again")["clusters"]) == {0, 1}
    means = [load_model(tmp_path / name).means for name in ("run", "again")]
    np.testing.assert_allclose(means[0], means[1], rtol=1e-12)


@pytest.mark.parametrize("sizes", ["257", "[2, 300]", "{from: 1, to: 512, factor: 2}"])
def test_clusters_of_more_components_than_are_merged_are_refused(tmp_path, sizes):
    text = f"data: {{path: {tmp_path}/x.zarr}}\nmodel: {{n_components: {sizes}}}\n"
    path = tmp_path / "job.yaml"
    path.write_text(text + f"output: {{path: {tmp_path}/run, clusters: true}}\n")
    with pytest.raises(JobFileError, match="at most 256 components are merged"):
        load_job(path)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_rows_that_lack_values_are_in_the_cluster_of_what_they_have(tmp_path, backend):
    rng = np.random.default_rng(3)
    X = heavy_tailed(rng, rng.integers(4, size=N))[:1500]
    X[rng.random(X.shape) < 0.15] = np.nan
    write_zarr(tmp_path / "rows.zarr", X)
    own = {"data": {"missing": "marginalise"}, "compute": {"backend": backend}}
    own |= {"initialisation": {"n_sample_starts": 1}, "merging": {"n_clusters": 3}}
    run_job(job(tmp_path / "rows.zarr", tmp_path / "run", **options(5, **own)), QUIET)
    found, model = outputs(tmp_path / "run")["clusters"], load_model(tmp_path / "run")
    empty = np.isnan(X).all(axis=1)
    complete = ~np.isnan(X).any(axis=1)
    assert record(tmp_path / "run")["merging"]["sample_rows"] == complete.sum()
    np.testing.assert_array_equal(found == -1, empty)
    Y = model.standardisation.apply(X[~empty], np.float64)
    R = MarginalScorer(model.parameters).responsibilities(Y)
    P = np.zeros((max(model.clusters) + 1, Y.shape[1]))
    np.add.at(P, np.array(model.clusters), R)
    first, second = np.sort(P, axis=0)[-1], np.sort(P, axis=0)[-2]
    clear = first - second > 1e-9
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[~empty][clear], P.argmax(axis=0)[clear])


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ([0, 1], "one number for each"),
        ([1, 0, 0], "in order"),
        ([0, True, 0], "one number"),
        ([0, 0, 3], "one number"),
        ("012", "one number"),
    ],
)
def test_clusters_of_a_model_are_checked_when_it_is_opened(tmp_path, wrong, text):
    write_zarr(tmp_path / "rows.zarr", np.random.default_rng(0).normal(size=(500, 2)))
    run_job(job(tmp_path / "rows.zarr", tmp_path / "run", **options(3)), QUIET)
    path = tmp_path / "run" / "model" / "model.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | {"clusters": wrong}))
    with pytest.raises(DataError, match=text):
        load_model(tmp_path / "run")
