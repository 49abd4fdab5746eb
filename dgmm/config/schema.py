"""What a job is: one frozen model a section, each key with its meaning, bounds and default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from dgmm.config.anomaly_settings import AnomalyRule, AnomalySettings
from dgmm.config.choices import Choice
from dgmm.config.class_keys import ClassSettings, Task
from dgmm.config.data_parts import CsvSettings, WeightSettings
from dgmm.config.earlier_model import AdaptSettings, MonitorSettings
from dgmm.config.merging import MergingSettings
from dgmm.config.model_settings import (
    InitialisationSettings,
    ModelSettings,
    SelectionSettings,
)
from dgmm.config.preprocess_steps import Step
from dgmm.config.settings import Settings, described_schema
from dgmm.config.values import (
    WHOLE,
    Address,
    ArrayName,
    AutoCount,
    Count,
    Flag,
    Interval,
    LocalPath,
    LocalPaths,
    MemoryLimit,
    Name,
    Names,
    Share,
    Version,
)
from dgmm.data.formats import FORMATS, format_name
from dgmm.execution.open_cluster import CLUSTERS
from dgmm.fitting.initialisation import INITIALISERS
from dgmm.mixture.covariance import FAMILIES
from dgmm.registry import Registry

Command = Literal["run", "predict"]


class DataSettings(Settings):
    """The rows to read."""

    path: LocalPaths
    """A Zarr array or group, a file or folder of another format, a pattern of files
    (`obs/*.parquet`), or a list of them. Relative to the current directory."""
    format: Literal["auto"] | Annotated[str, Field(strict=True), Choice(FORMATS)] = "auto"
    """Format that the rows are stored in; `auto` tells it by content. Packages may add others."""
    array: ArrayName | None = None
    """Name of the array where `path` holds several."""
    columns: Names | None = None
    """Columns of a table that are features; null takes all that are not named below."""
    id: Names | None = None
    """Columns that results carry along as they are, such as identifiers; no features."""
    describe: Names | None = None
    """Columns that results carry along and the report compares with the components; no features."""
    csv: CsvSettings = CsvSettings()
    """How CSV files are written."""
    variables: Names | None = None
    """Variables of labelled arrays (NetCDF, a Zarr group) that make features."""
    sample_dims: Names | None = None
    """Dimensions of labelled arrays that rows run over: each point of these is a row."""
    feature_dims: Names | None = None
    """Dimensions of labelled arrays that features run over: a feature for each place on these."""
    select: dict[Name, Interval] | None = None
    """What is taken of dimensions, by coordinate: `{depth: [0, 1000]}`, both ends included."""
    concat_dim: Name | None = None
    """Dimension along which several files of labelled arrays are joined."""
    weights: WeightSettings = WeightSettings()
    """Weights of rows for `dgmm run`; a row of weight 0 is left out of the fit, and labelled."""
    classes: Name | None = None
    """Class of each row, for `task: classify`: a column of a table, an array beside the rows in a
    Zarr group, or the path of an .npy file; integers or text, no feature."""
    groups: Name | None = None
    """What rows belong together (an utterance, a patient), given as `classes`: their log densities
    are summed, and they are held out together."""
    prepare: Literal["auto", "always", "never"] = "auto"
    """Copy the rows to prepared.zarr in the run directory first: `auto` does so for all but plain
    arrays, `always` for these too, `never` refuses what cannot be read in place."""
    missing: Literal["error", "drop", "marginalise"] = "error"
    """Rows with NaN or infinity: `error` ends the run, `drop` leaves them out (label -1),
    `marginalise` fits the values that rows have (values missing at random; infinity stays an
    error). Rows without any value are always left out."""
    absent_chunks: Literal["error", "fill"] = "error"
    """Chunks that are not stored: `error` ends the run, `fill` reads the array's fill value."""


class ClusterSettings(Settings):
    """Where the work is done: here (`kind`), or on a cluster that runs already."""

    kind: Literal["auto"] | Annotated[str, Field(strict=True), Choice(CLUSTERS)] = "auto"
    """`local`: worker processes here, `threads`: this process; `auto`: threads for little work."""
    n_workers: AutoCount = "auto"
    """Worker processes (`local`) or threads (`threads`); `auto` uses every CPU granted."""
    threads_per_worker: Count = 1
    """Threads in each worker process; for `threads` always 1."""
    memory_limit: MemoryLimit = "auto"
    """Memory of each worker: bytes or a size such as 4GiB; `auto` divides the machine's."""
    address: Address | None = None
    """A running scheduler, tcp://HOST:PORT; excludes every other key of this section."""
    scheduler_file: LocalPath | None = None
    """File in which a running scheduler left its address; excludes every other key."""


