"""What a job that classifies writes of each row: made once, filled in one pass, published whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dgmm.checkpoint import RunState
from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.zarr.format_versions import ZarrFormat, group_attributes
from dgmm.data.zarr.output_array import run_of
from dgmm.errors import DataError
from dgmm.job.directory import RunDirectory
from dgmm.job.identity import fingerprint
from dgmm.job.output_stage import MODEL_ATTRIBUTE, holds_arrays
from dgmm.job.products import OUTPUTS
from dgmm.job.stages import output_attributes, publish_outputs
from dgmm.model.classifier import Classifier
from dgmm.model.classifier_files import classifier_digest
from dgmm.reduction.executor import OpenExecutor
from dgmm.scoring.class_scoring import class_scoring_pass
from dgmm.scoring.class_statistics import ClassStatistics
from dgmm.scoring.output_registry import CLASS_POSTERIORS, CLASSES
from dgmm.scoring.scoring_pass import Products, describe
from dgmm.storage.folders import Folder

#: Attribute of the outputs: what the codes in `classes` are called.
NAMES_ATTRIBUTE = "class_names"


def class_product_names(job: Job) -> tuple[str, ...]:
    """Arrays that a job writes whose model is a classifier."""
    wanted = {
        CLASSES: job.output.labels,
        "max_posterior": job.output.max_posterior,
        "log_density": job.output.log_density,
        CLASS_POSTERIORS: job.output.class_posteriors,
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)


@dataclass(frozen=True, slots=True, eq=False)
class ClassOutputs:
    """The scoring pass of a classifier over a job's rows.

    Attributes
    ----------
    job, directory
        What is wanted, and where it goes.
    dataset, executor
        What is read, and where.
    classifier, folds
        The saved classifier, and those that have not seen a fold each.
    state
        Saves what is done.
    zarr_format, backend
        Of the arrays, and the name of what scores.
    warn
        Called with what is worth a warning.
    """

    job: Job
    directory: RunDirectory
    dataset: Dataset
    executor: OpenExecutor
    classifier: Classifier
    folds: tuple[Classifier, ...]
    state: RunState
    zarr_format: ZarrFormat
    backend: str
    warn: Callable[[str], None]

    def write(self) -> ClassStatistics:
        """Write all arrays and publish them; what was counted."""
        names = class_product_names(self.job)
        part, final = self.directory.folder / f"{OUTPUTS}.part", self.directory.folder / OUTPUTS
        path = str(self.directory.path / part.name)
        products = Products(path, names, self._run)
        self._prepare(products)
        total = self.state.once(self._slot, lambda: self._scored(products))
        self.dataset.check_unchanged()
        for text in publish_outputs(part, final, self._run):
            self.warn(text)
        place = self.directory.path / final.name
        self.directory.record["outputs"] = describe(place, names, total.digests, self.backend)
        return total

    @property
    def _run(self) -> str:
        data = (self.directory.record.get("data") or {}).get("fingerprint")
        return fingerprint({"job": self.directory.identity, "data": data, "model": self._digest})

    @property
    def _digest(self) -> str:
        return classifier_digest(self.classifier)

    @property
    def _slot(self) -> str:
        return f"class-scores-{self._digest[:16]}-{self.backend}"

    def _prepare(self, products: Products) -> None:
        """Make the arrays, unless an earlier attempt has made them."""
        part, final = self.directory.folder / f"{OUTPUTS}.part", self.directory.folder / OUTPUTS
        names = products.names
        if not names or holds_arrays(part, names, lambda group: run_of(group) == self._run):
            return
        if holds_arrays(final, names, self._is_finished) and self.state.has(self._slot):
            part.folder.remove(part.name)  # killed after publishing them
            return
        for slot in ("pass", self._slot):
            self.state.forget(slot)
        attributes = output_attributes(self.dataset) | {
            MODEL_ATTRIBUTE: self._digest,
            NAMES_ATTRIBUTE: list(self.classifier.names),
        }
        grid = self.dataset.grid
        products.create(grid, self.classifier.n_classes, attributes, self.zarr_format, part)

    def _is_finished(self, group: Folder) -> bool:
        return group_attributes(group).get(MODEL_ATTRIBUTE) == self._digest

    def _scored(self, products: Products) -> ClassStatistics:
        """Every row accounted for."""
        total = class_scoring_pass(
            *(self.dataset, self.executor, self.classifier, self.folds, products),
            missing=MissingPolicy(self.job.data.missing),
            backend=self.backend,
            progress=self.state.of_pass(self._slot),
        )
        if total.n_read != self.dataset.n_samples:
            raise DataError(
                f"the scoring pass read {total.n_read:,} rows of {self.dataset.n_samples:,}: the "
                "data changed"
            )
        return total
