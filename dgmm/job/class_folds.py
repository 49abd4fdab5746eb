"""Folds of a job's rows by class, written beside their codes in a run directory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from dgmm.config import Job
from dgmm.data.stratified_folds import Codes, stratified_folds
from dgmm.ingest.label_vectors import write_codes, written_names
from dgmm.job.class_labels import JobLabels
from dgmm.job.directory import RunDirectory
from dgmm.job.earlier_identities import FOLD_KEY
from dgmm.reduction.blocks import BlockRange
from dgmm.storage.retry import retry_budget

#: The fold of each row in a run directory.
FOLDS = "folds.zarr"
#: How `dgmm.data.stratified_folds` deals rows to folds; another number where it deals otherwise.
FOLD_RULE = "stratified-1"


def fold_fingerprint(job: Job) -> dict[str, Any]:
    """By which rule a job's folds are made: what another rule has begun cannot go on with them."""
    return {FOLD_KEY: FOLD_RULE} if job.classes.folds else {}


def with_folds(job: Job, labels: JobLabels, directory: RunDirectory) -> JobLabels:
    """Labels with the folds that a job asks for, written unless an earlier attempt has.

    Raises
    ------
    OutputFailedError
        If they cannot be written.
    """
    n_folds = job.classes.folds
    if not n_folds:
        return labels
    place, path = directory.folder / FOLDS, str(directory.path / FOLDS)
    asked = (labels.source, n_folds, job.seed, FOLD_RULE)
    source = hashlib.sha256(repr(asked).encode()).hexdigest()
    if written_names(place, source) is None:
        n_groups = 0 if labels.groups is None else len(labels.groups)
        sizes = len(labels.classes), n_groups, n_folds, job.seed
        with retry_budget(job.storage.retry_s):
            folds = stratified_folds(lambda: _codes(job, labels), *sizes)
            write_codes(place, path, labels.n_rows, {"folds": folds}, {}, source)
    return replace(labels, folds_path=path, n_folds=n_folds)


def _codes(job: Job, labels: JobLabels) -> Iterator[tuple[Codes, Codes | None]]:
    """Codes of classes and groups as they were written."""
    classes, groups = labels.vector(job, "classes"), None
    whole = BlockRange(0, classes.grid.n_blocks)
    if labels.groups is not None:
        groups = labels.vector(job, "groups").read_blocks(whole)
    for block in classes.read_blocks(whole):
        own = None if groups is None else next(groups).values[:, 0].astype(np.int64)
        yield block.values[:, 0].astype(np.int64), own
