"""Where a job's classes and groups come from, and the codes that passes read beside the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dgmm.config import Job
from dgmm.data.class_codes import Codes, Name, ReadLabels, coded
from dgmm.data.classed_dataset import ClassedDataset
from dgmm.data.dataset import Dataset
from dgmm.data.in_place_dataset import CARRIED
from dgmm.data.sources.row_source import RowSource
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.zarr.label_array import LabelArray
from dgmm.data.zarr.vector import open_zarr_vector
from dgmm.errors import DataError, InputNotFoundError
from dgmm.ingest.label_vectors import write_codes, written_names
from dgmm.job.deliveries import source_of
from dgmm.job.directory import RunDirectory
from dgmm.job.identity import is_file
from dgmm.job.planned_classes import PlannedClasses
from dgmm.storage.retry import retry_budget

#: Codes of classes and groups in a run directory.
LABELS = "labels.zarr"
#: What a job names labels of, in `data`.
LABEL_KEYS = ("classes", "groups")
#: Different classes at most: the confusion matrix grows with their square.
MOST_CLASSES = 1000
#: Groups at most: the driver holds a sum for each of them and each class.
MOST_GROUPS = 5_000_000
_ROWS = 65_536
_OTHERS = "other_classes"


@dataclass(frozen=True, slots=True)
class JobLabels:
    """Classes and groups of a job's rows, written beside them.

    Attributes
    ----------
    path : str
        The Zarr group of codes.
    classes : tuple
        Names of the classes, by code.
    groups : tuple or None
        Names of the groups, by code; None without groups.
    n_rows : int
        Rows that have codes.
    source : str
        What tells these labels from others.
    folds_path : str or None
        The Zarr group of folds; None without folds.
    n_folds : int
        How many.
    others : tuple
        Classes of the data that a saved classifier has not.
    """

    path: str
    classes: tuple[Name, ...]
    groups: tuple[Name, ...] | None
    n_rows: int
    source: str
    folds_path: str | None = None
    n_folds: int = 0
    others: tuple[Name, ...] = ()

    def planned(self) -> PlannedClasses:
        """Their numbers, for a plan."""
        n_groups = 0 if self.groups is None else len(self.groups)
        return PlannedClasses(len(self.classes), self.n_folds, n_groups)

    def vector(self, job: Job, name: str) -> Dataset:
        """Codes of one kind, as rows of one feature."""
        path = self.path if name in LABEL_KEYS else str(self.folds_path)
        return open_zarr_vector(path, name).with_retries(job.storage.retry_s)

    def beside(self, rows: Dataset, job: Job) -> ClassedDataset:
        """The rows with their codes."""
        groups = None if self.groups is None else self.vector(job, "groups")
        folds = None if self.folds_path is None else self.vector(job, "folds")
        return ClassedDataset(rows, self.vector(job, "classes"), groups, folds, self.n_folds)


def label_fingerprint(job: Job, dataset: StoredDataset) -> dict[str, Any]:
    """What tells a job's labels from others: files with sizes and times, no content."""
    found = {}
    for key in LABEL_KEYS:
        name = getattr(job.data, key)
        if name is not None:
            found[key] = _digest(job, dataset, name)
    return {"labels": found} if found else {}


def labels_of(
    job: Job,
    dataset: StoredDataset,
    directory: RunDirectory,
    names: Sequence[Name] | None = None,
) -> JobLabels:
    """Read classes and groups, and write their codes, unless an earlier attempt has.

    Parameters
    ----------
    job, dataset
        What names them, and the rows that they are of.
    directory
        Where codes go.
    names
        Classes of a saved classifier; None takes those of the data.

    Raises
    ------
    DataError
        If they cannot be read, or are not one per row.
    """
    place, path = directory.folder / LABELS, str(directory.path / LABELS)
    asked = {"labels": label_fingerprint(job, dataset), "unknown": job.classes.unknown}
    source = hashlib.sha256(repr((asked, names, dataset.n_samples)).encode()).hexdigest()
    found = written_names(place, source)
    if found is None:
        found = _written(job, dataset, directory, names, source)
    groups = found.get("groups")
    own = None if groups is None else tuple(groups)
    others = tuple(found.get(_OTHERS, ()))
    classes = tuple(found["classes"])
    return JobLabels(path, classes, own, dataset.n_samples, source, others=others)


def _written(
    job: Job,
    dataset: StoredDataset,
    directory: RunDirectory,
    names: Sequence[Name] | None,
    source: str,
) -> dict[str, Sequence[Name]]:
    place, path = directory.folder / LABELS, str(directory.path / LABELS)
    found: dict[str, Sequence[Name]] = {}
    codes = {}
    with retry_budget(job.storage.retry_s):
        for key, most in (("classes", MOST_CLASSES), ("groups", MOST_GROUPS)):
            name = getattr(job.data, key)
            if name is None and key == "groups":
                continue
            what = f"data.{key} {name}"
            read = _no_labels(dataset) if name is None else _reader(job, dataset, name)
            unknown = (job.classes.unknown or ()) if key == "classes" else ()
            if key == "classes" and names is not None:
                own = Codes(tuple(names))
                found[_OTHERS] = own.others(read, what, most, unknown)
            else:
                own = Codes.found(read, what, most, unknown)
            found[key], codes[key] = own.names, coded(read, own, what)
        write_codes(place, path, dataset.n_samples, codes, found, source)
    return found


def _no_labels(dataset: StoredDataset) -> ReadLabels:
    def read() -> Iterator[Any]:
        for start in range(0, dataset.n_samples, _ROWS):
            yield np.full(min(_ROWS, dataset.n_samples - start), "")

    return read


def _reader(job: Job, dataset: StoredDataset, name: str) -> ReadLabels:
    if is_file(name):
        return lambda: _of_file(name)
    source = source_of(dataset)
    if source is not None and name in source.description.carried:
        return lambda: _of_source(source, name)
    return LabelArray.of(_group(job), name).read


def _of_source(source: RowSource, name: str) -> Iterator[Any]:
    for part in source.parts():
        for columns in source.read_carried(part):
            yield columns[name]


def _of_file(name: str) -> Iterator[Any]:
    """Values of an .npy file, never unpickled.

    Raises
    ------
    DataError
        If it holds no array of numbers or text.
    InputNotFoundError
        If it is absent.
    """
    if not Path(name).is_file():
        raise InputNotFoundError(f"there is no file {name}: expected the class of each row in it")
    try:
        values = np.load(name, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: expected an array of integers or text: {error}") from error
    for start in range(0, len(values), _ROWS):
        yield np.asarray(values[start : start + _ROWS])


def _group(job: Job) -> str:
    """The Zarr group that labels stand in beside the rows."""
    group = Path(str(job.data.path)).absolute()
    return str(group.parent if job.data.array is None else group)


def _digest(job: Job, dataset: StoredDataset, name: str) -> str:
    if is_file(name):
        path = Path(name)
        if not path.is_file():
            raise InputNotFoundError(f"there is no file {name}: expected one label per row in it")
        status = path.stat()
        return f"{status.st_size} bytes, {status.st_mtime_ns}"
    source = source_of(dataset)
    if source is not None and name in source.description.carried:
        return str(dataset.fingerprint().get(CARRIED, name))
    return LabelArray.of(_group(job), name).digest()
