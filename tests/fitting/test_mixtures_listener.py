"""What is heard of fits of many mixtures: a line for each pass, a warning for each text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import job

from dgmm.cli.progress import PlainLines
from dgmm.events import SilentListener
from dgmm.fitting.classes.class_preparation import Part
from dgmm.fitting.classes.mixtures_listener import PassListener, StartsListener
from dgmm.job import run_job

NAMES = ["a", "b", "c"]


class Heard(SilentListener):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def mixtures(self, record: Mapping[str, Any]) -> None:
        self.records.append(record)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_starts_are_counted_in_tenths_and_warned_of_once_for_all_mixtures() -> None:
    heard = Heard()
    starts = StartsListener(heard, NAMES, 40)
    for number in range(40):
        starts.begins(Part(number % 3, None if number < 3 else number // 3 - 1))
        if number in {0, 2, 4}:
            starts.warning("start 0 failed: far")
    starts.end()
    assert [record["begun"] for record in heard.records] == [4, 8, 12, 16, 20, 24, 28, 32, 36]
    assert heard.warnings == ["classes a, c; without fold 0: b: start 0 failed: far"]
    few = Heard()
    starts = StartsListener(few, NAMES, 3)
    for label in range(3):
        starts.begins(Part(label))
    starts.end()
    assert (few.records, few.warnings) == ([], [])


def test_components_that_changed_are_counted_in_one_note() -> None:
    heard = Heard()
    passes = PassListener(heard, NAMES, 100)
    for label, fold, kind in ((0, None, "reseeded"), (0, None, "dropped"), (2, 1, "reseeded")):
        own = {"class": label, "message": "x", "kind": kind}
        passes.component(own if fold is None else own | {"fold": fold})
    passes.end()
    said = "components: 2 reseeded, 1 dropped (class a; without fold 1: c); component_log in run"
    assert len(heard.notes) == 1
    assert heard.notes[0].startswith(said)


def test_a_job_of_many_mixtures_prints_a_line_for_each_pass_and_a_warning_for_each_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, labels = np.random.default_rng(0), np.arange(900) % 3
    store = zarr.create_group(str(tmp_path / "rows.zarr"))
    store.create_array("X", data=rng.normal(size=(900, 2)) + labels[:, None])
    store.create_array("y", data=labels)
    sections = {"classes": {"folds": 5}, "cluster": {"kind": "threads"}}
    model = {"n_components": 2, "tol": 1e-9, "max_iter": 4}
    own = {"array": "X", "classes": "y"}
    rows = tmp_path / "rows.zarr"
    run = tmp_path / "run"
    run_job(job(rows, run, task="classify", data=own, model=model, **sections), PlainLines())
    lines = capsys.readouterr().err.splitlines()
    passes = [line for line in lines if line.startswith("pass ")]
    assert [line.split(", ")[0] for line in passes] == [
        *(f"pass {i}: 18 of 18 mixtures go on" for i in (1, 2, 3)),
        "pass 4: 0 of 18 mixtures go on",
    ]
    assert not [line for line in lines if line.startswith("iteration")]
    assert "initialisation: kmeans for 3 classes and 5 folds: 18 mixtures" in lines
    (end,) = [line for line in lines if "MAX_ITER_REACHED" in line]
    assert end.startswith("warning: classes 0, 1, 2; without fold 0: 0, 1, 2; without fold 1: 0")
    assert len(lines) < 30
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    (last,) = [e for e in events if e["event"] == "mixtures" and e.get("pass") == 4]
    assert (last["running"], last["of"], last["rows"]) == (0, 18, 900)
    metrics = (run / "metrics.csv").read_text().splitlines()
    assert len(metrics) == 1 + 4 * 18
    changes = [abs(float(line.split(",")[3])) for line in metrics if line.startswith("4,")]
    assert last["change"] == max(changes)
    assert "iteration" not in {event["event"] for event in events}
