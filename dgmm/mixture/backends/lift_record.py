"""What moments of some features are lifted to all features by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Lift:
    """One pattern's, of a family whose second moments are triangles of all pairs of features.

    Attributes
    ----------
    observed, missing : (q,), (m,)
        Features.
    places : (d(d + 1)/2,)
        Where the packed triangle's entries stand in blocks oo, mo and mm, one behind the other.
    regression, covariance : (k, m, q), (k, m, m); k is 1 where components share them
        B and C of the missing features given the observed ones.
    points : (k, q), or empty
        The old means of the observed features; empty where moments are about them already.
    """

    observed: NDArray[Any]
    missing: NDArray[Any]
    places: NDArray[Any]
    regression: Array
    covariance: Array
    points: Array
