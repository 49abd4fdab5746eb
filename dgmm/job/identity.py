"""What makes two jobs, or two data sets, the same, and in what they differ."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dgmm.config import Job
from dgmm.config.earlier_model import LAST
from dgmm.data.formats import DataSource, carries_columns
from dgmm.terminal_text import listed

#: Keys of a job's identity that are paths: `data.path`, `model.path`, `initialisation.model`,
#: `monitor.against`.
_PATHS = {"path", "model", "against"}
#: Those of them where `last` is no path.
_RUNS = {"model", "against"}


def identity(job: Job) -> dict[str, Any]:
    """What makes two jobs the same: data, model, start, seed and products."""
    fields = job.fingerprint_fields()
    return {
        name: {k: _absolute(v) if _is_path(k, v) else v for k, v in section.items()}
        if isinstance(section, Mapping)
        else section
        for name, section in fields.items()
    }


def data_source(job: Job, model_features: tuple[str, ...] = ()) -> DataSource:
    """Where the job's rows lie; of a job that predicts, with the names of the model's features."""
    data = job.data
    given = data.path if isinstance(data.path, list) else [data.path]
    paths = tuple(str(Path(path).absolute()) for path in given)
    source = DataSource(
        paths[0],
        data.array,
        data.absent_chunks,
        paths=paths,
        columns=tuple(data.columns or ()),
        ids=tuple(data.id or ()),
        described=tuple(data.describe or ()),
        csv=data.csv.model_dump(exclude_none=True),
        variables=tuple(data.variables or ()),
        sample_dims=tuple(data.sample_dims or ()),
        feature_dims=tuple(data.feature_dims or ()),
        select=data.select or {},
        concat_dim=data.concat_dim,
        weight_column=data.weights.array or data.weights.column,
        weight_cosine=data.weights.cos,
        model_features=model_features,
    )
    return _with_labels(job, source)


def _with_labels(job: Job, source: DataSource) -> DataSource:
    """The source with columns of classes and groups among those that results carry along."""
    own = [n for n in (job.data.classes, job.data.groups) if n is not None and not is_file(n)]
    if not own or not carries_columns(job.data.format, source):
        return source
    return replace(source, described=tuple(dict.fromkeys((*source.described, *own))))


def is_file(name: str) -> bool:
    """Whether classes or groups are named by the path of a file of their own."""
    return name.endswith(".npy")


def _is_path(key: str, value: Any) -> bool:
    return key in _PATHS and not (key in _RUNS and value == LAST)


def _absolute(path: str | list[str] | None) -> str | list[str] | None:
    """However a path is written, it names one place."""
    if isinstance(path, list):
        return [os.path.realpath(item) for item in path]
    return None if path is None else os.path.realpath(path)  # Path.resolve() fails on a loop


def fingerprint(fields: Mapping[str, Any]) -> str:
    """sha256 of a job's identity."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def difference(there: Any, here: Any, limit: int = 6) -> str:
    """Which keys differ, in words."""
    old, new = dict(_flat(there)), dict(_flat(here))
    lines = [
        f"{key} is {_shown(old, key)} there, {_shown(new, key)} here"
        for key in sorted({*old, *new})
        if key not in old or key not in new or old[key] != new[key]
    ]
    return listed(lines, limit, "; ")


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "absent"


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, Mapping):
        yield prefix.removesuffix("."), tree
        return
    for key, value in tree.items():
        yield from _flat(value, f"{prefix}{key}.")
