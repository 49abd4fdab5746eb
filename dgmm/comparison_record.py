"""What run.json has of comparisons: of methods on the same rows, and of two mixtures' labels."""

from __future__ import annotations

from typing import TypedDict

#: A number, or how JSON spells one that it has no word for.
_Number = float | str | None


class LabelMatrixRecord(TypedDict):
    """Labels that two mixtures give to the same rows.

    `moved`: share of the rows that are in another cluster once clusters are matched. `first` and
    `second` are labels of both mixtures, at most 128 of each: `n_pairs` matched ones beside each
    other, those with the most rows first, then the others. `matrix` has the rows by label of the
    first (down) and of the second (across), in this order; `first_rows` and `second_rows` those
    with each label, whatever the other mixture says. `noise` is the label of each one's noise,
    null without, and `n_labels` how many labels each has.
    """

    rows: int
    adjusted_rand_index: float
    moved: float
    n_labels: list[int]
    noise: list[int | None]
    n_pairs: int
    first: list[int]
    second: list[int]
    first_rows: list[int]
    second_rows: list[int]
    matrix: list[list[int]]


class ComparedMethod(TypedDict):
    """One method: `k-means`, a covariance family, or the job's own `with noise`.

    `passes`, `seconds_per_row`: passes over the sample until it converged, and the fastest of them;
    `agreement_of_halves`: share of unseen rows that fits to two halves label alike. Likelihoods are
    nats per row, of all rows and of those held out; `below_best` is how far the latter is below the
    highest, with the standard error of that difference. k-means has no density, and null there.
    """

    name: str
    passes: int
    seconds_per_row: _Number
    n_parameters: int
    agreement_of_halves: _Number
    mean_log_likelihood: _Number
    held_out: _Number
    below_best: _Number
    standard_error: _Number
    bic_per_row: _Number


class ComparisonRecord(TypedDict):
    """Methods, and how their labels of all rows agree, pair by pair in their order.

    `adjusted_rand_index`: 1 for equal partitions; `moved`: share of the rows that are in another
    cluster once clusters are matched. `failed`: why a method could not be fitted.
    """

    n_components: int
    rows: int
    held_out_rows: int
    fitted_rows: int
    seconds: float
    methods: list[ComparedMethod]
    adjusted_rand_index: list[list[float]]
    moved: list[list[float]]
    failed: dict[str, str]
