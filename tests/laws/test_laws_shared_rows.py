"""Candidates that share the rows of a pass have the statistics of a pass of their own, bit by bit.

Whatever their families, sizes and kernels, and whether rows lack values: a sweep puts all of them
into one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mixtures
import numpy as np
import pytest
from missing_rows import BACKENDS, with_gaps
from mixtures import Array

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.noise_start import with_noise
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.kernels import Guard, choose
from dgmm.mixture.marginal import MarginalKernel
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.reduction.map_reduce import map_reduce

N, D = 5000, 3
#: Tiles of these sizes have several widths, and not the same ones where rows lack values.
SIZES = (1, 2, 3, 20, 60)
GUARDS = {"product": Guard(1.0), "centred": Guard(float("inf"))}


def _rows(share: float) -> Array:
    rng = np.random.default_rng(3)
    Y = np.concatenate([c + rng.normal(size=(N // 2, D)) for c in (-2.0, 2.0)]).T
    return np.ascontiguousarray(with_gaps(Y, share).T if share else Y.T)


def _mixtures() -> list[Parameters]:
    """Each family and size, and one with noise of each family."""
    rng = np.random.default_rng(4)
    found = [
        mixtures.mixture(family, k, D, rng, separation=1.0)
        for family in FAMILIES.values()
        for k in SIZES
    ]
    box = Noise(0.1, np.full(D, -6.0), np.full(D, 6.0))
    return [*found, *(with_noise(p, box) for p in found if p.n_components == 2)]


def _one_pass(
    requests: tuple[EStepRequest, ...], X: Array, backend: str, missing: MissingPolicy
) -> tuple[Statistics, ...]:
    dataset = ArrayDataset(X)
    with ThreadExecutor(1) as executor:
        task = EStepTask(dataset, requests, backend, missing)
        return map_reduce(executor, task, dataset.grid.n_blocks).candidates


def _bits(found: Statistics) -> tuple[Any, ...]:
    arrays = (found.sums, found.scatter, found.observed)
    numbers = (found.log_likelihood, found.noise, found.weight)
    return (*numbers, *(None if a is None else a.tobytes() for a in arrays))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
@pytest.mark.parametrize(
    ("kernel", "share", "missing"),
    [
        (choose, 0.0, MissingPolicy.ERROR),
        (MarginalKernel.of, 0.0, MissingPolicy.MARGINALISE),
        (MarginalKernel.of, 0.2, MissingPolicy.MARGINALISE),
    ],
    ids=["complete", "no gaps met", "gaps"],
)
def test_a_shared_pass_has_the_bits_of_passes_alone(
    kernel: Callable[..., Any], share: float, missing: MissingPolicy, guard: Guard, backend: str
) -> None:
    X, units = _rows(share), Standardisation.identity(D)
    requests = tuple(EStepRequest(kernel(p, guard), units) for p in _mixtures())
    together = _one_pass(requests, X, backend, missing)
    for request, shared in zip(requests, together, strict=True):
        (alone,) = _one_pass((request,), X, backend, missing)
        assert _bits(shared) == _bits(alone)
