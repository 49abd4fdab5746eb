"""Jobs that classify: a mixture per class in the same passes, evaluated, with bits as any job's."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from clusters import job
from killed_anywhere import check_killed_anywhere
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from test_run_record import faults

from dgmm import GaussianMixtureClassifier
from dgmm.config import Job
from dgmm.data.stratified_folds import stratified_folds
from dgmm.errors import DataError, InputNotFoundError, NotFittedError, OutputExistsError
from dgmm.events import SilentListener
from dgmm.fitting import shrinkage
from dgmm.job import predict_job, run_job
from dgmm.model.classifier_files import load_classifier, save_classifier
from dgmm.run_record import json_schema

QUIET = SilentListener()
N, D = 9000, 3
NAMES = ["ash", "beech", "oak"]


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)  # three blocks
        yield


def _rows() -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows, their classes, and 600 groups of 15 rows each of one class."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(600), 15))
    classes = groups % 3
    X = rng.normal(size=(N, D)) * (1.0 + 0.2 * classes[:, None])
    return X + 0.9 * classes[:, None], classes, groups


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`X`, `code` with 99 for an unknown class in every hundredth row, and `group`."""
    X, classes, groups = _rows()
    folder = tmp_path_factory.mktemp("rows")
    store = zarr.create_group(str(folder / "rows.zarr"))
    store.create_array("X", data=X, chunks=(2000, D))
    codes = classes.copy()
    codes[::100] = 99
    store.create_array("code", data=codes, chunks=(1000,))
    store.create_array("group", data=groups, chunks=(777,))
    store.create_array("X_other_chunks", data=X, chunks=(501, 2))
    np.save(folder / "names.npy", np.array([*NAMES, ""])[np.where(codes == 99, 3, codes)])
    return folder


def _job(folder: Path, run: Path, /, **sections: Any) -> Job:
    own = {
        "task": "classify",
        "data": {"path": str(folder / "rows.zarr"), "array": "X", "classes": "code"},
        "model": {"n_components": 1, "reg_covar_relative": 0.0},
        "classes": {"unknown": [99]},
        "initialisation": {"n_sample_starts": 1},
    }
    for name, section in sections.items():
        own[name] = {**own.get(name, {}), **section}
    given = own.pop("data")
    return job(folder / "rows.zarr", run, data=given, **own)


def _folds(n_folds: int, *, by_group: bool) -> NDArray[np.int64]:
    """Of the rows, as the job deals them."""
    _, classes, groups = _rows()
    codes = np.where(np.arange(N) % 100 == 0, -1, classes)
    read = lambda: iter([(codes, groups if by_group else None)])  # noqa: E731 - of this line
    (folds,) = stratified_folds(read, 3, 600 if by_group else 0, n_folds, 0)
    return folds


def _record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def _log_posteriors(
    X: NDArray[Any], train: NDArray[Any], labels: NDArray[Any]
) -> NDArray[np.float64]:
    """Of one Gaussian per class, fitted to the rows of `train`, by their definition."""
    columns = []
    for c in range(3):
        own = train[labels == c]
        density = multivariate_normal(own.mean(axis=0), np.cov(own.T, bias=True))
        columns.append(density.logpdf(X) + np.log(len(own) / len(train)))
    joint = np.column_stack(columns)
    return joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)


