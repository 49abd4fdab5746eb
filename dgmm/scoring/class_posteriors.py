"""Posterior probabilities of classes from the log densities of their mixtures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class ClassPosteriors(NamedTuple):
    """What rows, or groups of rows, are by their classes.

    Attributes
    ----------
    classes : (n,) int32
        The most probable class; −1 where nothing is known.
    posteriors : (n, C)
        Of each class; NaN where nothing is known.
    log_density : (n,)
        log Σ_c π_c p_c: −inf where all underflow, NaN where nothing is known.
    log_posteriors : (n, C)
        Logarithms of the posteriors, also of those that underflow.
    """

    classes: NDArray[np.int32]
    posteriors: Array
    log_density: Array
    log_posteriors: Array

    @property
    def largest(self) -> Array:
        """Posterior of the most probable class, (n,)."""
        return np.asarray(self.posteriors.max(axis=1))


def class_posteriors(log_densities: Array, log_priors: Array) -> ClassPosteriors:
    """Bayes' rule.

    Parameters
    ----------
    log_densities : (n, C)
        Of each class's mixture; NaN in rows that are left out.
    log_priors : (C,)
        Of the classes.

    Returns
    -------
    ClassPosteriors
        Rows whose density underflows under every class have the priors as posteriors.

    Examples
    --------
    >>> log_densities = np.log([[0.1, 0.3], [0.8, 0.2]]) - 800.0  # densities below any float64
    >>> found = class_posteriors(log_densities, np.log([0.5, 0.5]))
    >>> found.posteriors.round(2).tolist(), found.classes.tolist()
    ([[0.25, 0.75], [0.8, 0.2]], [1, 0])
    """
    joint = log_densities + log_priors
    known = ~np.isnan(joint).any(axis=1)
    is_far = known & np.isneginf(joint).all(axis=1)
    usable = joint.copy()
    usable[is_far] = log_priors
    usable[~known] = 0.0
    highest = usable.max(axis=1, keepdims=True)
    shares = np.exp(usable - highest)
    total = shares.sum(axis=1, keepdims=True)
    posteriors = shares / total
    evidence = highest + np.log(total)
    log_posteriors, log_density = usable - evidence, evidence[:, 0]
    log_density[is_far] = -np.inf
    posteriors[~known] = log_density[~known] = log_posteriors[~known] = np.nan
    classes = np.where(known, usable.argmax(axis=1), -1).astype(np.int32)
    return ClassPosteriors(classes, posteriors, log_density, log_posteriors)
