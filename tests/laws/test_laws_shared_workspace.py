"""Passes and scores in one workspace: neither finds what the other has left in its buffers."""

from __future__ import annotations

from typing import Any

import mixtures
import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.row_block import RowBlock
from dgmm.data.standardisation import Standardisation
from dgmm.fitting.em.data_pass import statistics_of
from dgmm.fitting.em.e_step_request import EStepRequest, seen
from dgmm.mixture.backends import get
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.kernels import Guard, ProductKernel, Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.marginal import MarginalKernel, PreparedParts
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.row_scores import score_block

pytest.importorskip("dgmm.mixture.backends.numba_backend", reason="Numba is optional")


@pytest.mark.parametrize("lacks_values", [False, True])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_a_pass_after_scoring_finds_what_it_finds_alone(family: str, lacks_values: bool) -> None:
    d, rng = 4, np.random.default_rng(2)
    p = mixtures.mixture(FAMILIES[family], 3, d, rng)
    units = Standardisation.identity(d)
    model = MixtureModel(p, units, tuple("abcd"))
    policy = MissingPolicy.MARGINALISE if lacks_values else MissingPolicy.NONE_MISSING

    def block_of(index: int) -> Any:
        X = rng.normal(size=(2000, d))
        if lacks_values:  # other patterns in each
            X[np.arange(len(X)), rng.integers(0, d, len(X))] = np.nan
        block = RowBlock(index, 0, X)
        return block, policy.select(block, ArrayDataset(X))

    kernel = MarginalKernel.of(p, Guard(3.0)) if lacks_values else ProductKernel.of(p)
    request = EStepRequest(kernel, units)

    def found(of: Any, workspace: Workspace) -> Statistics:
        block, rows = of
        return statistics_of([request], seen(rows, block, request), workspace, PreparedParts())[0]

    shared, blocks = Workspace(get("numba")), [block_of(0), block_of(1)]
    for of in blocks:
        own = found(of, shared)
        score_block(of[1], Scorer(p), shared, model, None)
        again, alone = found(of, shared), found(of, Workspace(get("numba")))
        for one in (own, again):
            assert one.log_likelihood == alone.log_likelihood
            np.testing.assert_array_equal(one.sums, alone.sums)
