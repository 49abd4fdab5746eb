"""Whether a run may resume an earlier attempt, and from what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dgmm.checkpoint import CheckpointStore, RunState
from dgmm.config import Job
from dgmm.errors import OutputExistsError
from dgmm.exit_codes import ExitCode
from dgmm.job.directory import RunDirectory
from dgmm.job.earlier_identities import (
    FOLD_KEY,
    as_recorded,
    computed_from,
    in_former_names,
    without_folds,
)
from dgmm.job.identity import difference, fingerprint
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.products import CHECKPOINT, OUTPUTS, holds_results, results_set_aside
from dgmm.runtime.environment import DECIDING, environment_difference, process_environment
from dgmm.storage.atomic_files import plain


def accepted_changes(
    directory: RunDirectory, data: Mapping[str, Any], *, accept_versions: bool
) -> list[str]:
    """What differs from an earlier attempt and is accepted; other differences are refused.

    Nothing is written; what an attempt has left that ended because its data were invalid is set
    aside where they have been corrected, or removed where it had not come to EM.

    Parameters
    ----------
    directory
        With the earlier record.
    data
        The fingerprint of the data now, and of the model that it starts from.
    accept_versions
        Resume with other versions or on another processor; the result is then not
        bit-identical to that of an undisturbed run.

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
    data = data if seen is None else as_recorded(data, seen)
    if seen is not None and seen != plain(data):
        if previous.get("exit_code") == ExitCode.DATA_INVALID and not directory.folder.holds(
            OUTPUTS
        ):
            return [
                "the data have changed since a run found them invalid: this one starts over"
                + _without_state(directory)
            ]
        if without_folds(seen) == plain(without_folds(data)):
            raise _other_folds(directory, seen.get(FOLD_KEY), data.get(FOLD_KEY))
        raise OutputExistsError(
            f"{directory.shown} holds the state of a run on other data: {difference(seen, data)}. "
            "Choose another output.path, or remove that directory to start over"
        )
    then = (previous.get("environment") or {}).get("driver")
    if then is None:
        return []
    return _accepted(
        directory, environment_difference(then, process_environment()), accept_versions
    )


def _other_folds(directory: RunDirectory, then: str | None, now: str | None) -> OutputExistsError:
    """Why a state is refused whose folds are not those that this version makes."""
    rule = "a rule that it does not name" if then is None else f"the rule {then}"
    return OutputExistsError(
        f"{directory.shown} holds the state of a run whose folds (classes.folds) another version "
        f"of dgmm has made, by {rule}; this one makes other folds, by the rule {now}. Go on with "
        "that version, choose another output.path, or remove that directory to start over"
    )


def _without_state(directory: RunDirectory) -> str:
    """Put what other data have given out of the way; what to say of it."""
    if not holds_results(directory.folder):
        directory.forget_state()
        return ""
    return f"; what the former data gave is now {results_set_aside(directory.folder)}"


def accepted_workers(
    directory: RunDirectory, environment: Mapping[str, Any], *, accept_versions: bool
) -> list[str]:
    """How the workers differ from all that computed in earlier attempts, where that is accepted.

    Parameters
    ----------
    directory
        With the earlier record.
    environment
        The executor's of now: `driver` and groups of `workers`.
    accept_versions
        As in `accepted_changes`.

    Raises
    ------
    OutputExistsError
        With what differs and which worker it is.
    """
    then = (directory.previous or {}).get("environment") if directory.is_resumed else None
    now = environment["driver"]
    if then is None or not (then.get("workers") or environment["workers"]):
        return []  # the driver computes alone, and was compared before anything was written
    is_other_driver = environment_difference(then.get("driver") or now, now) != ""
    before = _computing(then)
    for name, report in _computing(environment).items():
        if is_other_driver and not environment_difference(now, report):
            continue  # reported of the driver
        texts = [environment_difference(earlier, report) for earlier in before.values()]
        if all(texts):
            return _accepted(directory, f"{name}: {min(texts, key=len)}", accept_versions)
    return []


def _computing(environment: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The reports of those that compute passes, by name: the workers, or the driver alone."""
    groups = environment.get("workers") or []
    own = {f"worker {group['workers'][0]}": group["environment"] for group in groups}
    return own or {"this process": environment["driver"]}


def _accepted(directory: RunDirectory, changed: str, accept_versions: bool) -> list[str]:
    if not changed:
        return []
    if not accept_versions:
        is_other_software = any(f"{package} is " in changed for package in DECIDING)
        what = "with other versions" if is_other_software else "on another processor"
        raise OutputExistsError(
            f"{directory.shown} holds the state of a run {what}: {changed}. Go on with those, or "
            "give --accept-versions: then bits are not those of an undisturbed run"
        )
    text = f"the run resumes with other software or another processor than before ({changed}): "
    return [text + "its bits are not those of an undisturbed run"]


def check_state(directory: RunDirectory, data: Mapping[str, Any]) -> None:
    """Refuse a state that cannot be resumed, before anything is written.

    Raises
    ------
    OutputExistsError
        If it is of another run, or this version of dgmm does not understand it.
    """
    _store(directory, data, lambda _: None, CHECKPOINT).check()


@contextmanager
def run_state(
    job: Job,
    directory: RunDirectory,
    data: Mapping[str, Any],
    listener: RecordingListener,
    name: str = CHECKPOINT,
) -> Iterator[RunState]:
    """The state of this run on disk, which any earlier attempt at it has left."""
    store = _store(directory, data, listener.warning, name)
    every_s = job.checkpoint.every_s
    with RunState(store, every_s=every_s, max_iter=job.model.max_iter) as state:
        yield state


def _store(
    directory: RunDirectory, data: Mapping[str, Any], warn: Callable[[str], None], name: str
) -> CheckpointStore:
    own = in_former_names(directory.identity)
    run = fingerprint({"job": own, "data": plain(computed_from(data))})
    return CheckpointStore(directory.folder / name, run, warn, lambda: directory.is_lost)
