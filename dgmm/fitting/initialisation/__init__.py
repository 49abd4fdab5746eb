"""Where EM begins: parameters from a sample that the summary pass drew, on the driver, or from all
rows.

Which method to choose:

- `kmeans` (the default): good almost everywhere; k-means++ seeds, of many components twice as many
  and merged, then Lloyd's iterations.
- `k-means++`: the seeds alone; quicker and rougher, for many restarts or very many components.
- `random_from_data`: k random rows; quick, and different at every restart, for `n_init` > 1.
- `random`: random responsibilities; all components start alike and EM parts them slowly, if at all.
- `hierarchical`: Ward's tree; the same clusters whatever the seed on a small sample, and good where
  clusters differ much in size.
- `kmeans_parallel`: k-means‖, which reads all rows seven times; for clusters so rare that a sample
  holds next to none of their rows.
- `given`: parameters as they are, from arrays or a saved model.
- `labels`: the classes of the rows, where these are known, one component each.

Others are added to `INITIALISERS`, or as entry points of the group `dgmm.initialisers`.

In scikit-learn `k-means++` and `random_from_data` give responsibilities to the k chosen rows only,
so that every covariance starts as reg_covar alone, a spike on a single row (and with reg_covar 0 as
nothing). Here every row of the sample belongs to its nearest seed, so that covariances start at the
size of clusters.

Whatever the data, parameters returned are finite and every covariance can be inverted: components
of few or equal rows start with the pooled covariance within clusters, or with the whole sample's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dgmm.errors import ComponentError, DataError
from dgmm.fitting.initialisation.all_rows import AllRows
from dgmm.fitting.initialisation.first_parameters import (
    parameters_from_labels,
    parameters_from_responsibilities,
)
from dgmm.fitting.initialisation.hierarchical import hierarchical
from dgmm.fitting.initialisation.initialiser import Initialiser
from dgmm.fitting.initialisation.kmeans import kmeans
from dgmm.fitting.initialisation.kmeans_parallel import kmeans_parallel
from dgmm.fitting.initialisation.kmeans_plus_plus import kmeans_plus_plus
from dgmm.fitting.initialisation.metrics import METRICS, distance_scale
from dgmm.fitting.initialisation.random_from_data import random_from_data
from dgmm.fitting.initialisation.random_responsibilities import random_responsibilities
from dgmm.fitting.initialisation.sample_rows import clipped
from dgmm.fitting.initialisation.start_compute import StartCompute
from dgmm.fitting.initialisation.start_request import StartRequest
from dgmm.fitting.initialisation.user_start import at_labels
from dgmm.fitting.initialisation.user_start import given as given_parameters
from dgmm.mixture.covariance.family import Array, Family
from dgmm.mixture.parameters import Parameters
from dgmm.registry import Registry

INITIALISERS: Registry[Initialiser] = Registry(
    "initialisation.method",
    "dgmm.initialisers",
    {
        "kmeans": Initialiser(kmeans),
        "k-means++": Initialiser(kmeans_plus_plus),
        "random_from_data": Initialiser(random_from_data),
        "random": Initialiser(random_responsibilities, follows_metric=False),
        "hierarchical": Initialiser(hierarchical, one_per_metric=True),
        "kmeans_parallel": Initialiser(draw_all=kmeans_parallel, one_per_metric=True),
        "given": Initialiser(given_parameters, follows_metric=False, is_given=True),
        "labels": Initialiser(at_labels, follows_metric=False, is_given=True),
    },
    Initialiser,
)

__all__ = [
    "INITIALISERS",
    "METRICS",
    "AllRows",
    "Initialiser",
    "StartCompute",
    "StartRequest",
    "distance_scale",
    "parameters_from_labels",
    "parameters_from_responsibilities",
    "reads_all_rows",
    "start",
    "start_over_all_rows",
]


def reads_all_rows(method: str) -> bool:
    """Whether an initialiser reads all rows, in place of the sample."""
    return INITIALISERS.named(method).draw_all is not None


def start(
    method: str,
    sample: Array,
    family: Family,
    n_components: int,
    regularisation: Array,
    rng: np.random.Generator,
    *,
    given: Parameters | None = None,
    scale: Array | None = None,
    weights: Array | None = None,
    observed: Array | None = None,
    compute: StartCompute | None = None,
) -> Parameters:
    """Parameters to begin EM with; equal arguments give equal bits.

    Parameters
    ----------
    method
        A name of `INITIALISERS` that takes a sample.
    sample : (m, d)
        Rows in standardised units, finite, float64.
    family
        Covariance family.
    n_components
        k.
    regularisation : (d,)
        Added to the variances.
    rng
        The start's own stream.
    given
        Parameters for the method `given`.
    scale : (d,), optional
        What the sample is multiplied by before distances are taken: see `metrics.distance_scale`.
    weights : (m,), optional
        What each row of the sample stands for; the same of all by default.
    observed : (m, d), optional
        The same rows with NaN where a value is missing, if any is; `sample` has expected ones.
    compute
        What computes distances where they are many; NumPy by default.

    Raises
    ------
    DataError
        If the method is unknown or reads all rows, the sample is not finite, or given parameters
        do not fit.
    ComponentError
        If the sample has fewer rows than components.
    """
    initialiser = INITIALISERS.named(method)
    if not initialiser.is_given:
        sample = _checked(sample, n_components)
    request = StartRequest(
        *(sample, family, n_components, regularisation, rng, given, scale, weights, observed),
        StartCompute() if compute is None else compute,
    )
    return initialiser.draw(request)


def start_over_all_rows(
    method: str,
    rows: AllRows,
    requests: Sequence[StartRequest],
    seed: int,
    keys: Sequence[tuple[int, ...]],
) -> list[Parameters]:
    """Parameters of every start, from reads that they share; bit-identical to each alone.

    Parameters
    ----------
    method
        A name of `INITIALISERS` that reads all rows.
    rows
        All rows, standardised as the sample.
    requests
        What each start asks for; they differ in their streams and their metric alone.
    seed, keys
        The job's seed, and what names each start: its restart, and its number within it.

    Raises
    ------
    DataError
        If the method takes a sample, the sample is not finite, or the data changed since it was
        drawn.
    ComponentError
        If the sample has fewer rows than components.
    """
    draw_all = INITIALISERS.named(method).draw_all
    if draw_all is None:
        raise DataError(f"the initialiser {method!r} takes a sample, not all rows")
    sample = _checked(requests[0].sample, requests[0].n_components)
    checked = [replace(request, sample=sample) for request in requests]
    return draw_all(rows, checked, seed, keys)


def _checked(sample: Array, n_components: int) -> Array:
    """The sample, C-contiguous, its largest values cut off."""
    if len(sample) < n_components:
        raise ComponentError(
            f"the sample has {len(sample)} rows for {n_components} components: lower "
            "model.n_components or raise initialisation.sample_rows"
        )
    if not np.isfinite(sample).all():
        raise DataError("the sample has values that are not finite: initialisation needs numbers")
    return np.ascontiguousarray(clipped(sample), dtype=np.float64)
