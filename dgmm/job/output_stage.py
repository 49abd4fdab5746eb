"""The arrays that a job writes: made once, filled by a pass that resumes, published whole."""

from __future__ import annotations

from collections.abc import Callable

from dgmm.anomaly_record import Anomaly
from dgmm.checkpoint import RunState
from dgmm.config import Job
from dgmm.config.anomaly_settings import AnomalyRule
from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.zarr.format_versions import ZarrFormat, format_in, group_attributes
from dgmm.data.zarr.output_array import run_of
from dgmm.data.zarr.output_store import OutputArray
from dgmm.errors import DataError
from dgmm.job.directory import RunDirectory
from dgmm.job.earlier_identities import computed_from, in_former_names
from dgmm.job.identity import fingerprint
from dgmm.job.residuals import with_residuals
from dgmm.job.stages import output_attributes, product_names, publish_outputs
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import model_digest
from dgmm.reduction.checksums import Digests
from dgmm.reduction.executor import OpenExecutor
from dgmm.scoring import anomaly
from dgmm.scoring.output_registry import COMPLETED
from dgmm.scoring.scoring_pass import Products, describe, scoring_pass
from dgmm.scoring.scoring_statistics import ScoringStatistics
from dgmm.storage.atomic_files import plain
from dgmm.storage.folders import Entry, Folder

#: Attribute of the group: whose outputs these are.
MODEL_ATTRIBUTE = "model_sha256"


