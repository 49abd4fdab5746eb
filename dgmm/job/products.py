"""What a finished run has to have, and what of it is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dgmm.errors import DataError, DgmmError, OutputExistsError
from dgmm.exit_codes import ExitCode
from dgmm.model.classifier_files import CLASSIFIER_FILE
from dgmm.storage.array_files import read_sealed
from dgmm.storage.atomic_files import read_json
from dgmm.storage.folders import Entry, Folder
from dgmm.terminal_text import listed

MODEL, OUTPUTS, CHECKPOINT = "model", "outputs.zarr", "checkpoint"
#: Every model of a job that asks for several, the chosen one among them.
MODELS = "models"
#: Rows of a source as passes read them; they can be made again from it.
PREPARED = "prepared.zarr"
#: The state of a pass that writes outputs again; that of the fit stays as it is.
REBUILD_STATE = "checkpoint.rebuild"
#: What takes work to make.
_RESULTS = (MODEL, OUTPUTS, "outputs.zarr.part")
#: What of a checkpoint takes work to make.
_EM_STATE = re.compile(r"em\.[0-9]+\.(checkpoint|damaged)")
_EM_WHOLE = re.compile(r"em\.[0-9]+\.checkpoint")
MODEL_FILES = ("model.json", "arrays.npz")
#: Records that a finished run can do without; they cannot be written again.
_LOGS = ("metrics.csv", "events.jsonl")


def missing_products(folder: Folder, record: Mapping[str, Any]) -> list[str]:
    """What of its results a finished run lacks."""
    return [
        *missing_model(folder, of_classes="classification" in record),
        *missing_outputs(folder, record),
        *missing_deliveries(folder, record),
        *(name for name in _missing_groups(folder, record) if not of_folds(record)),
    ]


def incomplete(folder: Folder, record: Mapping[str, Any], missing: Sequence[str]) -> DgmmError:
    """Why a finished run that lacks something is refused, and what to do."""
    again = " write the outputs again from the model with --rebuild-outputs,"
    return OutputExistsError(
        f"{folder} holds this job, which was finished {record.get('ended')}, and lacks "
        f"{listed(missing, 6)}. Nothing there is removed or fitted again: put it back,{again} "
        "or choose another output.path"
    )


def holds_em_state(folder: Folder) -> bool:
    """Whether a run directory holds a state that EM can resume from."""
    if not folder.holds_folder(CHECKPOINT):
        return False
    with folder.folder(CHECKPOINT) as state:
        return any(map(_EM_STATE.fullmatch, state.names()))


def can_make_model(folder: Folder, record: Mapping[str, Any]) -> bool:
    """Whether a run directory lacks its model and has a state of EM that is not damaged."""
    is_whole = not missing_model(folder, of_classes="classification" in record)
    if is_whole or not folder.holds_folder(CHECKPOINT):
        return False
    with folder.folder(CHECKPOINT) as state:
        return any(_is_whole(state / name) for name in state.names() if _EM_WHOLE.fullmatch(name))


def _is_whole(file: Entry) -> bool:
    try:
        read_sealed(file)
    except DataError:
        return False
    return True


def holds_results(folder: Folder) -> bool:
    """Whether an earlier run has left what takes work to make again."""
    return holds_em_state(folder) or any(map(folder.holds, _RESULTS))


def holds_work(folder: Folder, record: Mapping[str, Any]) -> bool:
    """Whether an earlier run has left more than its record, of a job that is not this one."""
    if record.get("exit_code") == ExitCode.DATA_INVALID:
        return holds_results(folder)
    return any(map(folder.holds, (*_RESULTS, CHECKPOINT)))


def refuse_results(folder: Folder) -> None:
    """Never start over where results lie that this attempt has not made.

    Raises
    ------
    OutputExistsError
        With what lies there.
    """
    if found := [name for name in _RESULTS if folder.holds(name)]:
        raise OutputExistsError(
            f"{folder} holds {', '.join(found)} and no state to go on from: nothing there is "
            "removed. Put checkpoint/ back, choose another output.path, or remove that directory "
            "to start over"
        )


def missing_model(folder: Folder, *, of_classes: bool = False) -> list[str]:
    """The files of the model, or of a classifier, that are absent from a run directory."""
    place = folder.path / MODEL
    if not of_classes:
        return [f"{MODEL}/{n}" for n in MODEL_FILES if not (place / n).is_file()]
    if not (place / CLASSIFIER_FILE).is_file():
        return [f"{MODEL}/{CLASSIFIER_FILE}"]
    folders = [one["path"] for one in read_json(place / CLASSIFIER_FILE)["classes"]]
    names = [f"{of_class}/{n}" for of_class in folders for n in MODEL_FILES]
    return [f"{MODEL}/{name}" for name in names if not (place / name).is_file()]


def missing_outputs(folder: Folder, record: Mapping[str, Any]) -> list[str]:
    """The output arrays of a record that are absent, or have fewer bytes than were written."""
    return [
        text
        for name, described in (record.get("outputs") or {}).items()
        if (text := _missing_array(folder.path / OUTPUTS / name, described.get("bytes")))
    ]


def missing_deliveries(folder: Folder, record: Mapping[str, Any]) -> list[str]:
    """The tables and maps of a record that are absent, or have fewer bytes than were written."""
    return [
        text
        for delivered in (record.get("delivered") or {}).values()
        if (text := _missing_folder(folder.path / delivered["path"], delivered.get("bytes")))
    ]


def missing_logs(folder: Folder, record: Mapping[str, Any]) -> list[str]:
    """The logs that are absent from a run directory, and what folds have predicted of groups."""
    groups = _missing_groups(folder, record) if of_folds(record) else []
    return [name for name in (*_LOGS, *groups) if not folder.holds(name)]


def _missing_groups(folder: Folder, record: Mapping[str, Any]) -> list[str]:
    """The table of groups of a record, where it is absent."""
    path = (_classification(record).get("groups") or {}).get("path")
    return [path] if path and not folder.holds(path) else []


def of_folds(record: Mapping[str, Any]) -> int:
    """How many classifiers of folds there were, which are not kept."""
    return _classification(record).get("folds") or 0


def _classification(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return record.get("classification") or {}


def set_aside(folder: Folder, name: str) -> str:
    """Give what has a name another one, that nothing has, and return that one."""
    number = 1
    while folder.holds(f"{name}.replaced-{number}"):
        number += 1
    folder.rename(name, f"{name}.replaced-{number}")
    folder.sync()
    return f"{name}.replaced-{number}"


def results_set_aside(folder: Folder) -> str:
    """Give results, and the state that they came of, other names; these, listed."""
    found = [name for name in (CHECKPOINT, *_RESULTS) if folder.holds(name)]
    return listed([set_aside(folder, name) for name in found])


def holds_damaged_outputs(folder: Folder, record: Mapping[str, Any]) -> bool:
    """Whether a folder of outputs, not a link to one, lacks what was written."""
    return folder.holds_folder(OUTPUTS) and bool(missing_outputs(folder, record))


def outputs_set_aside(folder: Folder) -> list[str]:
    """Give what is left of outputs another name; what to say of that."""
    if not folder.holds(OUTPUTS):
        return []
    aside = set_aside(folder, OUTPUTS)
    return [f"what was left of {OUTPUTS} is now {aside}: remove it, or keep it"]


def _missing_array(path: Path, n_written: int | None) -> str:
    missing = _missing_folder(path, n_written)
    return f"{OUTPUTS}/{missing}" if missing else ""


def _missing_folder(path: Path, n_written: int | None) -> str:
    shown = path.name
    if not path.is_dir():
        return shown
    n_bytes = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    if n_written is not None and n_bytes < n_written:
        return f"{shown} (has {n_bytes:,} of {n_written:,} bytes)"
    return ""
