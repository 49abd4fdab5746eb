"""How far components run into each other, on a sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.marginal import MarginalScorer
from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]

#: Components up to which (k, k) numbers are computed and saved: 8 MiB.
MOST_COMPONENTS = 1024
_MOST_POSTERIORS = 2 * 1024 * 1024


def _posteriors(parameters: Parameters, sample: Array) -> Iterator[Array]:
    """Of tiles of the sample, (k, b); by what is observed where values are missing."""
    if np.isnan(sample).any():
        for scores in MarginalScorer(parameters).score(sample.T):
            yield scores.responsibilities
    else:
        for _, _, R in Scorer(parameters).score(sample.T, Workspace()):
            yield R


def sample_posteriors(parameters: Parameters, sample: Array) -> Array:
    """Posteriors (k, m) of a standardised sample (m, d), NaN where a value is missing."""
    if np.isnan(sample).any():
        return MarginalScorer(parameters).responsibilities(sample.T)
    return Scorer(parameters).responsibilities(sample.T)


def sample_labels(parameters: Parameters, sample: Array) -> NDArray[np.int64]:
    """Labels (m,) of a standardised sample (m, d), NaN where a value is missing.

    Posteriors are held of so many rows at a time that they take 16 MiB.
    """
    step = max(_MOST_POSTERIORS // parameters.n_labels, 1)
    parts = [
        sample_posteriors(parameters, sample[start : start + step]).argmax(axis=0)
        for start in range(0, len(sample), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def overlap(parameters: Parameters, sample: Array) -> Array:
    """Mean responsibility (k, k) of component l among the sample rows labelled k; NaN without rows.

    Of the Gaussians: noise has no row and no column.

    For at most `MOST_COMPONENTS` components: nothing else of a fit grows with the square of k.

    Parameters
    ----------
    parameters
        The mixture, standardised.
    sample : (m, d)
        Standardised rows; NaN where a value is missing.
    """
    k, n_gaussians = parameters.n_labels, parameters.n_components
    sums, counts = np.zeros((k, k)), np.zeros(k)
    for R in _posteriors(parameters, sample):
        labels = R.argmax(axis=0)
        order = np.argsort(labels, kind="stable")
        present, starts = np.unique(labels[order], return_index=True)
        sums[present] += np.add.reduceat(R[:, order], starts, axis=1).T
        counts += np.bincount(labels, minlength=k)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / counts[:, None])[:n_gaussians, :n_gaussians]
