"""What one candidate asks of a pass over the rows."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.data.missing_rows import SelectedRows
from dgmm.data.row_block import RowBlock
from dgmm.data.standardisation import Standardisation
from dgmm.mixture.kernels import BlockKernel
from dgmm.mixture.marginal import MarginalKernel


class RowFilter(Protocol):
    """Which rows a candidate sees, such as those of a fold or of a class; picklable.

    A function of the block alone; its `repr` tells it from other filters.
    """

    def __call__(self, block: RowBlock) -> NDArray[np.bool_]:
        """Rows of a block that are seen, (b,)."""


@dataclass(frozen=True, slots=True, eq=False)
class EStepRequest:
    """The E-step of one candidate.

    Attributes
    ----------
    kernel
        What is applied to the rows.
    standardisation
        The unit system of the kernel's parameters.
    rows
        The rows that the candidate sees; None for all.
    backend
        What computes it, by its name; empty is that of the pass.
    """

    kernel: BlockKernel | MarginalKernel
    standardisation: Standardisation
    rows: RowFilter | None = None
    backend: str = ""

    @property
    def sharing(self) -> tuple[Hashable, ...]:
        """Requests that agree in this share the rows that are prepared for them.

        Unit systems and filters are told apart by identity, which pickling a task preserves.
        """
        return (self.backend, id(self.standardisation), id(self.rows), *self.kernel.sharing)


class SeenRows(NamedTuple):
    """Values (m, d) and weights (m,) of rows, and which lack a value, (m,), where that is asked."""

    values: NDArray[Any]
    weights: NDArray[np.float64] | None
    lacks: NDArray[np.bool_] | None


def seen(rows: SelectedRows, block: RowBlock, request: EStepRequest) -> SeenRows:
    """The rows that count and pass a request's filter."""
    lacks = rows.lacks if isinstance(request.kernel, MarginalKernel) else None
    if request.rows is None:
        return SeenRows(rows.values, rows.weights, lacks)
    mask = request.rows(block)
    own = mask if rows.mask is None else mask[rows.mask]
    weights = None if rows.weights is None else rows.weights[own]
    return SeenRows(rows.values[own], weights, None if lacks is None else lacks[own])
