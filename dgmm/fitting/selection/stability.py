"""Whether the components of a mixture are found again in other rows of the same data.

The rows of the sample are parted at random into halves, a mixture is fitted to each half, both
label all rows, and components are matched so that the sum of their Jaccard coefficients is largest
(the rows that both hold over the rows that either holds). Below 0.75 on average over several such
splits a cluster is not stable (Hennig, *Cluster-wise assessment of cluster stability*, Comput.
Stat. Data Anal. 52, 2007, who draws bootstrap samples). What counts is the worst component: an
agreement of all labels, such as the adjusted Rand index, is high whatever becomes of small ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import SelectedRows
from dgmm.data.weight_kind import WeightKind
from dgmm.data.weighted_dataset import WeightedDataset
from dgmm.errors import DgmmError
from dgmm.events import SilentListener
from dgmm.fitting.fit import fit
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.backends import get
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.model.mixture_model import MixtureModel
from dgmm.random_streams import Stage, stream
from dgmm.reduction.executor import Executor
from dgmm.scoring.row_scores import score_block

Array = NDArray[np.float64]

#: Splits into halves, and the mean Jaccard coefficient from which on a component is stable.
SPLITS, STABLE = 3, 0.75
#: Rows at most: six fits of half as many.
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """How alike the components of fits to two halves of the rows are.

    Attributes
    ----------
    jaccard : (splits, k)
        Of the pair that each component of the mixture is matched to in a split; 0 where a half has
        no such component, or could not be fitted.
    n_rows
        Rows that were labelled.
    failed
        Why halves could not be fitted, each reason once.
    """

    jaccard: Array
    n_rows: int
    failed: tuple[str, ...] = ()

    @property
    def means(self) -> Array:
        """Over the splits, (k,)."""
        return np.asarray(self.jaccard.mean(axis=0))

    @property
    def worst(self) -> int:
        """The component of lowest mean."""
        return int(np.argmin(self.means))

    @property
    def is_stable(self) -> bool:
        """Whether every component is."""
        return bool(self.means.min() >= STABLE)

    def describe(self) -> str:
        """In a line."""
        j, value = self.worst, float(self.means.min())
        found = f"component {j} has a Jaccard coefficient of {value:.2f} between halves of the rows"
        if self.is_stable:
            return f"stable: the least stable {found}"
        if self.failed:
            return f"a half could not be fitted: {'; '.join(self.failed)}"
        n = int((self.means < STABLE).sum())
        return (
            f"{n} of {len(self.means)} components are not found again in other rows: {found}, "
            f"expected {STABLE:g} or more. Fewer components may do, or merged ones"
        )


def stability(
    model: MixtureModel,
    rows: NDArray[Any],
    weights: Array | None,
    settings: FitSettings,
    here: Executor,
    n_splits: int = SPLITS,
    kind: WeightKind = "importance",
) -> Stability:
    """Fit halves of the rows, and compare their components.

    Parameters
    ----------
    model
        The mixture whose components are looked for.
    rows : (m, d)
        The sample that it was fitted from, in the data's units; NaN where a value is missing.
    weights : (m,) or None
        What each row stands for.
    settings
        Those that the mixture was fitted with; halves have starts of their own, by k-means where
        that of the mixture was given, and no component of them is frozen.
    here
        Runs tasks in this process, where the rows are.
    n_splits
        Splits into halves, at least 1.
    kind
        What weights mean; counts stay counts in the halves.
    """
    if len(rows) > _MOST_ROWS:
        places = np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.intp)
        rows, weights = rows[places], None if weights is None else weights[places]
    w = np.ones(len(rows)) if weights is None else weights
    own = _labels(model, rows)
    found, failed = np.zeros((n_splits, model.n_components)), dict[str, None]()
    for split in range(n_splits):
        order = stream(Stage.STABILITY, settings.seed, split).permutation(len(rows))
        halves = order[: len(rows) // 2], order[len(rows) // 2 :]
        labels = list[NDArray[np.int32]]()
        for half in halves:
            part = _part(np.sort(half), rows, weights, kind)
            try:
                labels.append(_labels(_fitted(part, settings, here), rows))
            except DgmmError as error:
                failed[str(error)] = None
        if len(labels) == len(halves):
            found[split] = _found_again(own, labels, w, model.n_components)
    return Stability(found, len(rows), tuple(failed))


def _part(
    half: NDArray[np.intp], rows: NDArray[Any], weights: Array | None, kind: WeightKind
) -> Dataset:
    """Some of the rows, with their weights."""
    dataset = ArrayDataset(rows[half])
    if weights is None:
        return dataset
    return WeightedDataset(dataset, ArrayDataset(weights[half][:, None]), kind)


def _fitted(part: Dataset, settings: FitSettings, here: Executor) -> MixtureModel:
    """A mixture of half of the rows; raises what `fit` raises."""
    method = "kmeans" if settings.method == "given" else settings.method
    own = replace(settings, method=method, freeze=())  # what is held would be alike in any rows
    return fit(part, here, own, SilentListener()).model


def _labels(model: MixtureModel, rows: NDArray[Any]) -> NDArray[np.int32]:
    """The most probable component of each row, by the values that it has."""
    lacks = np.isnan(rows).any(axis=1)
    selected = SelectedRows(rows, None, None, lacks if lacks.any() else None, len(rows))
    scorer, workspace = Scorer(model.parameters), Workspace(get("numpy"))
    return score_block(selected, scorer, workspace, model, None).block.labels


def _found_again(
    own: NDArray[np.int32], labels: Sequence[NDArray[np.int32]], weights: Array, k: int
) -> Array:
    """The Jaccard coefficient (k,) of the pair that each component of the mixture is matched to."""
    first, second = labels
    coefficients = jaccard(first, second, weights)
    partner = matched(coefficients)
    found = np.zeros(k)
    for component, a in matched(jaccard(own, first, weights)).items():
        if a in partner and component < k:  # k is noise
            found[component] = coefficients[a, partner[a]]
    return found


def jaccard(first: NDArray[np.int32], second: NDArray[np.int32], weights: Array) -> Array:
    """Jaccard coefficients of the rows of each two components, by weight; 0 where both are empty.

    Examples
    --------
    >>> jaccard(np.array([0, 0, 1, 1]), np.array([1, 1, 1, 0]), np.ones(4)).round(2).tolist()
    [[0.0, 0.67], [0.5, 0.25]]
    """
    shape = int(first.max()) + 1, int(second.max()) + 1
    both = np.bincount(first * shape[1] + second, weights, shape[0] * shape[1]).reshape(shape)
    either = both.sum(axis=1)[:, None] + both.sum(axis=0) - both
    return np.asarray(np.divide(both, either, out=np.zeros(shape), where=either > 0))


def matched(coefficients: Array) -> dict[int, int]:
    """Pairs whose sum of coefficients is largest."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to import, rarely needed

    pairs = zip(*linear_sum_assignment(coefficients, maximize=True), strict=True)
    return {int(a): int(b) for a, b in pairs}
