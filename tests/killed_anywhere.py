"""Runs that end at random points, as where a process is killed, and are run again to their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgmm.checkpoint import RunState
from dgmm.config import Job
from dgmm.data.zarr.dataset import ZarrDataset
from dgmm.events import SilentListener
from dgmm.job import run_job


class Killed(Exception):  # noqa: N818 - what it stands for is no error
    """Ends a run where a process would be killed."""


class EndsAt(SilentListener):
    """Ends the run at one of its ticks: whatever it tells, and every block that it reads."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.n = at, 0

    def tick(self, *_: Any) -> None:
        self.n += 1
        if self.n == self.at:
            raise Killed

    stage = trials = iteration = mixtures = component = warning = note = tick


def check_killed_anywhere(
    monkeypatch: pytest.MonkeyPatch,
    asked: Callable[[str], Job],
    bits: Callable[[Path], Any],
    folder: Path,
    n_kills: int,
) -> None:
    """A run killed so often, at random points, leaves what one that was left alone leaves.

    What waits to be saved is lost, in half of the attempts a pass. `asked` gives the job of a run
    directory's name in the folder, `bits` what of a directory has to be the same.
    """
    listener, read, rng = EndsAt(), ZarrDataset.read_blocks, np.random.default_rng(20)

    def ticking(self: ZarrDataset, run: Any) -> Iterator[Any]:
        for block in read(self, run):
            listener.tick()
            yield block

    monkeypatch.setattr(ZarrDataset, "read_blocks", ticking)
    monkeypatch.setattr(RunState, "__exit__", lambda *_: None)

    def runs_to_its_end(name: str, at: int | None) -> bool:
        nonlocal listener
        listener = EndsAt(at)
        monkeypatch.setattr("dgmm.checkpoint.run_state.EM_EVERY_S", float(rng.integers(2)))
        try:
            run_job(asked(name), listener)
        except Killed:
            return False
        return True

    assert runs_to_its_end("whole", None)
    ticks, expected = listener.n, bits(folder / "whole")
    n_killed, n_ended = 0, 0
    while n_killed < n_kills:  # a run may be killed again and again before it ends
        if runs_to_its_end(f"run-{n_ended}", int(rng.integers(1, ticks + 1))):
            assert bits(folder / f"run-{n_ended}") == expected
            n_ended += 1
        else:
            n_killed += 1
    assert runs_to_its_end(f"run-{n_ended}", None)
    assert bits(folder / f"run-{n_ended}") == expected
