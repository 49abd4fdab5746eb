"""Results in the form of their source, written once the row arrays of a run are finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from dgmm.config import Job
from dgmm.data.in_place_dataset import InPlaceDataset
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.row_source import RowSource
from dgmm.data.sources.transformed_rows import TransformedRows
from dgmm.data.stored_dataset import StoredDataset
from dgmm.delivery.request import DeliveryRequest
from dgmm.errors import JobFileError
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.products import OUTPUTS
from dgmm.reduction.executor import Executor
from dgmm.run_record import Delivered
from dgmm.storage.retry import retry_budget

Form = Literal["table", "map"]
Write = Callable[[RowSource, DeliveryRequest, Executor], dict[str, Any]]


def deliveries(job: Job, dataset: StoredDataset) -> tuple[Form, ...]:
    """The forms that a job's results have beside its arrays.

    Raises
    ------
    JobFileError
        If one is asked for that the data do not have.
    """
    source = source_of(dataset)
    usual = "none" if source is None else source.delivery
    asked: dict[Form, bool | str] = {"table": job.output.table, "map": job.output.map}
    for form, wanted in asked.items():
        if wanted is True and (source is None or (form == "map" and usual != "map")):
            raise JobFileError(
                f"output.{form} is true, and {_FAULTS[form]}. Remove output.{form}; "
                f"{OUTPUTS} has all results"
            )
    return tuple(f for f, wanted in asked.items() if wanted is True or (wanted and usual == f))


_FAULTS: Mapping[Form, str] = {
    "table": "a plain array has no parts whose files a table could follow (data.prepare: always "
    "gives it some)",
    "map": "only labelled arrays (a Zarr group or NetCDF) have dimensions that a map could have",
}


def deliver(
    job: Job,
    dataset: StoredDataset,
    n_components: int,
    directory: RunDirectory,
    executor: Executor,
    recording: RecordingListener,
) -> None:
    """Write what `deliveries` names, from the published outputs, and record it.

    Parameters
    ----------
    job, dataset
        What is wanted, and the source that it goes back by.
    n_components
        Of the model that labelled the rows, and one more with noise.
    directory, executor, recording
        Where it goes, where tasks run, and who hears of it.
    """
    names = tuple(directory.record["outputs"])
    source = source_of(dataset)
    forms = deliveries(job, dataset)
    if source is None or not names or not forms:
        return
    source.check_unchanged()  # before anything is replaced by results beside other names
    outputs = str(directory.path / OUTPUTS)
    retry_s = job.storage.retry_s
    request = DeliveryRequest(outputs, str(directory.path), names, n_components, retry_s)
    delivered: dict[str, Any] = {}
    for form in forms:
        recording.stage(form, f"results as a {form}")
        with retry_budget(retry_s):
            found = _writer(form)(source, request, executor)
        delivered[form] = found | {"path": Path(found["path"]).name}
        recording.end_stage()
    directory.record["delivered"] = cast("Delivered", delivered)


def source_of(dataset: StoredDataset) -> RowSource | None:
    """The source of a data set's rows; None of a plain array."""
    if not isinstance(dataset, SourceDataset | InPlaceDataset):
        return None
    source = dataset.source
    return source.source if isinstance(source, TransformedRows) else source


def _writer(form: Form) -> Write:
    if form == "table":
        from dgmm.delivery.row_table import write_row_table  # noqa: PLC0415 - few jobs need it

        return write_row_table
    from dgmm.delivery.label_map import write_label_maps  # noqa: PLC0415 - few jobs need it

    return write_label_maps
