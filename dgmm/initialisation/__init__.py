"""Where EM begins: parameters from a sample that the summary pass drew, on the driver.

Which method to choose:

- `kmeans` (the default): good almost everywhere; k-means++ seeds, then Lloyd's iterations.
- `k-means++`: the seeds alone; quicker and rougher, for many restarts or very many components.
- `random_from_data`: k random rows; quick, and different at every restart, for `n_init` > 1.
- `random`: random responsibilities; all components start alike and EM parts them slowly, if at all.
- `hierarchical`: Ward's tree; the same clusters whatever the seed on a small sample, and good where
  clusters differ much in size.
- `given`: parameters as they are, from arrays or a saved model.

In scikit-learn `k-means++` and `random_from_data` give responsibilities to the k chosen rows only,
so that every covariance starts as reg_covar alone, a spike on a single row (and with reg_covar 0 as
nothing). Here every row of the sample belongs to its nearest seed, so that covariances start at the
size of clusters.

Whatever the data, parameters returned are finite and every covariance can be inverted: components
of few or equal rows start with the pooled covariance within clusters, or with the whole sample's.
"""

from __future__ import annotations

import numpy as np

from dgmm.covariance.family import Array, Family
from dgmm.errors import ComponentError, DataError
from dgmm.initialisation.first_parameters import (
    parameters_from_labels,
    parameters_from_responsibilities,
)
from dgmm.initialisation.given import given as given_parameters
from dgmm.initialisation.hierarchical import hierarchical
from dgmm.initialisation.kmeans import kmeans
from dgmm.initialisation.kmeans_plus_plus import kmeans_plus_plus
from dgmm.initialisation.random_from_data import random_from_data
from dgmm.initialisation.random_responsibilities import random_responsibilities
from dgmm.initialisation.request import Method, StartRequest
from dgmm.parameters import Parameters

METHODS: dict[str, Method] = {
    "kmeans": kmeans,
    "k-means++": kmeans_plus_plus,
    "random_from_data": random_from_data,
    "random": random_responsibilities,
    "hierarchical": hierarchical,
    "given": given_parameters,
}

#: Standardised values beyond this are cut off: their squares, summed, must fit float64.
LARGEST_VALUE = 1e100

__all__ = [
    "METHODS",
    "StartRequest",
    "parameters_from_labels",
    "parameters_from_responsibilities",
    "start",
]


def start(
    method: str,
    sample: Array,
    family: Family,
    n_components: int,
    regularisation: Array,
    rng: np.random.Generator,
    *,
    given: Parameters | None = None,
) -> Parameters:
    """Parameters to begin EM with; equal arguments give equal bits.

    Parameters
    ----------
    method
        A key of `METHODS`.
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

    Raises
    ------
    DataError
        If the method is unknown, the sample is not finite, or given parameters do not fit.
    ComponentError
        If the sample has fewer rows than components.
    """
    if method not in METHODS:
        raise DataError(
            f"initialisation.method is {method!r}; expected one of {', '.join(METHODS)}"
        )
    if method != "given":
        sample = _checked(sample, n_components)
    request = StartRequest(sample, family, n_components, regularisation, rng, given)
    return METHODS[method](request)


def _checked(sample: Array, n_components: int) -> Array:
    """The sample, C-contiguous, its largest values cut off."""
    if len(sample) < n_components:
        raise ComponentError(
            f"the sample has {len(sample)} rows for {n_components} components: lower "
            "model.n_components or raise initialisation.sample_rows"
        )
    if not np.isfinite(sample).all():
        raise DataError("the sample has values that are not finite: initialisation needs numbers")
    if np.abs(sample).max(initial=0.0) > LARGEST_VALUE:
        sample = np.clip(sample, -LARGEST_VALUE, LARGEST_VALUE)
    return np.ascontiguousarray(sample, dtype=np.float64)
