"""Models of earlier runs: the newest run beside this one, and what its model was fitted to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from dgmm.config import Job
from dgmm.config.earlier_model import LAST
from dgmm.drift_record import EarlierRun
from dgmm.errors import DataError, InputNotFoundError, OutputExistsError
from dgmm.fitting.drift.measure import FittedRows
from dgmm.job.products import MODEL, MODEL_FILES
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model, model_digest
from dgmm.run_record import read
from dgmm.storage.atomic_files import read_json
from dgmm.terminal_text import listed


@dataclass(frozen=True, slots=True, eq=False)
class EarlierModel:
    """A saved model, where it lies, and what it was fitted to."""

    path: str
    model: MixtureModel
    before: FittedRows

    @classmethod
    def of(cls, path: str) -> Self:
        """The model of a model directory or a run directory.

        Raises
        ------
        InputNotFoundError, DataError
            If there is none, or it is damaged.
        """
        model = load_model(path)
        folder = Path(path)
        if not (folder / "model.json").exists():
            folder = folder / MODEL
        n_rows = _fitted_rows(read_json(folder / "model.json"))
        record = _record_beside(folder.parent)
        return cls(path, model, FittedRows(n_rows, _regularisation(record, model), _rate(record)))


@dataclass(frozen=True, slots=True)
class LastRun:
    """The run that `last` stands for; `path` is None where there is none, `reason` says why.

    `warning` tells of runs beside it whose records cannot be read; empty without any.
    """

    path: str | None
    digest: str | None = None
    reason: str = ""
    warning: str = ""

    def record(self) -> EarlierRun:
        """As run.json has it."""
        return {"path": self.path, "model_digest": self.digest, "reason": self.reason}


def last_run(job: Job, features: Sequence[str], before: Mapping[str, Any]) -> LastRun | None:
    """What `last` stands for in a job; None where the job does not name it.

    It is the run that ended last of those that lie beside the job's own run directory, are finished
    fits, and have the same features. A run that resumes keeps what it has found, whatever has
    finished since.

    Parameters
    ----------
    job, features
        The job, and the names of its features.
    before
        The record of an earlier attempt at this job.
    """
    named = (job.initialisation.model, job.monitor.against)
    if LAST not in named:
        return None
    pinned = before.get("earlier_run")
    if isinstance(pinned, Mapping):
        return LastRun(pinned["path"], pinned["model_digest"], pinned["reason"])
    return _newest(job, features)


def n_passes_of_earlier(job: Job) -> int:
    """Passes of earlier models at most: one for each that the job names."""
    adapted = None if job.adapt.relevance is None else job.initialisation.model
    return len({job.monitor.against, adapted} - {None})


def monitor_text(job: Job) -> str:
    """What models of earlier runs take, in words; empty where the job reads none."""
    n = n_passes_of_earlier(job)
    if not n:
        return ""
    asked = {"monitor": job.monitor.against, "adapt": job.adapt.relevance}
    does = [key for key, value in asked.items() if value is not None]
    return f"{n} pass{'es' * (n > 1)} more before the fit: {' and '.join(does)}"


def require_same(last: LastRun, model: MixtureModel) -> None:
    """Refuse another model than the one that an attempt before this one has found there.

    Raises
    ------
    OutputExistsError
        If the model was replaced meanwhile.
    """
    if last.digest is not None and model_digest(model) != last.digest:
        raise OutputExistsError(
            f"the model of {last.path} is another than the one that this run began with: put it "
            "back, or remove this run directory and run again"
        )


def _newest(job: Job, features: Sequence[str]) -> LastRun:
    """The newest finished run of these features beside the job's own.

    Raises
    ------
    DataError
        If its model is damaged.
    """
    own = Path(job.output.path)
    found: list[tuple[str, str, Path]] = []
    n_others, unread = 0, []
    for path, record in _finished(own):
        if record is None:
            unread.append(path.name)
            continue
        data = record.get("data")
        names = data.get("feature_names") if isinstance(data, Mapping) else None
        if isinstance(names, list) and {*map(str, names)} == {*features}:
            found.append((str(record.get("ended")), path.name, path))
        else:
            n_others += 1
    place, warning = own.parent, ""
    if unread:
        warning = (
            f"run.json of {listed(unread)} in {place} cannot be read, or is of a newer version: "
            f"{_keys_of_last(job)} does not mean such a run, however new it is"
        )
    if not found:
        others = f"; {n_others} there have other features" if n_others else ""
        reason = f"no finished run of these features lies in {place}{others}"
        return LastRun(None, None, reason, warning)
    path = max(found)[2]
    try:
        digest = model_digest(load_model(path))
    except (DataError, InputNotFoundError) as error:
        raise DataError(
            f"{error}. It is the newest finished run of these features in {place}, for which "
            f"`last` stands in {_keys_of_last(job)}: put its model back, move {path} elsewhere, so "
            "that `last` is the run before it, or name another run by its path"
        ) from error
    return LastRun(str(path), digest, warning=warning)


def _keys_of_last(job: Job) -> str:
    """The keys of a job that name `last`."""
    named = {
        "initialisation.model": job.initialisation.model,
        "monitor.against": job.monitor.against,
    }
    return " and ".join(key for key, value in named.items() if value == LAST)


def _finished(own: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Finished fits beside a run directory, with their records; None where one is unreadable."""
    try:
        beside = sorted(own.parent.iterdir())
    except OSError:
        return
    here = os.path.realpath(own)
    for path in beside:
        # A link such as `latest` names a run that is there under its own name.
        if path.is_symlink() or os.path.realpath(path) == here:
            continue
        if not all((path / MODEL / name).is_file() for name in MODEL_FILES):
            continue
        try:
            record = read(read_json(path / "run.json"))
        except InputNotFoundError:
            continue  # a model directory of another making
        except DataError:
            yield path, None
            continue
        if record.get("command") == "run" and record.get("status") == "done":
            yield path, record


