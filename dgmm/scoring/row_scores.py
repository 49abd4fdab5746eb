"""Scores of a block: label, posterior, log density and anomaly of each row."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import SelectedRows, UncheckedRows
from dgmm.data.row_block import complete_rows
from dgmm.data.standardisation import Standardisation
from dgmm.mixture.backends import WORTH_COMPILING, select
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import RowScores, Scorer
from dgmm.mixture.marginal import MarginalScorer
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.executor import Executor
from dgmm.runtime.environment import all_compile_alike
from dgmm.scoring.merged_scores import MergedScores
from dgmm.scoring.partial_rows import PartialRows, marginal_scorer
from dgmm.scoring.scored import Scored, scores_of_all_rows

Array = NDArray[np.float64]


class ScoredMixture(Protocol):
    """What scoring needs of a fitted mixture."""

    @property
    def parameters(self) -> Parameters:
        """In standardised units."""

    @property
    def standardisation(self) -> Standardisation:
        """Shift and scale."""

    @property
    def n_components(self) -> int:
        """Number of components, k."""

    @property
    def log_volume(self) -> float:
        """Σ log scale: log density in user units = standardised log density − this."""

    @property
    def anomaly_threshold(self) -> float | None:
        """Rows of lower log density are anomalies; None where none are flagged."""

    @property
    def clusters(self) -> tuple[int, ...] | None:
        """The cluster of each component; None where none are merged."""


def is_anomalous(log_density: Array, threshold: float) -> NDArray[np.bool_]:
    """Which of some log densities (n,) lie below a threshold, or are −inf, whatever it is.

    Examples
    --------
    >>> is_anomalous(np.array([-np.inf, -8.0, -7.0, np.nan]), -7.5).tolist()
    [True, True, False, False]
    """
    return (log_density < threshold) | np.isneginf(log_density)


def select_scoring_backend(
    wanted: str, model: ScoredMixture, dataset: Dataset, executor: Executor
) -> str:
    """The name of the backend that scores all rows of a data set, the same on all workers.

    Parameters
    ----------
    wanted
        `auto`, `numpy` or `numba`.
    model, dataset, executor
        What is scored, and where.

    Raises
    ------
    UnavailableError
        If Numba is wanted and cannot be used everywhere.
    """
    width = model.parameters.family.width(dataset.n_features)
    numbers = dataset.n_samples * (model.n_components + width)
    if wanted == "auto" and numbers < WORTH_COMPILING:
        return "numpy"
    return select(wanted, numbers, is_everywhere=all_compile_alike(executor.environment()))


class IncompleteRowsError(Exception):
    """A row that was scored before its values were checked has one that is not finite."""


def score_block(
    rows: SelectedRows | UncheckedRows,
    scorer: Scorer,
    workspace: Workspace,
    model: ScoredMixture,
    posterior_dtype: DTypeLike | None,
    marginal: MarginalScorer | None = None,
    *,
    impute: bool = False,
    merge: bool = False,
) -> Scored:
    """Scores of one block, dropped rows filled in; all posteriors in a dtype, or none.

    Rows that lack values are scored by `marginal`, which keeps what it has prepared for the next
    block; None makes one where it is needed. With `merge` there are clusters of rows too.

    Raises
    ------
    IncompleteRowsError
        If a row that was not checked before is not finite.
    """
    own = rows.if_complete() if isinstance(rows, UncheckedRows) else rows
    out = _empty_scores(own, model.parameters.n_labels, posterior_dtype)
    merged = _merged(model, len(own.values)) if merge else None
    if own.has_partial:
        marginal = marginal or marginal_scorer(model.parameters)
        entropy, completed = _write_partial(own, scorer, marginal, workspace, model, out, merged)
    else:
        entropy = write_scores(
            *(own.values, scorer, workspace, model, out, own.weights, merged),
            is_checked=own is rows,
        )
        completed = out.log_density
    log_density = out.log_density
    log_density -= model.log_volume
    if completed is not log_density:
        completed -= model.log_volume
    flags = None
    if model.anomaly_threshold is not None:
        flags = is_anomalous(completed, model.anomaly_threshold).astype(np.int8)
    imputed = _imputed(own, marginal, model) if impute else (None, None)
    return Scored(
        block=scores_of_all_rows(own, out, completed, flags, merged, imputed),
        rows=own,
        scores=out,
        n_labels=model.parameters.n_labels,
        entropy=entropy,
        flags=flags,
        merged=merged,
    )


def _empty_scores(rows: SelectedRows, n_labels: int, dtype: DTypeLike | None) -> RowScores:
    """Arrays for scores of the rows that count; NaN in posteriors of the others.

    The posteriors, the one wide array, are written where they belong among all rows: a copy of them
    would be as large as they are.
    """
    mask, posteriors = rows.mask, None
    if dtype is not None:
        posteriors = np.empty((rows.n_read, n_labels), dtype)
        if mask is not None:
            posteriors[~mask] = np.nan
    places = None if mask is None else np.flatnonzero(mask)
    return RowScores.empty(len(rows.values), posteriors, places)


def _merged(model: ScoredMixture, n: int) -> MergedScores:
    """Arrays for the clusters of n rows; of a model without any each component is one.

    Noise is a cluster of its own, the last.
    """
    clusters = range(model.n_components) if model.clusters is None else model.clusters
    own, has_noise = np.array(clusters, dtype=np.intp), model.parameters.noise is not None
    if has_noise:
        own = np.append(own, own.max() + 1)
    return MergedScores.empty(own, n, has_noise=has_noise)


def _write_partial(
    rows: SelectedRows,
    scorer: Scorer,
    marginal: MarginalScorer,
    workspace: Workspace,
    model: ScoredMixture,
    out: RowScores,
    merged: MergedScores | None,
) -> tuple[float, Array]:
    """Score rows some of which lack values; their entropy, and completed log densities.

    Both densities come without the volume of all units, which is still to be taken off.
    """
    block = PartialRows(rows.values, rows.weights)
    is_partial = block.is_partial
    whole = np.flatnonzero(~is_partial)

    def write(values: NDArray[Any], own: RowScores, weights: Array | None) -> float:
        own_merged = None if merged is None else _merged(model, len(values))
        entropy = write_scores(values, scorer, workspace, model, own, weights, own_merged)
        if merged is not None and own_merged is not None:
            merged.take(whole, own_merged)
        return entropy

    entropy = block.write_whole(whole, out, write)
    completed = out.log_density.copy()
    lacking, units = np.flatnonzero(is_partial), model.standardisation
    for own, scores, log_scale in block.scored(lacking, marginal, units, workspace):
        out.write(own, scores.log_density + log_scale, scores.responsibilities)
        completed[own] = scores.completed_log_density
        if merged is not None:
            merged.write(own, scores.responsibilities)
        entropy += _entropy(scores.responsibilities, workspace, block.weights_of(own))
    return entropy, completed


def _imputed(
    rows: SelectedRows, marginal: MarginalScorer | None, model: ScoredMixture
) -> tuple[Array, Array]:
    """Values (m, d) in the data's units, expected where they are missing, and their deviations."""
    block = PartialRows(rows.values, rows.weights)
    scorer = marginal or marginal_scorer(model.parameters)
    return block.imputed(scorer, model.standardisation)


