"""A block of rows through the compiled E-step, with rows as they are for standardised ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import Block, get


class Found(NamedTuple):
    """Sums (l, k, p) and log-likelihoods (l,) of leaves, and what the block was prepared with."""

    sums: NDArray[np.float64]
    log_likelihoods: NDArray[np.float64]
    prepared: Any


def e_step_at_once(
    rows: NDArray[Any],
    eta: NDArray[Any],
    form: str,
    *,
    leaf_rows: int | None = None,
    weights: NDArray[np.float64] | None = None,
) -> Found:
    """The E-step of rows (n, d) with natural parameters (k, p); by default all are one leaf."""
    (n, d), (k, p), dtype = rows.shape, eta.shape, eta.dtype
    size = n if leaf_rows is None else leaf_rows
    n_leaves, prepared = -(-n // size), list[Any]()
    sums, log_likelihoods = np.zeros((n_leaves, k, p)), np.empty(n_leaves)

    def latest(_key: Any, make: Callable[[], Any]) -> Any:
        prepared.append(make())
        return prepared[0]

    block = Block(
        rows=rows,
        factor=np.ones(d, dtype),
        offset=np.zeros(d, dtype),
        form=form,
        eta=eta,
        allocate=lambda _, size: np.empty(size, dtype),
        sums=sums,
        log_likelihoods=log_likelihoods,
        weights=weights,
        leaf_rows=size,
        latest=latest,
    )
    assert get("numba").e_step(block)
    return Found(sums, log_likelihoods, prepared[0])
