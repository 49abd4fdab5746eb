"""run.json: its keys and their types, its JSON Schema, and how records of former versions are read.

Writers fill a `RunRecord`, so that the type checker knows every key; readers call `read`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

from dgmm.anomaly_record import Anomaly, AnomalyTable
from dgmm.classification_record import Classification, ShrinkageRecord
from dgmm.comparison_record import ComparisonRecord
from dgmm.drift_record import Adaptation, Drift, EarlierRun
from dgmm.errors import DataError
from dgmm.missing_record import Missing
from dgmm.noise_record import NoiseRecord
from dgmm.record_schema import schema_of
from dgmm.selection_record import Selection, StabilityRecord

SCHEMA_VERSION = 2


class Attempt(TypedDict):
    """How an attempt before this one began and ended."""

    started: str | None
    ended: str | None
    status: str | None
    message: str | None


class _RowsSinceMarginalising(TypedDict, total=False):
    empty: int
    incomplete: int


class Rows(_RowsSinceMarginalising):
    """Rows of the array: `total` is `read`, those that were fitted or scored, and `dropped`.

    `empty` have no value at all, and are dropped; `incomplete` lack some values, and are dropped
    unless `data.missing` is `marginalise`.
    """

    total: int | None
    read: int
    dropped: int


class RowWeights(TypedDict):
    """Weights of rows as they were given.

    Of the rows that count: `sum` is Σw, `n_eff` (Σw)²/Σw², `max` the largest weight and `max_row`
    its row. `zeros` are rows of weight 0, `positive_rows` all others, left out or not. Of
    `importance` weights that differ criteria take n_eff for the number of rows, and are
    approximate.
    """

    kind: Literal["counts", "importance"]
    sum: float
    n_eff: float
    max: float
    max_row: int
    zeros: int
    positive_rows: int
    criteria_are_approximate: bool


class InferenceRecord(TypedDict):
    """What was maximised, per row, where it is not the likelihood; the prior in user units."""

    name: str
    objective: float | str | None
    prior: dict[str, Any]


class _SinceVersion2(TypedDict, total=False):
    backend: str


class Output(_SinceVersion2):
    """One output array; `sha256` is of its values, `bytes` are those on disk."""

    dtype: str
    shape: list[int]
    chunk_rows: int
    sha256: str
    bytes: int


class _PreparedDamage(TypedDict, total=False):
    is_damaged: bool


class Prepared(_PreparedDamage):
    """Rows of a source that this or an earlier attempt has written to prepared.zarr.

    `is_damaged`: chunks of them are damaged, and are to be written again.
    """

    kind: str
    parts: int
    rows: int
    bytes: int
    seconds: float


class MemberQuantiles(TypedDict):
    """Quantiles of the members of each component: values (k, features, shares), or null of none."""

    shares: list[float]
    features: list[str]
    values: list[list[list[float | str] | None]]


class Preprocess(TypedDict, total=False):
    """Steps that rows go through before they are fitted, with their numbers.

    `n_outside` counts, step by step and by feature, values that have become missing; `means` are
    those of the components (k, features that the user has), taken back through the steps, and
    `means_are` says what they are then. Features with a step that has no inverse have `quantiles`.
    """

    input_names: list[str]
    asked: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    n_outside: list[dict[str, int]]
    means: list[list[float | str]]
    means_are: list[str]
    quantiles: MemberQuantiles


class Merging(TypedDict):
    """Components merged into clusters on `sample_rows` rows of the sample.

    `clusters` has the cluster of each component. `entropies` are those of k, k − 1, …, 1 clusters,
    nats per row; `entropy` is that of `n_clusters` over all rows, null where the job writes no
    clusters. Each of `merges` has `left` and `right` components, `gain` with `standard_error`,
    `overlap`: the gain per row of the smaller of the two, and `rivals`: the pair that could not be
    told from this one. `max_entropy` and `min_overlap` are null where `n_clusters` was asked for.
    """

    n_clusters: int
    clusters: list[int]
    max_entropy: float | None
    min_overlap: NotRequired[float | None]
    sample_rows: int
    entropy: float | None
    entropies: list[float]
    merges: list[dict[str, Any]]


class DescribedColumn(TypedDict, total=False):
    """How often each value of a described column is in each component, and last in none.

    `counts` has a list of k + 1 rows for each of `values`, `other_counts` those of all other
    values; a column with more than `too_many_values` has neither.
    """

    values: list[str]
    counts: list[list[int]]
    other_values: int
    other_counts: list[int]
    too_many_values: int


class RowTable(TypedDict):
    """Results as a table: a file for each part of the source."""

    path: str
    files: int
    rows: int
    bytes: int
    columns: list[str]
    described: dict[str, DescribedColumn]


class Delivered(TypedDict, total=False):
    """Results in the form of their source."""

    table: RowTable
    map: dict[str, Any]
    anomalies: AnomalyTable


class FirstRecord(TypedDict):
    """What run.json holds from the start of a run on."""

    schema_version: int
    command: Literal["run", "predict"]
    status: Literal["running", "done", "failed", "stopped"]
    exit_code: int | None
    outcome: str | None
    message: str
    started: str
    ended: str | None
    attempts: list[Attempt]
    dgmm_version: str
    job: dict[str, Any]
    job_identity: dict[str, Any]
    job_fingerprint: str
    data: dict[str, Any] | None
    rows: Rows
    mean_log_likelihood: float | str | None
    warnings: list[str]
    component_log: list[dict[str, Any]]
    outputs: dict[str, Output]
    anomaly: Anomaly | None
    timings: dict[str, float]
    environment: dict[str, Any] | None
    seed: int


class RunRecord(FirstRecord, total=False):
    """Everything that run.json holds; `cluster`: the `kind` that `auto` has become, and `why`."""

    cluster: dict[str, str]
    prepared: Prepared
    delivered: Delivered
    n_iter: int
    backend: str
    model_sha256: str
    missing: Missing
    selection: Selection
    comparison: ComparisonRecord
    inference: InferenceRecord
    noise: NoiseRecord
    shrinkage: ShrinkageRecord
    restarts: list[dict[str, Any]]
    starts: list[dict[str, Any]]
    repeated_values: list[dict[str, Any]]
    log_likelihood: float | str | None
    entropy: float | str | None
    n_parameters: int
    criteria: dict[str, float | str | None] | None
    label_counts: list[int]
    rows_underflowed: int
    weights: RowWeights
    preprocess: Preprocess
    merging: Merging
    earlier_run: EarlierRun
    drift: Drift
    adaptation: Adaptation
    stability: StabilityRecord
    classification: Classification
    start_classes: list[str]
    frozen: list[int]


#: Keys that every record has.
REQUIRED = tuple(FirstRecord.__annotations__)
#: What keys of version 1 are called today, and stages in its `timings`.
_FORMER_KEYS = {"arithmetic": "backend"}
_FORMER_STAGES = {"last walk": "scoring"}
#: What keys of its `component_log` are called today, and kinds of what happened to a component.
_FORMER_EVENT_KEYS = {"event": "kind"}
_FORMER_KINDS = {"held": "variance_floored"}


def read(found: Any) -> dict[str, Any]:
    """A record of this version or a former one, in the keys of this one.

    Raises
    ------
    DataError
        If it is no JSON object, or of a newer version.
    """
    if not isinstance(found, Mapping):
        raise DataError(f"expected an object, found a {type(found).__name__}")
    version = found.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise DataError(
            f"its schema_version is {version}, this dgmm reads up to {SCHEMA_VERSION}: update dgmm"
        )
    return dict(found) if version == SCHEMA_VERSION else _of_version_1(found)


def _of_version_1(found: Mapping[str, Any]) -> dict[str, Any]:
    record = {_FORMER_KEYS.get(key, key): value for key, value in found.items()}
    timings = record.get("timings")
    if isinstance(timings, Mapping):
        record["timings"] = _todays_timings(timings)
    if isinstance(log := record.get("component_log"), list):
        record["component_log"] = [_todays_event(e) if isinstance(e, dict) else e for e in log]
    return record | {"schema_version": SCHEMA_VERSION}


def _todays_timings(timings: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds by stage; a run of two versions has both names of one."""
    own: dict[str, Any] = {}
    for name, seconds in timings.items():
        today = _FORMER_STAGES.get(name, name)
        own[today] = own[today] + seconds if today in own else seconds
    return own


def _todays_event(entry: Mapping[str, Any]) -> dict[str, Any]:
    own = {_FORMER_EVENT_KEYS.get(key, key): value for key, value in entry.items()}
    if isinstance(own.get("kind"), str):
        own["kind"] = _FORMER_KINDS.get(own["kind"], own["kind"])
    return own


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of run.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "run.json of dgmm",
        **schema_of(RunRecord),
        "required": list(REQUIRED),
    }
