"""What earlier attempts have left in a run directory: a record, and unfinished files."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dgmm.delivery.anomaly_table import ANOMALIES
from dgmm.errors import OutputExistsError
from dgmm.job.lock import is_lock_file
from dgmm.job.products import CHECKPOINT, MODEL, OUTPUTS, PREPARED, holds_em_state, set_aside
from dgmm.outcome import Outcome
from dgmm.run_record import Attempt
from dgmm.storage.exchange import name_before
from dgmm.storage.folders import Folder
from dgmm.storage.regular_files import open_regular

#: Names of what `Entry.written_aside` and `folder_aside` have not finished.
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
#: A checkpoint that is not needed any more, while it is removed.
STALE_STATE = ".checkpoint.tmp"
#: What tells of the end of an attempt.
_ENDINGS = ("report.html", "report.json", "error.txt", "model.part")
_METRICS = "metrics.csv"


def attempts_after(record: Mapping[str, Any]) -> list[Attempt]:
    """All attempts up to that of a record, with how each ended, unless it was killed."""
    last = Attempt(
        started=record.get("started"),
        ended=record.get("ended"),
        status=record.get("status"),
        message=record.get("message"),
    )
    return [*record.get("attempts", []), last]


def standing_warnings(record: Mapping[str, Any]) -> list[str]:
    """The warnings of a record but for that of its outcome: a resumed run has its own."""
    outcome = f"{record.get('outcome')}: "
    return [text for text in record.get("warnings", []) if not text.startswith(outcome)]


def max_iter_of(record: Mapping[str, Any]) -> int:
    """The max_iter of the run that a record describes; 0 where it has none."""
    model = (record.get("job") or {}).get("model") or {}
    value = model.get("max_iter")
    return value if isinstance(value, int) else 0


def stopped_at_max_iter(record: Mapping[str, Any]) -> bool:
    """Whether a run, or a candidate of it, ended without convergence at its max_iter."""
    ends = {record.get("outcome"), *(r.get("outcome") for r in record.get("restarts") or [])}
    return Outcome.MAX_ITER_REACHED.name in ends


def refuse_lost_state(folder: Folder, previous: Mapping[str, Any] | None, max_iter: int) -> None:
    """Refuse a larger max_iter where the state of the run that stopped at its own is gone.

    Raises
    ------
    OutputExistsError
        With what is absent and what to do.
    """
    if previous is None or previous.get("status") != "done" or holds_em_state(folder):
        return
    then = max_iter_of(previous)
    if then < max_iter and stopped_at_max_iter(previous):
        raise OutputExistsError(
            f"{folder} holds this job, which stopped at model.max_iter {then}, and {CHECKPOINT}/ "
            f"has no state of EM, from which it could go on to {max_iter}. Put {CHECKPOINT}/ back, "
            f"choose another output.path, or set model.max_iter to {then} again"
        )


def names_to_remove(previous: Mapping[str, Any] | None, *, is_resumed: bool) -> tuple[str, ...]:
    """What of an earlier attempt is removed before this one; `previous` is of this very job."""
    if is_resumed:
        return _ENDINGS
    return (*_ENDINGS, "sample.npz", _METRICS, *(("events.jsonl",) if previous is None else ()))


def metrics_set_aside(folder: Folder) -> list[str]:
    """Keep the iterations of an attempt that left no state to resume from; what to say of that."""
    if not folder.holds(_METRICS) or not stat.S_ISREG(folder.status(_METRICS).st_mode):
        return []
    with open_regular(folder / _METRICS) as file:
        if len(file.readlines()) < 2:
            return []
    aside = set_aside(folder, _METRICS)
    lost = f"an earlier attempt has left no {CHECKPOINT}/ to resume from: the run starts over"
    return [f"{lost}. What {_METRICS} had is now in {aside}"]


def is_noise(name: str) -> bool:
    """Whether a file does not show whose directory it lies in: a lock, or a write cut short."""
    return is_lock_file(name) or _is_unfinished(name)


def remove_unfinished(folder: Folder) -> None:
    """Remove what a process that was killed did not finish to write; no other run is here."""
    _restore_replaced(folder)
    for name in filter(_is_unfinished, folder.names()):
        with suppress(OSError):
            folder.remove(name)


def _restore_replaced(folder: Folder) -> None:
    """Folders that were about to be replaced get their names back, unless these are taken."""
    for old in folder.names():
        if (name := name_before(old)) not in (MODEL, OUTPUTS, PREPARED, ANOMALIES):
            continue
        if folder.holds(name):
            folder.remove(old)  # it was replaced
        else:
            folder.rename(old, name)


def _is_unfinished(name: str) -> bool:
    return name == STALE_STATE or UNFINISHED.fullmatch(name) is not None