class ComputeSettings(Settings):
    """What passes over the rows are computed with."""

    backend: Literal["auto", "numpy", "numba"] = "auto"
    """`numba` (needs dgmm[fast]) is faster on large data; `auto` selects it where it is installed
    for driver and workers and the data are large enough. The two round differently."""


class OutputSettings(Settings):
    """What is written, and where."""

    path: LocalPath
    """The run directory. Relative to the current directory."""
    if_exists: Literal["resume", "error"] = "resume"
    """This very job is there already: `resume` continues or finds it done, `error` refuses.
    Another job's directory is always refused; nothing is ever overwritten."""
    labels: Flag = True
    """Most probable component of each row, int32; -1 for dropped rows."""
    max_posterior: Flag = True
    """Probability of that component, float32."""
    log_density: Flag = True
    """Logarithm of the mixture's density at each row, float64."""
    anomaly_quantile: Share | None = None
    """Share of rows flagged as anomalies, those of lowest density; null flags none. Needs
    `log_density`; `dgmm predict` takes the model's own threshold in its place."""
    zarr_format: Annotated[Literal["auto", 2, 3], WHOLE] = "auto"
    """Zarr format of the output arrays; `auto` takes that of the input. zarr-python 2 reads 2."""
    table: Literal["auto"] | Flag = "auto"
    """Results as a table, rows/part-*.parquet, one file for each part of the source; `auto` writes
    it for tables."""
    map: Literal["auto"] | Flag = "auto"
    """Results as maps.zarr, with the dimensions and coordinates of the source; `auto` writes it for
    labelled arrays."""
    responsibilities: Flag = False
    """Probability of every component for each row, float32: rows x components x 4 bytes."""
    clusters: Flag = False
    """Most probable cluster of each row, int32; -1 for dropped rows. Clusters are components that
    `merging` puts together; `dgmm predict` needs a model that was fitted with this key."""
    imputed: Flag = False
    """Values with expected ones where they are missing, and their standard deviations, float64:
    rows x features x 16 bytes. Needs `data.missing: marginalise`."""
    residual: Flag = True
    """Distance of each row from what its principal components give back, float64, where the rows go
    through `preprocess.pca`; residual_1, residual_2, ... of several."""
    class_posteriors: Flag = True
    """Probability of every class for each row, float32: rows x classes x 4 bytes. Of jobs that
    classify, whose `labels` are `classes`."""
    report: Literal["auto"] | Flag = "auto"
    """report.html and report.json: `false` writes none; `auto` and `true` are the same."""


class CheckpointSettings(Settings):
    """How often the state of a run is saved, from which the same command continues."""

    every_s: Annotated[float, Field(strict=False, gt=0.0, le=86_400.0, allow_inf_nan=False)] = 60.0
    """Seconds between two states within one pass over the data; between passes it is saved at
    least once a second."""


class StorageSettings(Settings):
    """What to do when storage fails for a while."""

    retry_s: Annotated[float, Field(strict=False, ge=0.0, le=86_400.0, allow_inf_nan=False)] = 600.0
    """Seconds for which a read that fails is tried again, ever more slowly; then the run ends with
    exit code 69 and the same command continues it. Damaged and vanished chunks are not retried."""