class OutputStage:
    """The scoring pass of one job over one model's rows.

    Parameters
    ----------
    job, directory
        What is wanted, and where it goes.
    dataset, executor
        What is read, and where.
    model
        The model that is saved; rows are flagged in the scoring pass where it has a threshold.
    state
        Saves what is done.
    zarr_format
        Of the arrays.
    backend
        The name of what scores, the same for all workers.
    warn
        Called with what is worth a warning.
    """

    def __init__(
        self,
        job: Job,
        directory: RunDirectory,
        dataset: Dataset,
        executor: OpenExecutor,
        model: MixtureModel,
        state: RunState,
        zarr_format: ZarrFormat = 3,
        *,
        backend: str,
        warn: Callable[[str], None],
    ) -> None:
        self._job, self._directory, self._state = job, directory, state
        self._dataset, self._executor, self._model = dataset, executor, model
        self._zarr_format, self._backend, self._warn = zarr_format, backend, warn
        self._part = directory.folder / "outputs.zarr.part"
        self._final = directory.folder / "outputs.zarr"
        self._path = str(directory.path / self._part.name)  # for workers
        self._digest, self._has_noise = model_digest(model), model.noise is not None
        data = (directory.record.get("data") or {}).get("fingerprint")
        data = data if data is None else computed_from(data)
        run = {
            "job": in_former_names(directory.identity),
            "data": plain(data),
            "model": self._digest,
        }
        self._run = fingerprint(run)
        suffix = self._digest[:16] + ("" if backend == "numpy" else f"-{backend}")
        # Names on disk: checkpoints of earlier versions have them too ("walk": the scoring pass).
        self._slots = {n: f"{n}-{suffix}" for n in ("walk", "threshold", "flags")}

    def write(self, rule: AnomalyRule) -> tuple[ScoringStatistics, MixtureModel]:
        """Write all arrays and publish them; what was counted, and the model with its threshold.

        Parameters
        ----------
        rule
            How rows are flagged: once their densities are known, where it is a share of them;
            while they are scored where the threshold is known.
        """
        quantile, model = rule.share, self._model
        if rule.threshold is not None:
            model = model.with_threshold(rule.threshold, None)
        flagged = quantile is not None or model.anomaly_threshold is not None
        names = product_names(self._job, anomaly=flagged, steps=self._model.preprocess)
        self._prepare(names, quantile)
        written = tuple(n for n in names if not (quantile is not None and n == "anomaly"))
        total = self._state.once(self._slots["walk"], lambda: self._scored(model, written))
        digests: Digests = total.digests
        n_anomalies = total.n_anomalies
        if quantile is not None:
            name = COMPLETED if COMPLETED in names else "log_density"
            flags, model = self._flagged(quantile, name)
            digests, n_anomalies = {**digests, **flags.digests}, flags.n_anomalies
        if model.anomaly_threshold is not None:
            record: Anomaly = {
                "quantile": model.anomaly_quantile,
                "threshold": model.anomaly_threshold,
                "n_anomalies": n_anomalies,
                "rule": rule.kind,
            }
            if rule.threshold is not None and total.sum_of_weights:
                # Of a threshold that is a quantile the share is known: it is the quantile.
                share = min(total.anomalous_weight / total.weight, 1.0)
                record["share"] = share
            self._directory.record["anomaly"] = record
        self._dataset.check_unchanged()
        for text in publish_outputs(self._part, self._final, self._run):
            self._warn(text)
        path = self._directory.path / self._final.name
        self._directory.record["outputs"] = describe(path, names, digests, self._backend)
        return total, model

    def _prepare(self, names: tuple[str, ...], quantile: float | None) -> None:
        """Make the arrays, unless an earlier attempt has made them."""
        if not names or holds_arrays(self._part, names, lambda group: run_of(group) == self._run):
            return
        needed = self._slots.values() if quantile is not None else (self._slots["walk"],)
        if holds_arrays(self._final, names, self._is_finished) and all(
            map(self._state.has, needed)
        ):
            # Killed after publishing them; what it was going to remove is no part of this run.
            self._part.folder.remove(self._part.name)
            return
        for slot in ("pass", *self._slots.values()):
            self._state.forget(slot)
        attributes = output_attributes(self._dataset) | {MODEL_ATTRIBUTE: self._digest}
        products = Products(self._path, names, self._run)
        grid, k, has_noise = self._dataset.grid, self._model.n_components, self._has_noise
        products.create(grid, k, attributes, self._zarr_format, self._part, has_noise=has_noise)

    def _is_finished(self, group: Folder) -> bool:
        return group_attributes(group).get(MODEL_ATTRIBUTE) == self._digest

    def _scored(self, model: MixtureModel, names: tuple[str, ...]) -> ScoringStatistics:
        """Every row accounted for."""
        total = scoring_pass(
            with_residuals(self._job, self._dataset, names, self._directory),
            self._executor,
            model,
            Products(self._path, names, self._run),
            missing=MissingPolicy(self._job.data.missing),
            backend=self._backend,
            progress=self._state.of_pass(self._slots["walk"]),
            n_most_anomalous=self._job.anomalies.top or 0,
        )
        if total.n_read != self._dataset.n_samples:
            raise DataError(
                f"the scoring pass read {total.n_read:,} rows of {self._dataset.n_samples:,}: the "
                "data changed"
            )
        return total

    def _flagged(self, quantile: float, name: str) -> tuple[anomaly.Flagged, MixtureModel]:
        """Flag the rows below the quantile of an array of log densities that was written."""
        log_density = OutputArray(self._path, name, self._run)
        grid, executor = self._dataset.grid, self._executor
        rows = anomaly.WrittenRows.of(log_density, self._dataset)
        threshold = self._state.once(
            self._slots["threshold"],
            lambda: anomaly.threshold(rows, grid, executor, quantile),
        )
        flags = self._state.once(
            self._slots["flags"],
            lambda: anomaly.flag(
                log_density,
                OutputArray(self._path, "anomaly", self._run),
                grid,
                executor,
                threshold,
                self._state.of_pass(self._slots["flags"]),
            ),
        )
        return flags, self._model.with_threshold(threshold, quantile)


def holds_arrays(place: Entry, names: tuple[str, ...], is_own: Callable[[Folder], bool]) -> bool:
    """Whether there is a group of one's own that has the arrays."""
    if not place.folder.holds_folder(place.name):
        return False
    with place.folder.folder(place.name) as group:
        return is_own(group) and all(_holds_array(group, name) for name in names)


def _holds_array(group: Folder, name: str) -> bool:
    if not group.holds_folder(name):
        return False
    with group.folder(name) as array:
        return format_in(array) is not None
