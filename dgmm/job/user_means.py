"""Where components lie in the user's features, for run.json and the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.data.transforms.location import Location
from dgmm.fitting.fit import Fit
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.member_quantiles import SHARES, labels_of, member_quantiles


def user_means_record(model: MixtureModel, result: Fit) -> dict[str, Any]:
    """The means as the steps' inverse gives them, what they are, and quantiles where it has none.

    Quantiles are of the rows of the sample in each component, taken back by the same inverse: a
    value that was cut off is at the bound. They commute with increasing transformations, so that
    those within the bounds are those of the values before.
    """
    steps = model.preprocess
    if steps is None:
        return {}
    locations = steps.locations
    found: dict[str, Any] = {
        "means": model.user_means.tolist(),
        "means_are": [location.value for location in locations],
    }
    columns = [i for i, location in enumerate(locations) if location is Location.NONE]
    if not columns:
        return found
    sample = np.asarray(result.sample, dtype=np.float64)
    labels = labels_of(model.parameters, model.standardisation.apply(sample, np.float64).T)
    values = steps.inverse(sample)[:, columns]
    weights = result.summary.sample_weights
    quantiles = member_quantiles(labels, model.n_components, values, weights)
    found["quantiles"] = {
        "shares": list(SHARES),
        "features": [steps.input_names[i] for i in columns],
        "values": [
            [None if np.isnan(own).any() else own.tolist() for own in each] for each in quantiles
        ],
    }
    return found
