"""Jobs with `preprocess`: steps fitted to the rows, prepared, kept in the model, applied again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import formula_jobs
import numpy as np
import pytest
import zarr
from formula_jobs import SIZES, bits, job_of, record
from formula_source import FORMULA, FormulaSource
from preprocessed_jobs import NAMES, PROFILES, RNG, ROWS, N, array, job_with, predict, prepared
from sklearn.decomposition import PCA
from test_run_record import faults

from dgmm import load_model
from dgmm.cli.entry_point import run
from dgmm.data.formats import FORMATS
from dgmm.run_record import json_schema


@pytest.fixture(autouse=True)
def formula(monkeypatch):
    monkeypatch.setitem(FORMATS, "formula", FORMULA)


def columns(step, rows):
    """The step by NumPy."""
    ((kind, options),) = step.items()
    if kind == "asinh":
        return np.arcsinh(rows / options["scale"])
    if kind == "log":
        return np.log(rows + options["offset"])
    if kind == "clip":
        return np.clip(rows, *np.quantile(rows, options["quantiles"], axis=0))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


STEPS = [
    {"asinh": {"scale": 2.0}},
    {"log": {"offset": 30.0}},
    {"clip": {"quantiles": [0.02, 0.9]}},
    {"standardise": {}},
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: next(iter(step)))
@pytest.mark.parametrize("own", [None, [1, 6]])
def test_a_step_is_numpys_and_a_run_fits_its_rows(tmp_path, step, own):
    ((kind, options),) = step.items()
    taken = {} if own is None else {"columns": [NAMES[i] for i in own]}
    job = job_with(tmp_path, array(tmp_path), [{kind: options | taken}])
    assert run(["run", "--quiet", str(job)]) == 0
    expected, own = ROWS.copy(), own or list(range(7))
    expected[:, own] = columns(step, ROWS[:, own])
    rows = prepared(tmp_path / "run")
    np.testing.assert_allclose(rows[:], expected, rtol=1e-12, atol=1e-12)
    assert list(rows.attrs["feature_names"]) == NAMES
    by_hand = array(tmp_path, rows[:], "by-hand.zarr")
    assert run(["run", "--quiet", str(job_of(tmp_path, by_hand, "plain"))]) == 0
    assert bits(tmp_path / "run") == bits(tmp_path / "plain")


def profiles(rows=ROWS):
    """The steps of PROFILES by NumPy and scikit-learn."""
    found = rows.copy()
    found[:, 6] = np.log(found[:, 6])
    found = (found - found.mean(axis=0)) / found.std(axis=0)
    parts = [
        PCA(2, whiten=True, svd_solver="full").fit_transform(found[:, own])
        for own in (slice(0, 3), slice(3, 6))
    ]
    found = np.column_stack([*parts, found[:, 6]])
    found[:, 0] = np.clip(found[:, 0], *np.quantile(found[:, 0], [0.001, 0.999]))
    return found


def test_steps_follow_each_other_and_a_model_applies_them_to_a_users_rows(tmp_path):
    job = job_with(tmp_path, array(tmp_path), PROFILES)
    assert run(["run", "--quiet", str(job)]) == 0
    rows = prepared(tmp_path / "run")
    names = ["SR_pc1", "SR_pc2", "dSA_pc1", "dSA_pc2", "c"]
    assert list(rows.attrs["feature_names"]) == names
    np.testing.assert_allclose(rows[:], profiles(), rtol=1e-8, atol=1e-9)
    model = load_model(tmp_path / "run")
    assert list(model.feature_names) == names
    np.testing.assert_array_equal(model.preprocess.apply(ROWS), rows[:])
    outputs = zarr.open_group(tmp_path / "run" / "outputs.zarr", mode="r")
    np.testing.assert_array_equal(model.predict(ROWS), outputs["labels"][:])
    np.testing.assert_allclose(model.score_samples(ROWS), outputs["log_density"][:], rtol=1e-9)
    assert faults(record(tmp_path / "run"), json_schema()) == []
    found = record(tmp_path / "run")["preprocess"]
    assert [step["step"] for step in found["steps"]] == ["log", "standardise", "pca", "clip"]
    assert found["steps"][2]["groups"][0]["share"] > 0.99
    # In the user's features: near the means of the rows with each label, but for log and clip.
    means = np.array(found["means"])
    labels = outputs["labels"][:]
    by_label = [ROWS[labels == k][:, :6].mean(axis=0) for k in range(3)]
    np.testing.assert_allclose(means[:, :6], by_label, atol=0.2)
    geometric = [np.exp(np.log(ROWS[labels == k][:, 6]).mean()) for k in range(3)]
    np.testing.assert_allclose(means[:, 6], geometric, rtol=0.1)


def test_predict_applies_the_steps_to_columns_in_any_order_and_writes_outputs_again(tmp_path):
    assert run(["run", "--quiet", str(job_with(tmp_path, array(tmp_path), PROFILES))]) == 0
    order = RNG.permutation(7)
    moved = array(tmp_path, ROWS[:, order], "moved.zarr", names=[NAMES[i] for i in order])
    job = predict(tmp_path, moved)
    assert run(["predict", "--quiet", str(job)]) == 0
    assert bits(tmp_path / "predicted")[1:] == bits(tmp_path / "run")[1:]
    model = load_model(tmp_path / "predicted")
    assert model.preprocess.record() == load_model(tmp_path / "run").preprocess.record()
    shutil.rmtree(tmp_path / "predicted" / "outputs.zarr")
    assert run(["predict", "--quiet", "--rebuild-outputs", str(job)]) == 0
    assert bits(tmp_path / "predicted")[1:] == bits(tmp_path / "run")[1:]


def test_outputs_of_a_run_are_written_again_with_and_without_prepared_rows(tmp_path):
    job = job_with(tmp_path, array(tmp_path), PROFILES)
    assert run(["run", "--quiet", str(job)]) == 0
    before = bits(tmp_path / "run")
    for lost in (["outputs.zarr"], ["outputs.zarr", "prepared.zarr"]):
        for name in lost:
            shutil.rmtree(tmp_path / "run" / name)
        assert run(["run", "--quiet", "--rebuild-outputs", str(job)]) == 0
        assert bits(tmp_path / "run") == before


def test_a_larger_max_iter_goes_on_with_the_rows_and_steps_that_are_there(tmp_path):
    (tmp_path / "log").mkdir()
    source = FormulaSource(SIZES, log=str(tmp_path / "log"))
    data = source.save(tmp_path / "rows.json")
    short = job_with(tmp_path, data, [{"standardise": {}}], model={"max_iter": 1, "tol": 0})
    assert run(["run", "--quiet", str(short)]) == 0
    longer = job_with(tmp_path, data, [{"standardise": {}}], model={"max_iter": 3, "tol": 0})
    assert run(["run", "--quiet", str(longer)]) == 0
    assert {n for i, n in source.n_reads().items() if SIZES[i]} == {2}  # to fit, to prepare
    assert load_model(tmp_path / "run").preprocess.steps[0].kind == "standardise"


@pytest.mark.parametrize("n", [2, 3], ids=["while-it-fits-pca", "while-it-prepares"])
def test_a_run_that_is_killed_ends_with_the_same_bits(tmp_path, n):
    sizes, d = (20_000,) * 10, 27
    steps = [{"standardise": {}}, {"pca": {"n": 4}}]
    (tmp_path / "log").mkdir()
    source = FormulaSource(sizes, d, str(tmp_path / "log"), dtype="<f4", kill_at=7, kill_read=n)
    job = job_with(tmp_path, source.save(tmp_path / "rows.json"), steps)
    script = [sys.executable, formula_jobs.__file__, "run", "--quiet", str(job)]
    assert subprocess.run(script, check=False, cwd=tmp_path).returncode == 9
    assert (tmp_path / "run" / "prepared.zarr.part").exists() == (n == 3)
    assert run(["run", "--quiet", str(job)]) == 0
    same = FormulaSource(sizes, d, dtype="<f4").save(tmp_path / "same.json")
    one = {"cluster": {"n_workers": 1}}
    assert run(["run", "--quiet", str(job_with(tmp_path, same, steps, "whole", **one))]) == 0
    assert bits(tmp_path / "run") == bits(tmp_path / "whole")
    assert prepared(tmp_path / "run").dtype == np.float32
    found, expected = (
        zarr.open_group(tmp_path / name / "outputs.zarr", mode="r")["residual"][:]
        for name in ("run", "whole")
    )
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all()


def test_the_bits_do_not_depend_on_the_chunks_of_a_plain_array(tmp_path):
    for name, chunk in (("a", 700), ("b", 6000)):
        data = array(tmp_path, name=f"{name}.zarr", chunk=chunk)
        assert run(["run", "--quiet", str(job_with(tmp_path, data, PROFILES, name))]) == 0
    assert bits(tmp_path / "a") == bits(tmp_path / "b")


def test_values_out_of_the_domain_are_missing_counted_and_warned_of(tmp_path, capsys):
    rows = ROWS.copy()
    rows[[3, 40], 6] = [0.0, -1.0]
    data = array(tmp_path, rows)
    log = [{"log": {"columns": ["c"]}}]
    assert run(["run", "--quiet", str(job_with(tmp_path, data, log))]) == 65
    assert "NaN" in capsys.readouterr().err
    drop = {"data": {"missing": "drop"}}
    for name, steps in (("last", log), ("first", [*log, {"pca": {"n": 2}}])):
        assert run(["run", "--quiet", str(job_with(tmp_path, data, steps, name, **drop))]) == 0
        found = record(tmp_path / name)
        assert found["preprocess"]["n_outside"][0] == {"c": 2}
        assert found["rows"]["dropped"] == 2
        assert any("log has no result for 2 of c" in text for text in found["warnings"])
    labels = zarr.open_group(tmp_path / "first" / "outputs.zarr", mode="r")["labels"][:]
    assert np.flatnonzero(labels == -1).tolist() == [3, 40]
    with pytest.raises(ValueError, match="out of the domain of a step"):
        load_model(tmp_path / "last").predict(rows)


def test_missing_values_are_marginalised_behind_steps_that_keep_features(tmp_path):
    rows = ROWS.copy()
    rows[RNG.random(ROWS.shape) < 0.05] = np.nan
    data = array(tmp_path, rows)
    marginalise = {"data": {"missing": "marginalise"}}
    job = job_with(tmp_path, data, [{"standardise": {}}], **marginalise)
    assert run(["run", "--quiet", str(job)]) == 0
    expected = (rows - np.nanmean(rows, axis=0)) / np.nanstd(rows, axis=0)
    np.testing.assert_allclose(prepared(tmp_path / "run")[:], expected, rtol=1e-10, atol=1e-12)


def test_steps_are_weighted_as_rows_are(tmp_path):
    weights = 1.0 + RNG.integers(0, 4, N)
    group = zarr.open_group(tmp_path / "data.zarr", mode="a")
    for name, values in (("rows", ROWS), ("w", weights)):
        group.create_array(name, data=values, chunks=(1000, *values.shape[1:]))
    steps = [{"standardise": {}}, {"clip": {"quantiles": [0.1, 0.9]}}, {"pca": {"n": 3}}]
    for kind in ("counts", "importance"):
        data = {"data": {"array": "rows", "weights": {"array": "w", "kind": kind}}}
        job = job_with(tmp_path, tmp_path / "data.zarr", steps, kind, **data)
        assert run(["run", "--quiet", str(job)]) == 0
    copies = array(tmp_path, np.repeat(ROWS, weights.astype(int), axis=0), names=[*"abcdefg"])
    assert run(["run", "--quiet", str(job_with(tmp_path, copies, steps, "copies"))]) == 0
    found, expected = (load_model(tmp_path / n).preprocess.steps for n in ("counts", "copies"))
    np.testing.assert_allclose(found[0].transform.mean, expected[0].transform.mean, rtol=1e-12)
    np.testing.assert_allclose(found[1].transform.low, expected[1].transform.low, atol=2e-3)
    np.testing.assert_allclose(
        np.abs(found[2].groups[0][1].axes), np.abs(expected[2].groups[0][1].axes), atol=2e-3
    )


def test_a_plan_says_how_often_the_source_is_read(tmp_path, capsys):
    job = job_with(tmp_path, array(tmp_path), PROFILES)
    assert run(["plan", str(job)]) == 0
    said = capsys.readouterr().out
    assert "plain array in 1 part, read 4 times" in said
    assert "preprocess: log, standardise, pca, clip" in said
    assert "fitting preprocess" in said
    assert "x 5 " in said or "5 features" in said


def test_rows_are_ingested_with_their_steps_and_a_run_goes_on_from_there(tmp_path):
    job = job_with(tmp_path, array(tmp_path), PROFILES)
    assert run(["ingest", "--quiet", str(job)]) == 0
    assert run(["run", "--quiet", str(job)]) == 0
    assert load_model(tmp_path / "run").preprocess.steps
    assert run(["ingest", "--quiet", str(job), "--to", str(tmp_path / "out.zarr")]) == 0
    out = zarr.open_group(tmp_path / "out.zarr", mode="r")["rows"]
    np.testing.assert_array_equal(out[:], prepared(tmp_path / "run")[:])


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([{"log": {"columns": ["q"]}}], "log.columns names q, and the features there are SR"),
        ([{"pca": {"variables": ["T"], "n": 1}}], "pca.variables names T"),
        ([{"pca": {"variables": ["SR"], "n": 4}}], "pca.n is 4, and the columns of SR are 3"),
        ([{"pca": {"n": 2, "columns": own}} for own in (NAMES[:3], NAMES[3:])],
         "would give several features the name pc1"),
    ],
)  # fmt: skip
def test_steps_that_do_not_fit_the_features_are_refused_before_work(tmp_path, capsys, steps, told):
    assert run(["run", "--quiet", str(job_with(tmp_path, array(tmp_path), steps))]) == 78
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run" / "prepared.zarr").exists()


def test_a_job_without_steps_is_the_job_that_it_was(tmp_path):
    from dgmm.config import load_job

    plain = load_job(job_of(tmp_path, array(tmp_path)))
    assert "preprocess" not in plain.fingerprint_fields()
    one, other = (
        load_job(job_with(tmp_path, tmp_path / "rows.zarr", [{"asinh": {"scale": s}}]))
        for s in (1, 2)
    )
    assert one.fingerprint_fields() != other.fingerprint_fields()


def test_a_model_whose_steps_were_changed_or_taken_away_is_refused(tmp_path):
    assert run(["run", "--quiet", str(job_with(tmp_path, array(tmp_path), PROFILES))]) == 0
    file = tmp_path / "run" / "model" / "model.json"
    whole = file.read_text()
    assert json.loads(whole)["schema_version"] == 2
    for damaged in (
        whole.replace('"log"', '"asinh"'),
        json.dumps({k: v for k, v in json.loads(whole).items() if k != "preprocess"}),
    ):
        file.write_text(damaged)
        with pytest.raises(ValueError, match="preprocess does not match its checksum"):
            load_model(tmp_path / "run")


def test_a_start_that_was_fitted_behind_other_steps_is_refused(tmp_path, capsys):
    data, steps = array(tmp_path), [{"asinh": {"scale": 2.0}}]
    assert run(["run", "--quiet", str(job_with(tmp_path, data, steps))]) == 0
    given = {"initialisation": {"method": "given", "model": str(tmp_path / "run" / "model")}}
    assert run(["run", "--quiet", str(job_of(tmp_path, data, "plain", **given))]) == 78
    assert "make them agree" in capsys.readouterr().err
    assert run(["run", "--quiet", str(job_with(tmp_path, data, steps, "same", **given))]) == 0


def test_another_scale_is_another_job(tmp_path, capsys):
    data = array(tmp_path)
    assert run(["run", "--quiet", str(job_with(tmp_path, data, [{"asinh": {"scale": 1}}]))]) == 0
    assert run(["run", "--quiet", str(job_with(tmp_path, data, [{"asinh": {"scale": 2}}]))]) == 73
    assert "preprocess" in capsys.readouterr().err