def test_each_row_gets_the_posteriors_of_mixtures_that_were_fitted_to_the_rows_of_each_class(
    data: Path, tmp_path: Path
) -> None:
    run_job(_job(data, tmp_path / "run"), QUIET)
    X, classes, _ = _rows()
    known = np.arange(N) % 100 != 0
    expected = np.exp(_log_posteriors(X, X[known], classes[known]))
    outputs: Any = zarr.open_group(str(tmp_path / "run" / "outputs.zarr"), mode="r")
    np.testing.assert_allclose(outputs["class_posteriors"][:], expected, atol=1e-6)
    assert np.array_equal(outputs["classes"][:], expected.argmax(axis=1))
    assert outputs.attrs["class_names"] == [0, 1, 2]
    assert set(outputs.array_keys()) == {
        *("classes", "max_posterior", "log_density", "class_posteriors")
    }
    record = _record(tmp_path / "run")
    assert faults(record, json_schema()) == []
    found = record["classification"]
    assert found["rows_without_class"] == 90
    assert [c["rows"] for c in found["classes"]] == np.bincount(classes[known]).tolist()
    hits = expected.argmax(axis=1)[known] == classes[known]
    assert found["all_rows"]["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)
    losses = -np.log(expected[known, classes[known]])
    assert found["all_rows"]["log_loss"] == pytest.approx(losses.mean(), rel=1e-9)
    assert np.sum(found["all_rows"]["confusion"]) == known.sum()
    bins = found["all_rows"]["calibration"]
    inside = (expected.max(axis=1) >= 0.5) & (expected.max(axis=1) < 0.6) & known
    assert bins[5]["rows"] == inside.sum()
    own = expected.argmax(axis=1)[inside] == classes[inside]
    assert bins[5]["accuracy"] == pytest.approx(own.mean(), abs=1e-12)
    assert bins[5]["mean_posterior"] == pytest.approx(expected.max(axis=1)[inside].mean())


@pytest.mark.parametrize("by_group", [False, True])
def test_rows_are_held_out_by_class_or_group_and_compared_with_what_has_not_seen_them(
    data: Path, tmp_path: Path, by_group: bool
) -> None:
    groups_asked = {"groups": "group"} if by_group else {}
    asked = _job(data, tmp_path / "run", classes={"folds": 3}, data=groups_asked)
    run_job(asked, QUIET)
    X, classes, _ = _rows()
    known = np.arange(N) % 100 != 0
    folds = _folds(3, by_group=by_group)
    logs = np.empty((N, 3))
    for fold in range(3):
        train = known & (folds != fold)
        logs[folds == fold] = _log_posteriors(X[folds == fold], X[train], classes[train])
    # Priors are those of all rows, in every fold.
    shares = np.bincount(classes[known]) / known.sum()
    for fold in range(3):
        train = known & (folds != fold)
        own = np.bincount(classes[train]) / train.sum()
        logs[folds == fold] += np.log(shares / own)
    logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
    found = _record(tmp_path / "run")["classification"]["held_out"]
    assert found["rows"] == known.sum()
    hits = logs.argmax(axis=1)[known] == classes[known]
    assert found["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)
    assert found["log_loss"] == pytest.approx(-logs[known, classes[known]].mean(), rel=1e-9)


PRIORS = {"ash": 0.5, "beech": 0.3, "oak": 0.2}


def _by_groups(data: Path, run: Path, n_folds: int) -> list[dict[str, str]]:
    own = {"classes": str(data / "names.npy"), "groups": "group"}
    run_job(_job(data, run, data=own, classes={"priors": PRIORS, "folds": n_folds}), QUIET)
    with (run / "groups.csv").open() as file:
        return list(csv.DictReader(file))


def _group_posteriors(log_densities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the 600 groups, from log densities of the rows (n, 3)."""
    joint = np.tile(np.log([0.5, 0.3, 0.2]), (600, 1))
    np.add.at(joint, _rows()[2], log_densities)
    return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))


def test_groups_are_predicted_by_sums_of_log_densities(data: Path, tmp_path: Path) -> None:
    lines = _by_groups(data, tmp_path / "run", 0)
    classifier = load_classifier(tmp_path / "run")
    assert classifier.names == ("ash", "beech", "oak")
    assert classifier.priors.tolist() == [0.5, 0.3, 0.2]
    expected = _group_posteriors(classifier.log_densities(_rows()[0]))
    assert [int(line["group"]) for line in lines] == list(range(600))
    found = [[float(line[f"posterior_{name}"]) for name in NAMES] for line in lines]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert [line["predicted"] for line in lines] == [NAMES[i] for i in expected.argmax(axis=1)]
    assert [line["class"] for line in lines] == [NAMES[i % 3] for i in range(600)]
    record = _record(tmp_path / "run")["classification"]
    hits = expected.argmax(axis=1) == np.arange(600) % 3
    assert record["groups"]["all_rows"]["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)


def test_with_folds_groups_are_predicted_by_what_has_not_seen_them(
    data: Path, tmp_path: Path
) -> None:
    """But for groups of no class, which the saved classifier has not seen."""
    X, classes, groups = _rows()
    names = np.where(groups == 4, "", np.array(NAMES)[classes])
    np.save(tmp_path / "names.npy", names)
    asked = {"data": {"classes": str(tmp_path / "names.npy"), "groups": "group"}}
    asked["classes"] = {"priors": PRIORS, "folds": 2, "unknown": None}
    run_job(_job(data, tmp_path / "run", **asked), QUIET)
    with (tmp_path / "run" / "groups.csv").open() as file:
        lines = list(csv.DictReader(file))
    codes = np.where(names == "", -1, classes)
    (folds,) = stratified_folds(lambda: iter([(codes, groups)]), 3, 600, 2, 0)
    logs = np.empty((N, 3))
    for part in (0, 1, -1):
        train = (codes >= 0) & (folds != part)
        test = folds == part if part >= 0 else codes < 0
        for c in range(3):
            own = X[train & (codes == c)]
            density = multivariate_normal(own.mean(axis=0), np.cov(own.T, bias=True))
            logs[test, c] = density.logpdf(X[test])
    expected = _group_posteriors(logs)
    found = [[float(line[f"posterior_{name}"]) for name in NAMES] for line in lines]
    np.testing.assert_allclose(found, expected, atol=1e-8)
    seen = _group_posteriors(load_classifier(tmp_path / "run").log_densities(X))
    assert np.abs(np.delete(seen - expected, 4, axis=0)).max(axis=1).max() > 1e-3
    assert lines[4]["class"] == ""
    known = np.arange(600) != 4
    hits = np.array([line["predicted"] == line["class"] for line in lines])[known]
    record = _record(tmp_path / "run")["classification"]
    assert record["groups"]["held_out"]["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)
    assert record["groups"]["held_out"]["rows"] == 599
    assert record["held_out"]["accuracy"] < record["groups"]["held_out"]["accuracy"]


def _bits(run: Path) -> tuple[Any, ...]:
    record = _record(run)
    outputs = {name: array["sha256"] for name, array in record["outputs"].items()}
    return record["model_sha256"], outputs, record["classification"], record["log_likelihood"]


def test_bits_follow_neither_workers_nor_chunks(data: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": {"n_components": 2, "max_iter": 4}, "classes": {"folds": 2}}
    asked |= {"on_not_converged": "ignore"}
    sections = {k: v for k, v in asked.items() if isinstance(v, dict)}
    run_job(_job(data, tmp_path / "two", **sections), QUIET)
    run_job(_job(data, tmp_path / "one", cluster={"n_workers": 1}, **sections), QUIET)
    other = {"array": "X_other_chunks"}
    run_job(_job(data, tmp_path / "other", data=other, **sections), QUIET)
    assert _bits(tmp_path / "one") == _bits(tmp_path / "two") == _bits(tmp_path / "other")


def test_killed_at_20_random_points_it_leaves_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(run: str) -> Job:
        sections: Mapping[str, Any] = {"model": {"n_components": 2, "max_iter": 8, "tol": 0.0}}
        own = {"classes": {"folds": 2}, "cluster": {"n_workers": 1}, "data": {"groups": "group"}}
        return _job(data, tmp_path / run, **sections, **own)

    check_killed_anywhere(monkeypatch, asked, _bits, tmp_path, 20)


def test_a_class_of_too_few_rows_is_refused_by_name_and_small_ones_are_warned_of(
    data: Path, tmp_path: Path
) -> None:
    names = np.array(NAMES)[_rows()[1]]
    names[:3] = ["elm", "ash", "ash"]
    np.save(tmp_path / "names.npy", names)
    with pytest.raises(DataError, match=r"class 'elm' \(1\) has too few rows; expected at least 2"):
        run_job(_job(data, tmp_path / "run", data={"classes": str(tmp_path / "names.npy")}), QUIET)
    names[1:60] = "elm"
    np.save(tmp_path / "names.npy", names)
    run_job(_job(data, tmp_path / "run", data={"classes": str(tmp_path / "names.npy")}), QUIET)
    warnings = " ".join(_record(tmp_path / "run")["warnings"])
    assert "1 of 4 classes have fewer than 10 rows for each of the 9 free" in warnings
    assert "parameters of their mixture: 'elm' (60)" in warnings


def test_a_class_that_lies_in_one_fold_names_the_folds(data: Path, tmp_path: Path) -> None:
    names, groups = np.array(NAMES)[_rows()[1]], _rows()[2]
    names[groups == groups[0]] = "elm"
    np.save(tmp_path / "names.npy", names)
    own = {"classes": str(tmp_path / "names.npy"), "groups": "group"}
    said = (
        r"^class 'elm' \(0\) has too few rows outside fold [01]; .*, hold out no fold or smaller "
    )
    with pytest.raises(DataError, match=said):
        run_job(_job(data, tmp_path / "run", data=own, classes={"folds": 2}), QUIET)


def test_labels_that_do_not_fit_are_refused(data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.zeros(10, np.int64))
    np.save(tmp_path / "many.npy", np.arange(N))
    np.save(tmp_path / "half.npy", np.append(np.arange(N - 1) % 2, 2.5))
    for name, words in (
        ("few.npy", "data.classes has 10 values for 9,000 rows"),
        ("many.npy", "more than 1,000 different values"),
        ("half.npy", r"half\.npy is 2\.5 in row 8999; expected whole numbers or text\. Name a"),
    ):
        own = {"classes": str(tmp_path / name)}
        with pytest.raises(DataError, match=words):
            run_job(_job(data, tmp_path / name.removesuffix(".npy"), data=own), QUIET)
    np.save(tmp_path / "one.npy", np.full(N, "oak"))
    own = {"classes": str(tmp_path / "one.npy")}
    with pytest.raises(DataError, match=r"the rows have 1 class \('oak'\); expected at least 2"):
        run_job(_job(data, tmp_path / "one", data=own), QUIET)
    with pytest.raises(DataError, match=r"classes\.priors lacks 2"):
        run_job(_job(data, tmp_path / "run", classes={"priors": {0: 0.5, 1: 0.5}}), QUIET)


def test_a_saved_classifier_predicts_other_rows_and_compares_where_classes_are_known(
    data: Path, tmp_path: Path
) -> None:
    own = {"classes": str(data / "names.npy"), "groups": "group"}
    run_job(_job(data, tmp_path / "run", data=own), QUIET)
    applied = {"path": str(tmp_path / "run")}
    rows = {"array": "X", **own}
    predict_job(job(data / "rows.zarr", tmp_path / "again", model=applied, data=rows), QUIET)
    before, after = _record(tmp_path / "run"), _record(tmp_path / "again")
    assert faults(after, json_schema()) == []
    for name, array in before["outputs"].items():
        assert array["sha256"] == after["outputs"][name]["sha256"], name
    assert after["classification"]["all_rows"] == before["classification"]["all_rows"]
    assert (tmp_path / "run" / "groups.csv").read_text() == (
        tmp_path / "again" / "groups.csv"
    ).read_text()
    for others, said in (
        (
            np.where(_rows()[1] == 2, "elm", NAMES[0]),
            r"does not have ('elm'): rows of these are predicted",
        ),
        (np.arange(N) % 2, "has a class of the classifier ('ash', 'beech', 'oak'), but 0, 1: noth"),
        # More other classes than a fit takes: whatever is new is predicted.
        (np.arange(N).astype("U9"), "but '0', '1', '10', "),
    ):
        np.save(tmp_path / "others.npy", others)
        own = {"array": "X", "classes": str(tmp_path / "others.npy")}
        run = tmp_path / f"others-{len(set(others.tolist()))}-{others.dtype.kind}"
        predict_job(job(data / "rows.zarr", run, model=applied, data=own), QUIET)
        assert said in " ".join(_record(run)["warnings"])
    plain = {"array": "X"}
    predict_job(job(data / "rows.zarr", tmp_path / "plain", model=applied, data=plain), QUIET)
    found = _record(tmp_path / "plain")
    assert found["outputs"]["classes"]["sha256"] == before["outputs"]["classes"]["sha256"]
    assert "all_rows" not in found["classification"]
    assert load_classifier(tmp_path / "plain").names == ("ash", "beech", "oak")


def test_a_classifier_of_which_a_part_is_gone_or_exchanged_is_refused(
    data: Path, tmp_path: Path
) -> None:
    run_job(_job(data, tmp_path / "run"), QUIET)
    classes = tmp_path / "run" / "model"
    (classes / "class-0000").rename(tmp_path / "kept")
    with pytest.raises(InputNotFoundError, match="no model at"):
        load_classifier(tmp_path / "run")
    with pytest.raises(OutputExistsError, match=r"lacks model/class-0000/model\.json"):
        run_job(_job(data, tmp_path / "run"), QUIET)
    copytree(classes / "class-0001", classes / "class-0000")
    with pytest.raises(DataError, match="is not the model that was saved there"):
        load_classifier(tmp_path / "run")


def test_groups_of_several_classes_are_named_predicted_and_not_evaluated(
    data: Path, tmp_path: Path
) -> None:
    _, classes, groups = _rows()
    for group in (7, 5):
        classes[np.flatnonzero(groups == group)[0]] = (group + 1) % 3
    np.save(tmp_path / "classes.npy", classes)
    own = {"classes": str(tmp_path / "classes.npy"), "groups": "group"}
    run_job(_job(data, tmp_path / "run", data=own), QUIET)
    record = _record(tmp_path / "run")
    said = "2 of 600 groups have rows of several classes (5, 7): they are predicted, and left out"
    assert said in " ".join(record["warnings"])
    found = record["classification"]["groups"]
    assert (found["mixed"], found["all_rows"]["rows"]) == (2, 598)


def test_an_estimator_is_the_job(data: Path, tmp_path: Path) -> None:
    asked = {"n_components": 2, "tol": 1e-3}
    run_job(_job(data, tmp_path / "run", model=asked, classes={"unknown": None}), QUIET)
    X, _, _ = _rows()
    codes = zarr.open_group(str(data / "rows.zarr"), mode="r")["code"][:]
    own = GaussianMixtureClassifier(
        2, tol=1e-3, reg_covar_relative=0.0, n_sample_starts=1, random_state=0
    )
    with pytest.warns(UserWarning, match=r"fewer than 10 rows for each of the 19 .*: 99 \(90\)"):
        own.fit(X, codes)
    saved = load_classifier(tmp_path / "run")
    for one, other in zip(own.classifier_.mixtures, saved.mixtures, strict=True):
        assert np.array_equal(one.means, other.means)
        assert np.array_equal(one.covariances, other.covariances)
    assert own.classes_.tolist() == [0, 1, 2, 99]
    assert np.array_equal(own.predict_proba(X), saved.predict_proba(X))
    outputs: Any = zarr.open_group(str(tmp_path / "run" / "outputs.zarr"), mode="r")
    assert np.array_equal(own.classes_[outputs["classes"][:]], own.predict(X))
    assert (
        own.score(X, codes) == _record(tmp_path / "run")["classification"]["all_rows"]["accuracy"]
    )
    with pytest.raises(NotFittedError, match="call fit"):
        GaussianMixtureClassifier().predict(X)


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        ("bogus", "^priors is 'bogus'; expected data, uniform, or a number for each class"),
        (None, "^priors is None; expected data"),
        ([0.5, 0.5], "^priors is .0.5, 0.5.; expected data"),
        ({"a": "x", "b": 0.5}, "^priors is .'a': 'x', 'b': 0.5.; expected data"),
        ({"a": float("nan"), "b": 0.5}, "^priors: expected numbers above 0 that sum to 1"),
        ({"a": 0.5}, "^priors lacks b; expected a number for each class"),
    ],
)
def test_an_estimator_refuses_priors_that_are_none(priors: Any, words: str) -> None:
    X = np.linspace(-1, 1, 100)[:, None] + np.repeat([[0.0], [9.0]], 50, axis=0)
    with pytest.raises(DataError, match=words):
        GaussianMixtureClassifier(priors=priors).fit(X, np.repeat(["a", "b"], 50))


@pytest.mark.parametrize("share", [None, "bogus", True])
def test_an_estimator_refuses_a_share_that_is_none(share: Any) -> None:
    X = np.linspace(-1, 1, 100)[:, None] + np.repeat([[0.0], [9.0]], 50, axis=0)
    with pytest.raises(DataError, match=r"^reg_covar_relative is .*; expected auto or a finite"):
        GaussianMixtureClassifier(reg_covar_relative=share).fit(X, np.repeat([0, 1], 50))


def test_classes_are_quoted_and_cut_in_messages_that_name_no_keys() -> None:
    X = np.linspace(-1, 1, 51)[:, None]
    for name, shown in (("  ", "'  '"), ("x" * 300, f"'{'x' * 59}…'")):
        with pytest.raises(DataError) as caught:
            GaussianMixtureClassifier().fit(X, np.array(["b"] * 50 + [name]))
        said = str(caught.value)
        assert said.startswith(f"class {shown} (1) has too few rows; expected at least 2 rows with")
        assert said.endswith("as a covariance needs. Leave the class out, or give it more rows")


def test_classes_that_are_whole_floats_are_saved_as_integers(tmp_path: Path) -> None:
    X = np.linspace(-1, 1, 100)[:, None] + np.repeat([[0.0], [9.0]], 50, axis=0)
    for values in ([3.0, 4.0], [False, True]):
        y = np.repeat(values, 50)
        priors = {values[0]: 0.25, values[1]: 0.75}
        own = GaussianMixtureClassifier(priors=priors, random_state=0).fit(X, y)
        save_classifier(own.classifier_, tmp_path / "saved")
        assert load_classifier(tmp_path / "saved").names == tuple(map(int, values))
        assert own.predict(X).dtype == y.dtype
        assert np.array_equal(own.predict(X), y)
    for wrong in (np.repeat([0.5, 1.0], 50), np.repeat(np.array(["a", 1], object), 50)):
        with pytest.raises(DataError, match=r"y holds .*expected integers, whole numbers or text"):
            GaussianMixtureClassifier().fit(X, wrong)


def test_a_class_whose_components_became_equal_is_told_to_have_fewer() -> None:
    X = np.random.default_rng(0).normal(size=(300, 2)) + np.repeat([[0], [5], [10]], 100, 0)
    own = GaussianMixtureClassifier(2, reg_covar=1e4, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        own.fit(X, np.repeat(["a", "b", "c"], 100))
    said = [str(one.message) for one in caught if "DEGENERATE" in str(one.message)]
    end = "DEGENERATE_START: components are equal: lower n_components"
    assert said == [f"classes 'a', 'b', 'c': {end}"]


def test_rows_that_lack_values_are_refused_with_advice_that_a_classifier_can_follow() -> None:
    X, y = np.random.default_rng(0).normal(size=(200, 2)), np.repeat([0, 1], 100)
    own = GaussianMixtureClassifier(random_state=0).fit(X, y)
    X[3, 1] = np.nan
    for method, words in ((own.predict, "Drop such rows first"), (own.score, "Drop such rows")):
        with pytest.raises(DataError, match=rf"{words}[^,]*$"):
            method(X) if method == own.predict else method(X, y)
    with pytest.raises(DataError, match=r"feature x1\. Leave such rows out first, or repair the"):
        own.fit(X, y)


def test_an_estimator_takes_no_row_without_a_class_and_scores_by_weight() -> None:
    X = np.linspace(-1, 1, 100)[:, None] + np.repeat([[0.0], [9.0]], 50, axis=0)
    y = np.repeat([3.0, 4.0], 50)
    own = GaussianMixtureClassifier(random_state=0).fit(X, y)
    wrong = np.where(np.arange(100) < 10, 4.0, y)
    weights = np.where(np.arange(100) < 10, 9.0, 1.0)
    assert own.score(X, wrong) == pytest.approx(0.9, rel=1e-15)
    assert own.score(X, wrong, sample_weight=weights) == pytest.approx(0.5, rel=1e-15)
    for lacking in (np.nan, None):
        given = np.array([lacking, *y[1:]], object if lacking is None else float)
        with pytest.raises(DataError, match=r"y has 1 of 100 rows without a class .* in row 0: "):
            GaussianMixtureClassifier().fit(X, given)
    with pytest.raises(DataError, match="1 of 100 rows without a class"):
        GaussianMixtureClassifier().fit(X, pd.Series(["a", None, *"ab" * 49], dtype="string"))
    with pytest.raises(DataError, match=r"the class b'a'; .* y\.astype\(str\) makes text of bytes"):
        GaussianMixtureClassifier().fit(X, np.array([b"a", b"b"] * 50))
    with pytest.raises(DataError, match=r"y has shape \(4,\); expected \(100,\)"):
        own.score(X, y[:4])


def test_all_classes_of_too_few_rows_are_named_at_once() -> None:
    X, y = np.random.default_rng(0).normal(size=(100, 2)), np.repeat(["a", "b"], 50)
    y[:3], y[3:5], y[5] = "c", "d", "e"
    said = (
        r"^3 classes have too few rows: 'c' \(3\), 'd' \(2\), 'e' \(1\); expected at least 4 rows "
    )
    with pytest.raises(
        DataError,
        match=said + "with values and a known class, one for each of 4 comp.*Lower n_comp",
    ):
        GaussianMixtureClassifier(4).fit(X, y)


def test_the_share_for_few_rows_is_chosen_by_some_of_many_classes() -> None:
    """200 classes of which every seventh one is asked."""
    asked: list[tuple[int, ...]] = []
    with pytest.MonkeyPatch.context() as patch:

        def held_out(
            part: Any, settings: Any, number: tuple[int, ...], *_: Any
        ) -> shrinkage.HeldOut:
            asked.append(number)
            return shrinkage.HeldOut(np.zeros(7), 1.0)

        patch.setattr("dgmm.fitting.classes.shrinkage.held_out_of_folds", held_out)
        X, y = np.random.default_rng(0).normal(size=(800, 1)), np.arange(800) % 200
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            GaussianMixtureClassifier(random_state=0, n_sample_starts=1).fit(X, y)
        assert asked == [(label,) for label in range(0, 200, 7)]
        asked.clear()
        many = np.arange(40 * 40) % 40
        many[many == 7] = 8
        many[:4] = 7  # the one class of few rows is no seventh one
        X = np.random.default_rng(0).normal(size=(len(many), 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            GaussianMixtureClassifier(random_state=0, n_sample_starts=1).fit(X, many)
        assert asked == [(7,)]


@pytest.fixture(scope="module")
def lacking(data: Path) -> NDArray[np.float64]:
    """Rows that lack a tenth of their values, and a few that lack all; beside the whole ones."""
    X = _rows()[0]
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    X[5] = np.nan
    store = zarr.open_group(str(data / "rows.zarr"), mode="a")
    store.create_array("lacking", data=X, chunks=(2000, D))
    return X


def test_incomplete_rows_that_are_dropped_are_neither_fitted_nor_compared(
    data: Path, lacking: NDArray[np.float64], tmp_path: Path
) -> None:
    own = {"array": "lacking", "missing": "drop", "groups": "group"}
    run_job(_job(data, tmp_path / "run", data=own, classes={"folds": 2}), QUIET)
    _, classes, groups = _rows()
    complete, known = ~np.isnan(lacking).any(axis=1), np.arange(N) % 100 != 0
    fitted = complete & known
    outputs: Any = zarr.open_group(str(tmp_path / "run" / "outputs.zarr"), mode="r")
    posteriors = outputs["class_posteriors"][:]
    expected = _log_posteriors(lacking[complete], lacking[fitted], classes[fitted])
    np.testing.assert_allclose(posteriors[complete], np.exp(expected), atol=1e-6)
    assert (outputs["classes"][:] == -1).tolist() == (~complete).tolist()
    assert np.isnan(posteriors[~complete]).all()
    found = _record(tmp_path / "run")["classification"]
    assert [c["rows"] for c in found["classes"]] == np.bincount(classes[fitted]).tolist()
    assert found["all_rows"]["rows"] == found["held_out"]["rows"] == fitted.sum()
    with (tmp_path / "run" / "groups.csv").open() as file:
        counted = {int(line["group"]): int(line["rows"]) for line in csv.DictReader(file)}
    assert counted == dict(enumerate(np.bincount(groups[complete], minlength=600).tolist()))


def test_incomplete_rows_are_predicted_by_the_marginal_densities_of_what_they_have(
    data: Path, lacking: NDArray[np.float64], tmp_path: Path
) -> None:
    own = {"array": "lacking", "missing": "marginalise"}
    sections: dict[str, Any] = {"data": own, "model": {"tol": 1e-3}, "classes": {"folds": 2}}
    run_job(_job(data, tmp_path / "run", **sections), QUIET)
    classifier, has = load_classifier(tmp_path / "run"), ~np.isnan(lacking)
    joint = np.full((N, 3), np.nan)
    for pattern in np.unique(has[has.any(axis=1)], axis=0):
        rows = (has == pattern).all(axis=1)
        for c, one in enumerate(classifier.mixtures):
            covariance = one.covariances[0][np.ix_(pattern, pattern)]
            density = multivariate_normal(one.means[0][pattern], covariance)
            joint[rows, c] = density.logpdf(lacking[np.ix_(rows, pattern)])
    joint += classifier.log_priors
    some = has.any(axis=1)
    expected = np.exp(joint[some] - np.logaddexp.reduce(joint[some], axis=1, keepdims=True))
    outputs: Any = zarr.open_group(str(tmp_path / "run" / "outputs.zarr"), mode="r")
    np.testing.assert_allclose(outputs["class_posteriors"][:][some], expected, atol=1e-6)
    assert (outputs["classes"][:] >= 0).tolist() == some.tolist()
    _, classes, _ = _rows()
    counted = (np.arange(N) % 100 != 0) & some
    found = _record(tmp_path / "run")["classification"]
    assert [c["rows"] for c in found["classes"]] == np.bincount(classes[counted]).tolist()
    assert found["all_rows"]["rows"] == found["held_out"]["rows"] == counted.sum()
    hits = joint[counted].argmax(axis=1) == classes[counted]
    assert found["all_rows"]["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)
    # The fit is that of all values: EM's fixed point, the mean of expected values.
    for c, one in enumerate(classifier.mixtures):
        mine = lacking[counted & (classes == c)]
        filled = np.array([_expected(row, one.means[0], one.covariances[0]) for row in mine])
        np.testing.assert_allclose(filled.mean(axis=0), one.means[0], atol=0.005)


def _expected(
    row: NDArray[np.float64], mean: NDArray[Any], covariance: NDArray[Any]
) -> NDArray[np.float64]:
    """A row with the expected values of what it lacks, given the rest."""
    gap, has = np.isnan(row), ~np.isnan(row)
    if not gap.any():
        return row
    found = row.copy()
    given = np.linalg.solve(covariance[np.ix_(has, has)], row[has] - mean[has])
    found[gap] = mean[gap] + covariance[np.ix_(gap, has)] @ given
    return found