class Job(Settings):
    """One job of dgmm: what to read, what to fit, where to compute, what to write."""

    version: Version = 1
    """Version of this file's format."""
    task: Task = "fit"
    """`fit` fits one mixture; `classify` one to the rows of each class (`data.classes`), in the
    same passes, and predicts the class of every row."""
    data: DataSettings
    """The rows to read."""
    model: ModelSettings
    """The mixture to fit, or where a fitted one lies."""
    classes: ClassSettings = ClassSettings()
    """How classes are weighed and evaluated, for `task: classify`."""
    selection: SelectionSettings = SelectionSettings()
    """Which model is chosen where `model` asks for several."""
    initialisation: InitialisationSettings = InitialisationSettings()
    """Where EM starts."""
    cluster: ClusterSettings = ClusterSettings()
    """Where the work is done."""
    merging: MergingSettings = MergingSettings()
    """Which components are one cluster."""
    comparison: Flag = False
    """Whether k-means and the families full, tied, diag and spherical are compared on these rows:
    run.json (`comparison`) and the report have time, parameters, held-out log-likelihood, BIC and
    agreement. They are fitted to a part of the sample; all rows are read once more."""
    anomalies: AnomalySettings = AnomalySettings()
    """Which rows are flagged as anomalies, and listed with their reasons."""
    compute: ComputeSettings = ComputeSettings()
    """What passes over the rows are computed with."""
    output: OutputSettings
    """What is written, and where."""
    preprocess: Annotated[list[Step], Field(min_length=1)] | None = None
    """Steps that features are transformed by before the fit, one behind the other. They are fitted
    to the rows, kept in the model and applied by `dgmm predict`; null fits the values as they
    are."""
    monitor: MonitorSettings = MonitorSettings()
    """Whether an earlier run's model still describes the rows, with an alarm where it does not."""
    adapt: AdaptSettings = AdaptSettings()
    """Adapt the model of `initialisation` to the rows in place of a fit."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    """How often the state of a run is saved."""
    storage: StorageSettings = StorageSettings()
    """What to do when storage fails for a while."""
    on_not_converged: Literal["warn", "error", "ignore"] = "warn"
    """Every end without convergence: `warn` warns and exits 0, `error` exits 10, `ignore` exits 0.
    These ends are MAX_ITER_REACHED, LOG_LIKELIHOOD_DECREASED, COMPONENT_COLLAPSED and
    DEGENERATE_START; the best model is written in every case."""
    seed: Annotated[int, Field(strict=True, ge=0, le=2**63 - 1), WHOLE] = 0
    """Start of every random draw; the same seed gives bit-identical results."""

    @property
    def command(self) -> Command:
        """`predict` where the job names a fitted model, otherwise `run`."""
        return "run" if self.model.path is None else "predict"

    @property
    def models(self) -> tuple[tuple[int, str], ...]:
        """Number of components and covariance type of every model to fit; none for `predict`."""
        k, types = self.model.n_components, self.model.covariance_type
        sizes = [] if k is None else k if isinstance(k, list) else [k]
        families = types if isinstance(types, list) else [types]
        return tuple((size, family) for family in families for size in sizes)

    @property
    def fits_of_a_model(self) -> int:
        """Fits of each model: to all rows, and without each part of them that is held out."""
        return 1 + self.selection.folds if self.selection.criterion == "held_out" else 1

    @property
    def anomaly_rule(self) -> AnomalyRule:
        """How rows are flagged as anomalies."""
        return self.anomalies.rule(self.output.anomaly_quantile)

    @property
    def usual_share(self) -> float:
        """What `model.reg_covar_relative: auto` is where rows are many for the parameters."""
        return 1e-6

    def resolved(self) -> dict[str, Any]:
        """Every value in force, defaults included; what another section excludes is left out."""
        job = self.model_dump(mode="json")
        if self.model.path is not None:
            job["model"] = {"path": self.model.path}
        for place in ("address", "scheduler_file"):
            if job["cluster"].get(place) is not None:
                job["cluster"] = {place: job["cluster"][place]}
        return job

    def _as_recorded(self, model: dict[str, Any]) -> None:
        """Give a share that is left open the value that identities had before it could be."""
        if self.task == "fit" and model.get("reg_covar_relative") == "auto":
            model["reg_covar_relative"] = self.usual_share

    def fingerprint_fields(self) -> dict[str, Any]:
        """What makes this job itself: data, model, start, backend, seed and products.

        Not so the Zarr format of the outputs: that of `auto` follows from the data, and a run
        directory compares what is in force. Cluster, report, checkpoints, a larger `max_iter` and
        what to do without convergence may change between two runs of the same job.
        """
        job = self.resolved()
        job["model"].pop("max_iter", None)
        self._as_recorded(job["model"])
        job["data"]["format"] = format_name(self.data.format)
        products = {key: job["output"][key] for key in _PRODUCTS}
        fields = {name: job[name] for name in ("data", "model", "compute")}
        fields["outputs"] = products
        if self.task != "fit":
            fields |= {"task": self.task, "classes": job["classes"]}
        if len(self.models) > 1 or (self.models and self.selection.stability):
            fields["selection"] = job["selection"]
        if self.preprocess is not None:  # earlier identities have no such key
            fields["preprocess"] = job["preprocess"]
        if self.anomalies != AnomalySettings():
            fields["anomalies"] = job["anomalies"]
        if self.command == "run":
            fields |= {"initialisation": job["initialisation"], "seed": job["seed"]}
            if self.comparison:
                fields["comparison"] = True
            if self.output.clusters or self.merging != MergingSettings():
                fields["merging"] = job["merging"]
        if self.monitor.against is not None:
            fields["monitor"] = {"against": self.monitor.against}
        if self.adapt.relevance is not None:
            fields["adapt"] = job["adapt"]
        return fields


_PRODUCTS = (
    *("labels", "max_posterior", "log_density", "anomaly_quantile", "responsibilities"),
    *("imputed", "residual", "clusters", "class_posteriors"),
)


#: What keys of a job name members of.
REGISTRIES: tuple[Registry[Any], ...] = (FORMATS, FAMILIES, INITIALISERS, CLUSTERS)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a job file, for editors: every key with description and default."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return head | described_schema(Job) | {"title": "dgmm job file"}
