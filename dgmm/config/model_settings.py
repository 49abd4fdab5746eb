"""What of a job says which mixture is fitted: model, selection among several, start."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from dgmm.config.choices import Choice
from dgmm.config.model_choices import CovarianceTypes, Sizes
from dgmm.config.prior_keys import PriorKeys
from dgmm.config.settings import Settings
from dgmm.config.values import (
    WHOLE,
    AutoCount,
    AutoNumber,
    AutoShare,
    Count,
    Flag,
    LocalPath,
    NotNegative,
)
from dgmm.fitting.initialisation import INITIALISERS


class _MixtureKeys(Settings):
    """The mixture, and EM."""

    n_components: Sizes = None
    """Number of Gaussians. Required by `dgmm run`. Several, `[2, 4, 8]`, `{from: 1, to: 20}` or
    `{from: 2, to: 64, factor: 2}`, are models that are fitted in the same passes; `selection`
    says which of them is chosen."""
    covariance_type: CovarianceTypes = "full"
    """Shape of the covariances: one each, one for all, axis-parallel, or round. A list of several
    fits all of them for every number of components."""
    tol: NotNegative = 1e-4
    """EM has converged when the mean log-likelihood changes by less than this and, with
    acceleration, the gain still to come is estimated to be less too."""
    max_iter: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000), WHOLE] = 200
    """Most EM iterations of one start; 0 only initialises and writes that model."""
    n_init: Count = 1
    """Starts; the best one is selected."""
    reg_covar: NotNegative = 0.0
    """Added to the diagonal of every covariance, in the data's units squared."""
    reg_covar_relative: AutoShare = "auto"
    """Share of each feature's robust variance added to the diagonal of every covariance. `held_out`
    is the share, 1e-6 to 0.3, that held-out rows of the sample prefer, where there are fewer than
    ten for each free parameter and the sample is all of them, and 1e-6 elsewhere. `auto` is 1e-6;
    for `task: classify`, where a class has so few rows and neither `reg_covar` nor `inference` is
    given, it is `held_out`."""
    acceleration: Literal["squarem", "none"] = "squarem"
    """Fewer EM passes: `squarem` tries longer steps and takes back what does not help."""
    on_collapse: Literal["reseed", "drop"] = "reseed"
    """A component that collapses: `reseed` starts it anew where rows fit badly, `drop` ends it."""
    component_order: Literal["start", "weight"] = "start"
    """How the fitted components are numbered: as they were at the start, or `weight`, heaviest
    first (equal weights by their means), so that runs which find the same mixture compare."""
    noise: Flag = False
    """A uniform density beside the Gaussians, which takes rows that belong to none: over the box of
    the sample's quantiles of 0.1 % and 99.9 %, and as high outside it. Its label is the one behind
    the last component's, and it has one posterior more. Not with `inference: variational` or
    `data.missing: marginalise`."""
    freeze: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=0, le=1_000_000)], ...], Field(strict=False)
    ] = ()
    """Components of `initialisation.model`, by number from 0, whose means and covariances stay as
    they are; their weights are fitted like the others'."""
    path: LocalPath | None = None
    """A model directory (`runs/photos/model`), for `dgmm predict`; excludes the other keys."""


class ModelSettings(PriorKeys, _MixtureKeys):
    """The mixture to fit (`dgmm run`), or where a fitted one lies (`dgmm predict`)."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["n_components"]}, {"required": ["path"]}]}
    )


class SelectionSettings(Settings):
    """Which of several models is chosen."""

    criterion: Literal["bic", "held_out"] = "bic"
    """`bic` needs no further fits; `held_out` fits every model without each of `folds` parts of the
    rows too, in the same passes, and compares the log-likelihood of the rows left out."""
    folds: Annotated[int, Field(strict=True, ge=2, le=100), WHOLE] = 5
    """Parts of the rows for `held_out`. The part of a row follows from a hash of its number and
    `seed`, whatever the chunks and workers are."""
    fold_rows: Count = 1
    """Consecutive rows that stay in one part: more where neighbours are alike, as in series and
    images."""
    tolerance: NotNegative = 0.01
    """The model of fewest components is chosen whose BIC / (2 n) is within so many nats per row of
    the lowest; 0 is plain BIC. With `held_out`, whose held-out log-likelihood is within so many, or
    one standard error of the difference, of the highest. Larger values hide small clusters: one
    with a share p of the rows that gains g nats per row of its own counts p·g. Without effect on a
    job with one model."""
    stability: Flag = False
    """Whether the components of the model, or of the chosen one and the runner-up, are looked for
    in halves of the sample: six fits to half of it for each, without a read of the data. A
    component of the model or the chosen one that is not found again is warned of."""
    split_starts: Flag = True
    """Of several models those of one family begin at splits of smaller ones too, where that is
    likelier on the sample, and are fitted again from one where the likelihood falls with k. `false`
    gives each model the bits of its job alone."""


class InitialisationSettings(Settings):
    """Where EM starts."""

    method: Annotated[str, Field(strict=True), Choice(INITIALISERS)] = "kmeans"
    """How the first parameters are found on a sample of the rows; `kmeans_parallel` reads all rows
    seven times, for clusters too rare for a sample; `given` reads `model`; `labels` begins with a
    component for each class of `data.classes`, as one more read finds it."""
    sample_rows: AutoCount = "auto"
    """Rows in the sample; `auto` takes the larger of 100,000 and 100 a component."""
    n_sample_starts: AutoNumber = "auto"
    """Starts, of each of `n_init`, that short EM runs on the sample compare, drawn in several
    metrics in turn; 0 takes one start in each metric to all rows and compares them there. `auto`
    is 16, fewer where they would take long or rows are fewer than free parameters."""
    model: LocalPath | None = None
    """A model to start from, with `method: given`, which it stands for: a model directory, a run
    directory, or `last`, the newest finished run of the same features in the directory that holds
    `output.path`; where there is none yet, the start is that of `kmeans`."""

    @model_validator(mode="before")
    @classmethod
    def _given_model(cls, value: Any) -> Any:
        """A model alone says which method is meant."""
        if isinstance(value, dict) and value.get("model") is not None and "method" not in value:
            return {**value, "method": "given"}
        return value
