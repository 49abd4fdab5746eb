"""Whether a run may go on where an earlier attempt was, and from what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dgmm.checkpoint import CheckpointStore, RunState
from dgmm.config import Job
from dgmm.errors import ExitCode, OutputExistsError
from dgmm.execution.environment import process_environment
from dgmm.job.directory import CHECKPOINT, RunDirectory
from dgmm.job.identity import difference, fingerprint
from dgmm.job.recording import RecordingListener
from dgmm.persistence import plain

#: Other versions of these may give other bits.
_DECIDING = ("dgmm", "numpy", "scipy", "numba")


def accepted_changes(
    directory: RunDirectory, data: Mapping[str, Any], *, accept_versions: bool
) -> list[str]:
    """What is not as it was in an earlier attempt and may be gone on with; the rest is refused.

    Nothing is written; the state of an attempt that ended because its data were invalid is removed
    where they have been mended.

    Parameters
    ----------
    directory
        With the earlier record.
    data
        The fingerprint of the data now, and of the model that it starts from.
    accept_versions
        Go on with other versions; bits are then not those of an undisturbed run.

    Returns
    -------
    list of str
        What is not as it was and was accepted, for the record.

    Raises
    ------
    OutputExistsError
        With what differs.
    """
    previous = directory.previous or {}
    seen = (previous.get("data") or {}).get("fingerprint")
    if seen is not None and seen != plain(data):
        if previous.get("exit_code") == ExitCode.DATA_INVALID:
            directory.forget_state()
            return ["the data have changed since a run found them invalid: this one starts over"]
        raise OutputExistsError(
            f"{directory.shown} holds the state of a run on other data: {difference(seen, data)}. "
            "Choose another output.path, or remove that directory to start over"
        )
    then = (previous.get("environment") or {}).get("driver")
    if then is None:
        return []
    now = process_environment()
    changed = difference({p: then.get(p) for p in _DECIDING}, {p: now[p] for p in _DECIDING})
    if changed and not accept_versions:
        raise OutputExistsError(
            f"{directory.shown} holds the state of a run with other versions: {changed}. Go on "
            "with those, or give --accept-versions: then bits are not those of an undisturbed run"
        )
    kernels = difference({"BLAS": _kernels(then)}, {"BLAS": _kernels(now)})
    return [
        f"the run goes on with other software or another processor than before ({text}): its bits "
        "are not those of an undisturbed run"
        for text in (changed, kernels)
        if text
    ]


def _kernels(environment: Mapping[str, Any]) -> list[Any]:
    blas = environment.get("blas") or []
    return sorted({str(b.get("architecture")) for b in blas if b.get("package") == "numpy"})


@contextmanager
def run_state(
    job: Job, directory: RunDirectory, data: Mapping[str, Any], listener: RecordingListener
) -> Iterator[RunState]:
    """The state of this run on disk, which any earlier attempt at it has left."""
    run = fingerprint({"job": directory.identity, "data": plain(data)})
    folder = directory.path / CHECKPOINT
    store = CheckpointStore(folder, run, listener.warning, lambda: directory.is_lost)
    every_s = job.checkpoint.every_s
    with RunState(store, every_s=every_s, max_iter=job.model.max_iter) as state:
        yield state
