"""How far components run into each other, on a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.kernels import Workspace
from dgmm.kernels.scoring import Scorer
from dgmm.parameters import Parameters

Array = NDArray[np.float64]


def overlap(parameters: Parameters, sample: Array) -> Array:
    """Mean responsibility (k, k) of component l among the sample rows labelled k; NaN without rows.

    Parameters
    ----------
    parameters
        The mixture, standardised.
    sample : (m, d)
        Standardised rows.
    """
    k = parameters.n_components
    sums, counts = np.zeros((k, k)), np.zeros(k)
    for _, _, R in Scorer(parameters).score(sample.T, Workspace()):
        labels = R.argmax(axis=0)
        np.add.at(sums, labels, R.T)
        counts += np.bincount(labels, minlength=k)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / counts[:, None])
