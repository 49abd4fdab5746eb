"""The rows of the fixed sample that scatter plots draw, with their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dgmm.model.mixture_model import MixtureModel
from dgmm.report.components import Components, Floats

_MOST_POINTS = 4000
_FEWEST_POINTS = 500
#: Multiplications spent on labelling the points: fewer of them where k·d² is large.
_WORK = 1e10


@dataclass(frozen=True, slots=True, eq=False)
class DrawnRows:
    """Complete rows of the sample, evenly spread over it.

    Parameters
    ----------
    rows : ndarray (m, d)
        In the units that the model was fitted to.
    labels : ndarray (m,)
        Their most likely components.
    n_sample : int
        Rows of the sample.
    """

    rows: Floats
    labels: NDArray[np.int64]
    n_sample: int


def drawn_rows(components: Components, model: MixtureModel, sample: Floats | None
               ) -> DrawnRows | str:  # fmt: skip
    """The rows that are drawn; why there are none, in words, where there are none."""
    if sample is None or sample.ndim != 2 or sample.shape[1] != components.n_features:
        return "sample.npz holds no rows of these features"
    rows = sample[np.isfinite(sample).all(axis=1)]
    if not rows.size:
        return "the sample has no complete row"
    work = components.n_components * components.n_features**2
    at_most = int(np.clip(_WORK / work, _FEWEST_POINTS, _MOST_POINTS))
    rows = rows[:: max(1, -(-len(rows) // at_most))]
    # The sample's rows are as they were fitted: behind the steps of the model.
    labels = replace(model, preprocess=None).predict(rows)
    return DrawnRows(rows, np.asarray(labels, dtype=np.int64), len(sample))
