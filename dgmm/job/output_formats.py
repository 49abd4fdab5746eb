"""The Zarr format of a run's output arrays: what is in force, in a job and in an earlier record.

`output.zarr_format: auto` and the number that it comes to are the same job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgmm.config import Job
from dgmm.data.formats import format_name, open_stored
from dgmm.data.zarr.format_versions import format_in
from dgmm.data.zarr.node import find_array
from dgmm.errors import DgmmError
from dgmm.job.earlier_identities import in_todays_names
from dgmm.job.identity import data_source
from dgmm.storage.folders import Folder

_KEY = "zarr_format"


def with_format(identity: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """A job's identity with the format in force, if that of its data can be seen."""
    return _with(identity, _format_of(job))


def comparable(
    record: Mapping[str, Any], identity: Mapping[str, Any], job: Job, folder: Folder
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The identity of an earlier record and that of a job, with the format in force in each.

    Without it where both take the format of their data, which are compared themselves, or where
    one of the two cannot be known.
    """
    before = in_todays_names(record.get("job_identity") or {})
    asked = ((record.get("job") or {}).get("output") or {}).get(_KEY, "auto")
    there = here = None
    if (asked, job.output.zarr_format) != ("auto", "auto"):
        outputs = before.get("outputs") or {}
        there, here = outputs.get(_KEY) or _format_of_outputs(folder), _format_of(job)
    if there is None or here is None:
        there = here = None
    return _with(before, there), _with(identity, here)


def _with(identity: Mapping[str, Any], zarr_format: int | None) -> dict[str, Any]:
    if "outputs" not in identity:
        return dict(identity)
    outputs = {key: value for key, value in identity["outputs"].items() if key != _KEY}
    known = {} if zarr_format is None else {_KEY: zarr_format}
    return {**identity, "outputs": outputs | known}


def _format_of(job: Job) -> int | None:
    wanted = job.output.zarr_format
    if wanted != "auto":
        return wanted
    source, name = data_source(job), format_name(job.data.format)
    try:
        if name == "zarr":  # without listing its chunks
            return find_array(source.path, source.array).zarr_format
        return open_stored(name, source).zarr_format
    except DgmmError:
        return None  # whoever reads the data reports why


def _format_of_outputs(folder: Folder) -> int | None:
    """Of what a run left that did not record it."""
    for name in ("outputs.zarr", "outputs.zarr.part"):
        if folder.holds_folder(name):
            with folder.folder(name) as outputs:
                return format_in(outputs)
    return None
