"""Which features a pair plot shows: those that separate components, each in its own way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.report.components import Components

_MOST_FEATURES = 6
_FEWEST_FEATURES = 3
#: Correlation of two features' component means from which they show the same.
_PARALLEL = 0.99


def chosen_features(components: Components) -> NDArray[np.int64]:
    """At most six features (p,), in column order.

    Those with the largest variance between components over variance within them; among d > 6, a
    feature whose component means run parallel to a better one's is passed over while two others
    are left: neighbouring pixels or hours would fill the figure with equal panels.
    """
    ranked = np.argsort(-components.separation, kind="stable")
    varying = ranked[(components.within + components.separation)[ranked] > 0]
    ranked = varying if varying.size else ranked
    if ranked.size <= _MOST_FEATURES:
        return np.sort(ranked)
    chosen, parallel = _told_apart(components, ranked)
    filled = [*chosen, *parallel[: max(0, _FEWEST_FEATURES - len(chosen))]]
    return np.sort(np.array(filled, dtype=np.int64))


def _told_apart(components: Components, ranked: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """The first six features that are not parallel to a better one, and those passed over."""
    profiles = np.sqrt(components.weights)[:, None] * components.standardised_means
    lengths = np.linalg.norm(profiles, axis=0)
    profiles = profiles / np.where(lengths > 0, lengths, 1.0)
    chosen: list[int] = []
    parallel: list[int] = []
    for f in map(int, ranked):
        if len(chosen) == _MOST_FEATURES:
            break
        likeness = np.abs(profiles[:, chosen].T @ profiles[:, f])
        (parallel if (likeness > _PARALLEL).any() else chosen).append(f)
    return chosen, parallel
