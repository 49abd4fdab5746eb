"""States on disk: whole or refused, two of each, of this very run."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgmm.checkpoint import CheckpointStore, store
from dgmm.errors import DataError, InputNotFoundError, OutputExistsError, OutputFailedError
from dgmm.fitting.initialisation.oversampling import Counts
from dgmm.storage.array_files import read_sealed, write_sealed

STATE = {"X": np.arange(100.0), "n": 3}


def opened(folder: Path, said: list[str] | None = None, run: str = "run") -> CheckpointStore:
    return CheckpointStore(folder / "checkpoint", run, (said if said is not None else []).append)


def test_the_newest_state_is_loaded_and_the_one_before_it_kept(tmp_path: Path) -> None:
    states = opened(tmp_path)
    assert states.load("em") is None
    for n in range(5):
        states.save("em", n)
    states.save("pass", "other")
    assert opened(tmp_path).load("em") == 4
    names = sorted(p.name for p in (tmp_path / "checkpoint").iterdir())
    assert names == ["em.4.checkpoint", "em.5.checkpoint", "pass.1.checkpoint"]
    states.discard("em")
    assert states.load("em") is None
    assert states.load("pass") == "other"


def test_a_damaged_state_is_said_and_the_one_before_it_loaded(tmp_path: Path) -> None:
    states = opened(tmp_path)
    states.save("em", 1)
    states.save("em", 2)
    newest = tmp_path / "checkpoint" / "em.2.checkpoint"
    newest.write_bytes(newest.read_bytes()[:-1])
    said: list[str] = []
    assert opened(tmp_path, said).load("em") == 1
    assert len(said) == 1
    assert "em.2.checkpoint is damaged" in said[0]


def test_damaged_states_are_kept_aside_and_it_is_said_when_none_is_left(tmp_path: Path) -> None:
    states = opened(tmp_path)
    states.save("em", 1)
    states.save("em", 2)
    folder = tmp_path / "checkpoint"
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    damaged = {path.stem: path.read_bytes() for path in folder.iterdir()}
    said: list[str] = []
    states = opened(tmp_path, said)
    assert states.load("em") is None
    assert "it is kept as em.2.damaged, and state 1 of em is taken" in said[0]
    assert "em.1.damaged, and no whole state of em is left" in said[1]
    states.save("em", 3)
    states.save("em", 4)
    assert opened(tmp_path).load("em") == 4
    assert {p.stem: p.read_bytes() for p in folder.glob("*.damaged")} == damaged
    assert sorted(p.name for p in folder.glob("*.checkpoint")) == [
        "em.3.checkpoint",
        "em.4.checkpoint",
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda r: r.update(record="Anew"), "a record 'Anew', which is unknown"),
        (lambda r: r["fields"].update(colour=2), "'Counts' has an unknown field 'colour'"),
        (lambda r: r["fields"].pop("values"), "'Counts' lacks the field 'values'"),
    ],
    ids=["record", "field more", "field less"],
)
def test_a_whole_state_of_another_version_is_refused_by_what_differs_and_stays(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], named: str
) -> None:
    counts = Counts(np.arange(3))
    opened(tmp_path).save("em", counts)
    opened(tmp_path).save("em", counts)
    folder = tmp_path / "checkpoint"
    for path in folder.iterdir():
        arrays = read_sealed(path)
        content = json.loads(arrays["tree"].tobytes())
        change(dict(content["tree"]["map"])["value"])
        arrays["tree"] = np.frombuffer(json.dumps(content).encode(), np.uint8)
        write_sealed(path, **arrays)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for read in (lambda states: states.load("em"), lambda states: states.check()):
        said: list[str] = []
        with pytest.raises(OutputExistsError, match=named) as refused:
            read(opened(tmp_path, said))
        assert "em.2.checkpoint is whole, but this version" in str(refused.value)
        assert "choose another output.path" in str(refused.value)
        assert not said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_state_that_lacks_what_it_should_hold_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).save("em", {"candidates": ()})
    with pytest.raises(OutputExistsError, match="it lacks max_iter, n_passes"):
        opened(tmp_path).load("em", ("candidates", "n_passes", "max_iter"))


def test_any_bit_of_a_sealed_file_that_is_turned_is_found(tmp_path: Path) -> None:
    path = tmp_path / "sealed"
    write_sealed(path, X=np.arange(40.0), tree=np.frombuffer(b"{}", np.uint8))
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_sealed(path)["X"], np.arange(40.0))
    for place in range(0, len(whole), 7):
        content = bytearray(whole)
        content[place] ^= 1 << (place % 8)
        path.write_bytes(content)
        with pytest.raises(DataError, match="is damaged"):
            read_sealed(path)
    for length in (0, 1, 39, 40, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="is damaged"):
            read_sealed(path)
    path.unlink()
    with pytest.raises(InputNotFoundError, match="cannot read"):
        read_sealed(path)


def test_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).save("em", 1)
    with pytest.raises(OutputExistsError, match="belongs to another job"):
        opened(tmp_path, run="another").load("em")


def test_a_state_of_another_format_is_refused_with_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(store, "FORMAT", 99)
        opened(tmp_path).save("em", 1)
    with pytest.raises(
        OutputExistsError, match=f"has format 99, and format {store.FORMAT} is read"
    ):
        opened(tmp_path).load("em")


def test_a_state_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = opened(tmp_path)
    states.save("em", STATE)

    def full(_: int) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputFailedError, match="No space left"):
            states.save("em", {"n": 4})
    assert states.load("em")["n"] == 3
    assert not list((tmp_path / "checkpoint").glob(".*"))


def test_files_are_plain_arrays_and_json(tmp_path: Path) -> None:
    opened(tmp_path).save("em", STATE)
    arrays = read_sealed(tmp_path / "checkpoint" / "em.1.checkpoint")
    content = json.loads(arrays["tree"].tobytes())
    assert content["format"] == store.FORMAT
    assert {name: array.dtype.kind for name, array in arrays.items()} == {"tree": "u", "a0": "f"}


def test_what_lies_beside_the_states_is_not_touched(tmp_path: Path) -> None:
    states = opened(tmp_path)
    states.save("em", 1)
    beside = tmp_path / "checkpoint" / "em.notes"
    beside.write_text("mine")
    states.save("em", 2)
    states.discard("em")
    assert beside.read_text() == "mine"