def write_scores(
    rows: NDArray[Any],
    scorer: Scorer,
    workspace: Workspace,
    model: ScoredMixture,
    out: RowScores,
    weights: Array | None = None,
    merged: MergedScores | None = None,
    *,
    is_checked: bool = True,
) -> float:
    """Score rows at once where the backend can, the others tile by tile; their entropy.

    Rows with weights (n,) go tile by tile: the entropy is then weighted. Rows that are not finite
    are never scored at once: only those that are left have to be checked.
    """
    affine = model.standardisation.affine(rows.dtype, np.float64)
    done = (
        None
        if affine is None or weights is not None
        else scorer.at_once((rows, *affine), out, workspace)
    )
    entropy, left = (0.0, None) if done is None else (done[0], np.flatnonzero(done[1]))
    if left is None or len(left):
        others = rows if left is None else rows[left]
        if not is_checked and complete_rows(others) is not None:
            raise IncompleteRowsError
        Y = model.standardisation.apply(others, np.float64)
        for tile, log_prob, R in scorer.score(Y, workspace):
            places = tile if left is None else left[tile]
            out.write(places, log_prob, R)
            if merged is not None:
                merged.write(places, R)
            entropy += _entropy(R, workspace, None if weights is None else weights[tile])
    if merged is not None and done is not None:
        _merge(np.flatnonzero(~done[1]), rows, scorer, workspace, model, out, merged)
    return entropy


def _merge(
    scored: NDArray[np.intp],
    rows: NDArray[Any],
    scorer: Scorer,
    workspace: Workspace,
    model: ScoredMixture,
    out: RowScores,
    merged: MergedScores,
) -> None:
    """Clusters of rows that were scored at once, without their posteriors.

    A row whose largest posterior is 1 in float32 has less than 3e-8 elsewhere: at most 6e-7 nats.
    The posteriors of all other rows are found again.
    """
    is_certain = out.max_posterior[scored] == 1.0
    merged.write_certain(scored[is_certain], out.labels[scored[is_certain]])
    others = scored[~is_certain]
    Y = model.standardisation.apply(rows[others], np.float64)
    for tile, _, R in scorer.score(Y, workspace):
        merged.write(others[tile], R)


def _entropy(R: Array, workspace: Workspace, weights: Array | None) -> float:
    """−Σ w r log r, with 0 log 0 = 0."""
    logs = workspace.array("entropy", R.shape)
    np.maximum(R, np.finfo(np.float64).tiny, out=logs)
    np.log(logs, out=logs)
    if weights is None:
        return -float(np.einsum("kb,kb->", R, logs))
    return -float(np.einsum("kb,kb,b->", R, logs, weights))
