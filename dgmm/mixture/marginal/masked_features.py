"""Masked features: one φ for rows of any pattern, of families whose features are independent.

With the mask c, and y = 0 where it is 0, φ = [quadratic(c∘y), c∘y, c, 1] and
η = [quadratic part, Λμ, −½Λμ² + ½ log Λ − ½ log 2π of each feature, log weight]: a pass is the same
pair of products. Σ r c counts for each feature the rows that have a value of it.
"""

from __future__ import annotations

import numpy as np

from dgmm.mixture.covariance.family import LOG_2PI, Family, Moments
from dgmm.mixture.kernels.tiles import Array, Columns, Tile
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.parameters import Parameters


def masked_width(family: Family, d: int) -> int:
    """Length of the masked φ."""
    return family.quadratic_width(d) + 2 * d + 1


def masked_moments(family: Family, sums: Array, d: int) -> tuple[Moments, Array]:
    """Moments, and Σ r c (k, d), from sums (k, p) over the masked φ."""
    q = family.quadratic_width(d)
    moments = Moments(sums[:, -1], sums[:, q : q + d], sums[:, :q])
    return moments, sums[:, q + d : -1]


def write_masked(Y: Columns, rows: slice, out: Tile) -> None:
    """Rows of a block as [c∘y, c] into out (2d, b)."""
    d = len(out) // 2
    values, mask = out[:d], out[d:]
    Y.write(rows, values)
    is_missing = np.isnan(values)
    np.logical_not(is_missing, out=mask, casting="unsafe")
    values[is_missing] = 0.0


def masked_tile(Y: Columns, rows: slice, workspace: Workspace) -> Tile:
    """Rows of a block as [c∘y, c], (2d, b)."""
    d, b = Y.shape[0], len(range(*rows.indices(Y.shape[1])))
    tile = workspace.array("tile", (2 * d, b))
    write_masked(Y, rows, tile)
    return tile


def log_norms(parameters: Parameters) -> Array:
    """½ log Λ − ½ log 2π of each feature, (k, d)."""
    p = parameters
    variances = p.family.variances(p.covariances, p.n_components, p.n_features)
    return np.asarray(-0.5 * (np.log(variances) + LOG_2PI))
