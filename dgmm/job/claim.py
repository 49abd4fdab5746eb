"""Whose a run directory is: empty, this job's, or not to be touched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dgmm.config import Job
from dgmm.errors import DataError, InputNotFoundError, OutputExistsError
from dgmm.job.identity import difference
from dgmm.job.output_formats import comparable
from dgmm.job.previous_attempts import is_noise, max_iter_of
from dgmm.job.products import holds_work
from dgmm.run_record import read
from dgmm.storage.atomic_files import read_json
from dgmm.storage.folders import Folder
from dgmm.terminal_text import listed


def claimed(folder: Folder, job: Job, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record that an earlier attempt at this very job has left in its directory, if any.

    Parameters
    ----------
    folder
        The run directory.
    job, identity
        The job that is to run there, and what tells it from others.

    Raises
    ------
    OutputExistsError
        If anything else lies there, or the job may not resume what does.
    """
    previous = _record(folder)
    if previous is None:
        return None
    there, here = comparable(previous, json.loads(json.dumps(identity)), job, folder)
    is_ours, has_failed = there == here, previous.get("status") == "failed"
    if not is_ours and has_failed and not holds_work(folder, previous):
        return None  # a mistake, such as a wrong data.path, and nothing that could be lost
    if not is_ours:
        raise OutputExistsError(
            f"{folder.shown} holds another job: {difference(there, here)}. "
            "Choose another output.path, or remove that directory"
        )
    if job.command == "run" and job.model.max_iter < max_iter_of(previous):
        raise OutputExistsError(
            f"{folder.shown} holds this job with model.max_iter {max_iter_of(previous)}, here it "
            f"is {job.model.max_iter}: it may be raised and not lowered. Choose another "
            "output.path"
        )
    if job.output.if_exists == "error":
        raise OutputExistsError(
            f"{folder.shown} exists and output.if_exists is error (status there: "
            f"{previous.get('status')})"
        )
    return previous


def _record(folder: Folder) -> dict[str, Any] | None:
    try:
        names = [name for name in folder.names() if not is_noise(name)]
    except OSError as error:
        raise OutputExistsError(
            f"cannot look into the run directory {folder.shown}: {error.strerror or error}"
        ) from error
    if not names:
        return None
    try:
        found = read_json(folder / "run.json")
    except (DataError, InputNotFoundError) as error:
        raise OutputExistsError(
            f"{folder.shown} holds files but no readable run.json ({listed(names, 3)}): "
            "it is not a run of dgmm. Choose another output.path"
        ) from error
    try:
        return read(found)
    except DataError as error:
        raise OutputExistsError(
            f"{folder / 'run.json'} cannot be read: {error}. Choose another output.path"
        ) from error
