"""A folder that takes another one's place: at any moment the old one or the new one is there."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters

from dgmm import GaussianMixture, load_model
from dgmm.errors import OutputFailedError
from dgmm.job.previous_attempts import remove_unfinished
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import model_digest, save_model
from dgmm.storage import folders

#: Where a save can be cut short: every call of the system that changes what is on disk.
CALLS = ("mkdir", "open", "fsync", "rename", "unlink", "rmdir")


@pytest.fixture(scope="module")
def models() -> tuple[MixtureModel, MixtureModel]:
    rows = gaussian_clusters(400, 2, 2)[0]
    old = GaussianMixture(2, random_state=0).fit(rows).model_
    return old, old.with_threshold(-9.5, 0.01)


def cut_short(
    monkeypatch: pytest.MonkeyPatch, nth: int, end: Callable[[], Any]
) -> Callable[[], bool]:
    """Call `end` in place of the nth of the calls; whether it came to that."""
    calls: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **words: Any) -> Any:
            calls.append(name)
            return end() if len(calls) == nth else function(*arguments, **words)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    monkeypatch.setattr(folders, "exchanged", counted("exchanged", folders.exchanged))
    return lambda: len(calls) >= nth


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_save_that_fails_anywhere_leaves_the_old_model_or_the_new_one(
    tmp_path: Path, models: tuple[MixtureModel, MixtureModel]
) -> None:
    old, new = models
    due = {model_digest(old), model_digest(new)}
    found = set()
    for nth in range(1, 200):
        save_model(old, tmp_path / "model")
        with pytest.MonkeyPatch.context() as patched:
            was_cut = cut_short(patched, nth, full)
            try:
                save_model(new, tmp_path / "model")
            except OutputFailedError:
                assert was_cut()
        found.add(model_digest(load_model(tmp_path / "model")))
        assert found <= due
        if not was_cut():
            break
    assert found == due
    assert nth > 10


def test_a_process_that_is_killed_while_it_saves_leaves_the_old_model_or_the_new_one(
    tmp_path: Path, models: tuple[MixtureModel, MixtureModel]
) -> None:
    old, new = models
    due = {model_digest(old), model_digest(new)}
    for nth in range(1, 40):
        path = tmp_path / str(nth)
        save_model(old, path)
        with warnings.catch_warnings():  # of threads, which the child does not need
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patched:
                cut_short(patched, nth, killed)
                save_model(new, path)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert model_digest(load_model(path)) in due
        if os.WIFEXITED(status):
            break
    assert os.WIFEXITED(status)
    assert model_digest(load_model(path)) == model_digest(new)


def test_where_names_cannot_be_exchanged_the_new_folder_takes_the_name_all_the_same(
    tmp_path: Path, models: tuple[MixtureModel, MixtureModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "exchanged", lambda *_: False)
    for model in models:
        save_model(model, tmp_path / "model")
        assert model_digest(load_model(tmp_path / "model")) == model_digest(model)
        assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_an_old_folder_keeps_its_name_where_the_second_of_two_steps_fails(
    tmp_path: Path, models: tuple[MixtureModel, MixtureModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "exchanged", lambda *_: False)
    save_model(models[0], tmp_path / "model")
    rename = os.rename

    def refusing(source: str, target: str, **words: Any) -> None:
        if target == "model" and source.endswith(".tmp"):
            full()
        rename(source, target, **words)

    monkeypatch.setattr(os, "rename", refusing)
    with pytest.raises(OutputFailedError):
        save_model(models[1], tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert model_digest(load_model(tmp_path / "model")) == model_digest(models[0])


@pytest.mark.parametrize("steps", [1, 2])
def test_a_run_that_was_killed_between_two_steps_gets_its_folder_back(
    tmp_path: Path, steps: int
) -> None:
    old = tmp_path / ".model.0123456789abcdef.old"
    old.mkdir()
    (old / "which").write_text("old")
    if steps == 2:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "which").write_text("new")
    other = tmp_path / ".notes.0123456789abcdef.old"
    other.write_text("mine")
    with folders.Folder(tmp_path) as folder:
        remove_unfinished(folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, "model"]
    assert (tmp_path / "model" / "which").read_text() == ("old" if steps == 1 else "new")


def test_what_lies_beside_a_model_stays(
    tmp_path: Path, models: tuple[MixtureModel, MixtureModel]
) -> None:
    beside = tmp_path / "model.part"
    beside.mkdir()
    (beside / "mine").write_text("mine")
    save_model(models[0], tmp_path / "model")
    assert (beside / "mine").read_text() == "mine"
    shutil.rmtree(beside)
    assert np.isfinite(load_model(tmp_path / "model").parameters.means).all()
