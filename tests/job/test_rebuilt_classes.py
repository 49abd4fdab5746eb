"""Runs of classes that lack outputs, and runs whose folds another version has made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import job
from killed_anywhere import EndsAt, Killed

from dgmm.config import Job
from dgmm.errors import OutputExistsError
from dgmm.events import SilentListener
from dgmm.job import class_folds, classify_job, predict_job, run_job

QUIET = SilentListener()
N = 600


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, the last row's unknown, in groups of four rows."""
    rng, labels = np.random.default_rng(0), np.arange(N) // 4 % 3
    path = tmp_path_factory.mktemp("data") / "rows.zarr"
    store = zarr.create_group(str(path))
    store.create_array("X", data=rng.normal(size=(N, 2)) + labels[:, None])
    codes = np.where(np.arange(N) == N - 1, 99, labels)
    store.create_array("code", data=codes)
    store.create_array("group", data=np.arange(N) // 4)
    return path


def _job(data: Path, run: Path, folds: int = 0, **model: Any) -> Job:
    own = {"array": "X", "classes": "code", "groups": "group"}
    asked = {"folds": folds, "unknown": [99]}
    mixture = {"n_components": 2, "max_iter": 400} | model
    sections = {"classes": asked, "model": mixture, "cluster": {"kind": "threads"}}
    return job(data, run, task="classify", data=own, **sections)


def _record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run without folds, one with them, and what the first one's classifier predicts."""
    folder = tmp_path_factory.mktemp("finished")
    run_job(_job(data, folder / "run"), QUIET)
    run_job(_job(data, folder / "folds", 2), QUIET)
    _predict(data, folder / "run", folder / "predicted")
    return {name: folder / name for name in ("run", "folds", "predicted")}


def _predict(data: Path, fitted: Path, run: Path, *, rebuild: bool = False) -> Any:
    own = {"array": "X", "groups": "group"}
    asked = job(data, run, data=own, model={"path": str(fitted)}, cluster={"kind": "threads"})
    return predict_job(asked, QUIET, rebuild=rebuild)


LACKING: dict[str, tuple[Callable[[Path], object], str]] = {
    "outputs": (lambda run: shutil.rmtree(run / "outputs.zarr"), r"outputs\.zarr/classes"),
    "an array": (
        lambda run: shutil.rmtree(run / "outputs.zarr/class_posteriors"),
        r"outputs\.zarr/class_posteriors",
    ),
    "groups": (lambda run: (run / "groups.csv").unlink(), r"groups\.csv"),
}


@pytest.mark.parametrize("kind", ["run", "predicted"])
@pytest.mark.parametrize("lacking", LACKING)
def test_outputs_of_a_classifier_are_written_again_with_the_same_values(
    data: Path,
    finished: dict[str, Path],
    tmp_path: Path,
    lacking: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classify_job, "fit_classes", None)  # nothing is fitted
    run = Path(shutil.copytree(finished[kind], tmp_path / kind))
    groups, before = (run / "groups.csv").read_bytes(), _record(run)
    if lacking != "groups":
        (run / "labels.zarr").rename(tmp_path / "labels")  # read from the data again
    remove, named = LACKING[lacking]
    remove(run)

    def again(*, rebuild: bool) -> Any:
        if kind == "predicted":
            return _predict(data, finished["run"], run, rebuild=rebuild)
        return run_job(_job(data, run), QUIET, rebuild=rebuild)

    with pytest.raises(OutputExistsError, match=f"lacks {named}.*with --rebuild-outputs"):
        again(rebuild=False)
    assert again(rebuild=True).exit_code == 0
    after = _record(run)
    assert after["outputs"] == before["outputs"]
    assert after["classification"] == before["classification"]
    assert after["warnings"][-1].startswith("outputs.zarr was written again from the model")
    assert (run / "groups.csv").read_bytes() == groups
    assert not list(run.glob("checkpoint*"))
    for name in before["outputs"]:
        arrays = [
            zarr.open_array(str(one / "outputs.zarr" / name), mode="r")[:]
            for one in (finished[kind], run)
        ]
        assert np.array_equal(arrays[0], arrays[1], equal_nan=True)
    assert again(rebuild=False).was_finished


def test_groups_that_folds_have_predicted_are_kept_or_said_to_be_lost(
    data: Path, finished: dict[str, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished["folds"], tmp_path / "run"))
    groups, before = (run / "groups.csv").read_bytes(), _record(run)
    shutil.rmtree(run / "outputs.zarr")
    run_job(_job(data, run, 2), QUIET, rebuild=True)
    assert _record(run)["outputs"] == before["outputs"]
    assert (run / "groups.csv").read_bytes() == groups
    (run / "groups.csv").unlink()
    told = Told()
    assert run_job(_job(data, run, 2), told).was_finished
    assert [text for text in told.warnings if "lacks groups.csv, which cannot" in text]


class Told(SilentListener):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def test_outputs_are_not_written_again_by_another_classifier(
    data: Path, finished: dict[str, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished["run"], tmp_path / "run"))
    other = tmp_path / "other"
    run_job(_job(data, other, n_components=1), QUIET)
    shutil.rmtree(run / "outputs.zarr")
    shutil.rmtree(run / "model")
    shutil.copytree(other / "model", run / "model")
    said = "cannot be written again: model/ is not the classifier that this run has saved"
    with pytest.raises(OutputExistsError, match=said):
        run_job(_job(data, run), QUIET, rebuild=True)
    shutil.rmtree(run / "model")
    with pytest.raises(OutputExistsError, match="cannot be written again: no classifier at"):
        run_job(_job(data, run), QUIET, rebuild=True)


def test_a_prediction_that_lacks_its_classifier_alone_gets_that_and_nothing_else(
    data: Path, finished: dict[str, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished["predicted"], tmp_path / "run"))
    shutil.rmtree(run / "model/class-0001")
    _predict(data, finished["run"], run, rebuild=True)
    assert _record(run)["warnings"][-1].startswith("model was saved again")
    assert _predict(data, finished["run"], run).was_finished


def _of_unnamed_rule(run: Path) -> None:
    """A run as a version left it that named no rule of folds."""
    record = _record(run)
    del record["data"]["fingerprint"]["folds"]
    (run / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize("rule", [None, "dealt-9"])
def test_a_run_of_folds_does_not_go_on_with_those_of_another_rule(
    data: Path, tmp_path: Path, rule: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _job(data, tmp_path / "run", 2)
    with monkeypatch.context() as patch:
        if rule is not None:
            patch.setattr(class_folds, "FOLD_RULE", rule)
        with pytest.raises(Killed):
            run_job(asked, EndsAt(9))
    assert list((tmp_path / "run/checkpoint").glob("class-starts*"))
    if rule is None:
        _of_unnamed_rule(tmp_path / "run")
    before = (tmp_path / "run/run.json").read_bytes()
    named = "a rule that it does not name" if rule is None else "the rule dealt-9"
    with pytest.raises(OutputExistsError, match=rf"another version .*made, by {named}; .*remove"):
        run_job(asked, QUIET)
    assert (tmp_path / "run/run.json").read_bytes() == before
    if rule is not None:  # states name the rule themselves
        record = _record(tmp_path / "run")
        record["data"]["fingerprint"]["folds"] = class_folds.FOLD_RULE
        (tmp_path / "run/run.json").write_text(json.dumps(record))
        with pytest.raises(OutputExistsError, match="belongs to another job or to other data"):
            run_job(asked, QUIET)


def test_a_finished_run_of_folds_of_another_rule_stays_finished(
    data: Path, finished: dict[str, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished["folds"], tmp_path / "run"))
    _of_unnamed_rule(run)
    assert run_job(_job(data, run, 2), QUIET).was_finished
