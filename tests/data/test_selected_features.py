"""Features of data are matched with a model's by name."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.selected_features import in_model_order
from dgmm.errors import DataError


def test_features_that_are_too_many_or_lacking_are_named():
    rows = ArrayDataset(np.ones((4, 3)), ["a", "b", "weight"])
    with pytest.raises(DataError, match=r"features, the model has 2: the model has no weight\."):
        in_model_order(rows, ("a", "b"))
    said = r"the model has no weight; the data lack c, d\. Give the model's features alone"
    with pytest.raises(DataError, match=said):
        in_model_order(rows, ("a", "b", "c", "d"))
    with pytest.raises(DataError, match=r"the model has 2$"):
        in_model_order(rows, ("x0", "x1"))