def _fitted_rows(description: Mapping[str, Any]) -> float | None:
    """Rows that a model was fitted to, by its model.json; None where that does not say."""
    n_rows, weights = description.get("n_rows"), description.get("row_weights")
    if isinstance(weights, Mapping):
        n_rows = weights.get("sum" if weights.get("kind") == "counts" else "n_eff")
    if isinstance(n_rows, int | float) and 0 < n_rows < float("inf"):
        return float(n_rows)
    return None


def _record_beside(run: Path) -> dict[str, Any]:
    """The record of the run that a model lies in; empty where it lies in none."""
    try:
        return read(read_json(run / "run.json"))
    except (DataError, InputNotFoundError):
        return {}


def _rate(record: Mapping[str, Any]) -> float | None:
    """The share of a run's rows, by weight, that it has flagged; None where that is not known."""
    own = record.get("anomaly") or {}
    if isinstance(share := own.get("share"), float) and 0.0 <= share <= 1.0:
        return share
    flagged = own.get("n_anomalies")
    rows = (record.get("rows") or {}).get("read")
    if isinstance(flagged, int) and isinstance(rows, int) and 0 <= flagged <= rows > 0:
        return flagged / rows
    return None


def _regularisation(
    record: Mapping[str, Any], model: MixtureModel
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What the model's fit added to variances (d,), standardised; the usual share if unknown."""
    asked = (record.get("job") or {}).get("model") or {}
    units = model.standardisation
    if asked.get("inference", "maximum_likelihood") == "map":
        return np.zeros(model.n_features)
    absolute, share = asked.get("reg_covar", 0.0), asked.get("reg_covar_relative", 1e-6)
    if isinstance(share, str):
        share = (record.get("shrinkage") or {}).get("share", 1e-6)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(
            float(absolute) / units.scale**2 + float(share) * units.standardised_variance
        )
