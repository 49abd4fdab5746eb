"""The E-step over a block whose rows may lack values: pattern by pattern, each lifted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance.marginals import Features
from dgmm.mixture.kernels import Kernel, Workspace, e_step
from dgmm.mixture.kernels.split_kernel import are_far
from dgmm.mixture.kernels.tiles import Array, Columns, scatter_of_rows
from dgmm.mixture.marginal.lifted_sums import LiftedSums
from dgmm.mixture.marginal.marginal_kernel import MarginalKernel
from dgmm.mixture.marginal.patterns import Mask, PatternRows
from dgmm.mixture.marginal.prepared_parts import PreparedParts
from dgmm.mixture.sufficient_statistics import Statistics

#: Makes columns of rows as stored (m, q), of all features or of those.
StandardisedColumns = Callable[[NDArray[Any], Features | None], Columns]


def marginal_e_step(
    kernels: Sequence[MarginalKernel],
    values: NDArray[Any],
    weights: Array | None,
    columns: StandardisedColumns,
    workspace: Workspace,
    prepared: PreparedParts,
    *,
    lacks: Mask | None = None,
) -> list[Statistics]:
    """Statistics of a block's rows under each kernel; kernels must agree in `sharing`.

    Parameters
    ----------
    kernels
        Candidates that share what is done of the rows alone.
    values : (n, d)
        As stored, NaN where one is missing; each row has at least one value.
    weights : (n,)
        Of the rows, positive; None where each weighs 1.
    columns
        Standardises some rows and features.
    workspace, prepared
        Buffers, and patterns that were met before.
    lacks : (n,)
        Which rows lack a value; None where that is not known yet.
    """
    far = [kernel.far for kernel in kernels if kernel.far is not None]
    rest = columns, workspace, prepared
    if not far:
        return _of_all(kernels, values, weights, *rest, lacks)
    is_far = are_far(columns(values, None), kernels[0].squared_radius, workspace)
    if not is_far.any():
        return _of_all(kernels, values, weights, *rest, lacks)
    parts = []
    for own, some in ((kernels, ~is_far), (far, is_far)):
        of_rows = None if weights is None else weights[some]
        gaps = None if lacks is None else lacks[some]
        parts.append(_of_all(own, values[some], of_rows, *rest, gaps))
    return [near.merge(other) for near, other in zip(*parts, strict=True)]


def _of_all(
    kernels: Sequence[MarginalKernel],
    values: NDArray[Any],
    weights: Array | None,
    columns: StandardisedColumns,
    workspace: Workspace,
    prepared: PreparedParts,
    lacks: Mask | None,
) -> list[Statistics]:
    """Of rows that all go one way."""
    totals = [LiftedSums(kernel.zero()) for kernel in kernels]
    backend = workspace.backend
    for pattern in kernels[0].patterns(values, backend, lacks) if len(values) else ():
        parts = [prepared.part(kernel, pattern.observed, backend) for kernel in kernels]
        features = parts[0].features
        rows = columns(_values(values, pattern, features, workspace), features)
        of_rows = None if weights is None else weights[pattern.rows]
        found = e_step([part.kernel for part in parts], rows, workspace, of_rows)
        scatter = _scatter(parts[0].kernel, rows, of_rows, workspace)
        for total, part, statistics in zip(totals, parts, found, strict=True):
            summed = statistics if scatter is None else statistics.with_scatter(scatter)
            part.add_lifted(summed, total, backend)
    return [total.statistics for total in totals]


def _values(
    values: NDArray[Any], pattern: PatternRows, features: Features | None, workspace: Workspace
) -> NDArray[Any]:
    """A pattern's values of these features, one behind the other; good until the next pattern's."""
    if features is None or isinstance(pattern.rows, slice):
        own = values[pattern.rows]
        return own if features is None else np.ascontiguousarray(own[:, features])
    shape = len(pattern.rows), len(features)
    # Memory that is asked for anew takes as long again to be read into.
    buffer = workspace.array("values of a pattern", (values.size,), values.dtype)
    own = buffer[: shape[0] * shape[1]].reshape(shape)
    workspace.backend.take(values, pattern.rows, features, own)
    return own


def _scatter(
    kernel: Kernel, rows: Columns, weights: Array | None, workspace: Workspace
) -> Array | None:
    """The scatter about the origin where the family has one and the kernel has not summed it."""
    if kernel.with_scatter or not kernel.family.scatter_width(rows.shape[0]):
        return None
    return scatter_of_rows(kernel, rows, weights, workspace)
