"""The table of the most anomalous rows, with ids and reasons, written once they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from dgmm.data.stored_dataset import StoredDataset
from dgmm.delivery.anomaly_table import ANOMALIES, FILES, PARQUET, write_anomaly_table
from dgmm.job.deliveries import source_of
from dgmm.job.directory import RunDirectory
from dgmm.job.foreign_files import foreign_set_aside
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.executor import Executor
from dgmm.run_record import Delivered
from dgmm.scoring.anomaly_reasons import anomaly_reasons
from dgmm.scoring.most_anomalous import MostAnomalous
from dgmm.scoring.row_scores import is_anomalous

#: Before a result's name where the source carries a column of that name, as in rows/.
_PREFIX = "dgmm_"


def list_anomalies(
    found: MostAnomalous | None,
    dataset: StoredDataset,
    model: MixtureModel,
    directory: RunDirectory,
    executor: Executor,
    recording: RecordingListener,
) -> None:
    """Write the table of the rows that the scoring pass has found, and record it.

    Parameters
    ----------
    found
        None where the job lists none.
    dataset
        The rows' source, whose ids or coordinates are read of these rows alone.
    model
        What they are rows of, with its threshold if it has one.
    directory, executor, recording
        Where it goes, where parts are read, and who hears of it.
    """
    if found is None:
        return
    recording.stage(ANOMALIES, f"the {len(found.rows):,} most anomalous rows, with reasons")
    results = results_of(found, model)
    ids = _identities(found, dataset, executor)
    named = {_PREFIX + n if n in ids else n: values for n, values in results.items()}
    number = next(iter(named))
    columns: dict[str, Sequence[Any]] = {number: named.pop(number), **ids, **named}
    for text in foreign_set_aside(directory.folder, ANOMALIES):
        recording.warning(text)
    written = write_anomaly_table(directory.folder, columns)
    if len(written["files"]) < len(FILES):
        recording.note(f"{ANOMALIES}/{PARQUET} needs pyarrow: pip install 'dgmm[table]'")
    delivered = {**directory.record.get("delivered", {}), ANOMALIES: written}
    directory.record["delivered"] = cast("Delivered", delivered)
    recording.end_stage()


def results_of(found: MostAnomalous, model: MixtureModel) -> dict[str, list[Any]]:
    """Columns of the table but for ids: row, log density, flag, component and reasons."""
    reasons = anomaly_reasons(model, found.values, found.components)
    reasons = reasons.in_units_before(model.preprocess, found.values)
    arrays: dict[str, Any] = {"row": found.rows, "log_density": found.log_density}
    if model.anomaly_threshold is not None:
        flags = is_anomalous(found.log_density, model.anomaly_threshold)
        arrays["anomaly"] = flags.astype(np.int64)
    columns = (arrays | reasons.columns()).items()
    return {name: [_or_none(value) for value in values.tolist()] for name, values in columns}


def _or_none(value: Any) -> Any:
    """A row with fewer values than reasons has no feature there."""
    return None if value == "" else value


def _identities(
    found: MostAnomalous, dataset: StoredDataset, executor: Executor
) -> dict[str, list[Any]]:
    """Ids or coordinates of the rows, where their source has any."""
    source = source_of(dataset)
    if source is None:
        return {}
    from dgmm.delivery.row_identities import row_identities  # noqa: PLC0415 - few jobs need it

    return row_identities(source, found.rows, executor)
