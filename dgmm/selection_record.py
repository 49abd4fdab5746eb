"""What run.json records of a job of several models: their criteria, and which was chosen."""

from __future__ import annotations

from typing import TypedDict


class ModelName(TypedDict):
    """Which model of a job that asks for several, as it was asked for."""

    n_components: int
    covariance_type: str


class SweptModelRecord(ModelName):
    """One of several models.

    Likelihood, entropy (null where rows lack values) and criteria are those of the last E-step,
    that is of the parameters before the last M-step. `path` is its directory in the run directory;
    `is_sound`: EM came to a usable end, and no component is a spike on a few rows.
    """

    path: str
    fitted_components: int
    n_parameters: int
    outcome: str | None
    n_iter: int
    start: str
    is_sound: bool
    mean_log_likelihood: float | str
    log_likelihood: float | str
    entropy: float | str | None
    bic: float | str
    aic: float | str
    icl: float | str | None


class RefittedRecord(ModelName):
    """A model that was fitted again: it was `not sound`, or `less likely` than a smaller one."""

    reason: str


class HeldOutModel(ModelName):
    """Log-likelihood of the rows that a model has not seen, nats per row, of all folds and of each.

    `below_best` is how much it is below the highest, paired row by row, with `standard_error`.
    """

    mean_log_likelihood: float | str
    by_fold: list[float | str]
    below_best: float | str
    standard_error: float | str


class HeldOutRecord(TypedDict):
    """What a job with `selection.criterion: held_out` compares: models fitted without each fold.

    `rows` counts those of each fold; `best` has the highest log-likelihood.
    """

    rows: list[int]
    best: ModelName
    best_at_edge: bool
    models: list[HeldOutModel]


class _HeldOutKeys(TypedDict, total=False):
    """What stands there where rows are held out."""

    held_out: HeldOutRecord


class Selection(_HeldOutKeys):
    """Which of several models was chosen, by which rule.

    `rows` are those that criteria count; `runner_up` is what the rule would choose without the
    chosen model; `given_up` is how much its BIC / (2 rows) is above the lowest, nats per row;
    `at_edge`: it has the most components that were asked for; `is_smallest`: the fewest, above 1.
    `hidden` says what the tolerance may hide. `passes` of EM were made over all rows, and
    `passes_alone` are those of the models one by one. `failed` says why models are not there.
    `refitted` were fitted again from a split of a smaller model of their family; `fallen` are sound
    and still less likely than one.
    """

    rule: str
    tolerance: float
    rows: float
    chosen: ModelName
    runner_up: ModelName | None
    lowest_bic: ModelName
    given_up: float
    chosen_at_edge: bool
    lowest_bic_at_edge: bool
    chosen_is_smallest: bool
    lowest_bic_is_smallest: bool
    hidden: str
    passes: int
    passes_alone: int
    groups: int
    models: list[SweptModelRecord]
    failed: dict[str, str]
    refitted: list[RefittedRecord]
    fallen: list[ModelName]


class RunnerUpStability(ModelName):
    """The same of the model that the rule would choose without the chosen one."""

    is_stable: bool
    worst_component: int
    jaccard: list[float]
    by_split: list[list[float]]
    failed: list[str]


class _StabilityOfHalves(TypedDict, total=False):
    """Why halves could not be fitted, each reason once, and the runner-up of several models;
    earlier records have no such keys.
    """

    failed: list[str]
    runner_up: RunnerUpStability


class StabilityRecord(_StabilityOfHalves):
    """How alike the components of fits to two halves of the sample are, at random, over `splits`.

    `jaccard` has the mean coefficient of each component of the model, `by_split` those of each
    split; below `threshold` a component is not found again in other rows.
    """

    splits: int
    threshold: float
    sample_rows: int
    is_stable: bool
    worst_component: int
    jaccard: list[float]
    by_split: list[list[float]]
