"""Rows one by one, for patterns that few rows have: no pattern is prepared, no moment lifted.

Products with Λ and of expected deviations are those of all rows of a tile; what a row lacks is
expected given what it has in compiled code (`dgmm.mixture.backends.numba_rows`).

A distance is what is left of DᵀΛD, of deviations that are 0 where a value is missing. These may lie
across the narrowest direction of a component though the row itself does not, so that DᵀΛD is up to
the condition of Σ times the distance, and of the difference eps · condition is lost. Parameters
whose condition is above `MOST_CONDITION` go by patterns, which lose nothing so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dgmm.mixture.backends.gaps import Gaps
from dgmm.mixture.covariance.family import LOG_2PI
from dgmm.mixture.covariance.triangles import pack
from dgmm.mixture.kernels.kernel_forms import CentredForm
from dgmm.mixture.kernels.tiles import Array, Columns, Tile
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.marginal.masked_features import masked_tile
from dgmm.mixture.parameters import Parameters

#: Rows of a tile, at least and at most, and numbers that it may take. (No power of two: numbers of
#: a row would share lines of the first cache.)
_LEAST_ROWS, _MOST_ROWS, _TILE_NUMBERS = 24, 488, 1_000_000


#: Condition of a covariance up to which rows are taken one by one: eps · condition is then at most
#: 2.2e-8 nats per row for each unit of a squared distance, a quarter of what the check for falls
#: allows for (`dgmm.fitting.em.convergence`), and far below any `tol` in use.
MOST_CONDITION = 1e8


@dataclass(frozen=True, slots=True, eq=False)
class RowsKernel(CentredForm):
    """Precisions (k, d, d), and log weight plus ½ log det Λ (k,); moments about the old means."""

    precisions: Array
    log_norms: Array

    @classmethod
    def of(cls, parameters: Parameters) -> RowsKernel:
        """Prepare parameters of full covariances."""
        p, family = parameters, parameters.family
        factors = p.precisions_cholesky
        half = family.half_log_det_precision(factors, p.n_components, p.n_features)
        return cls(family, p.means, family.precisions(factors), p.log_weights + half)

    @property
    def name(self) -> str:
        """The kernel's name in logs."""
        return "rows"

    @property
    def tile_rows(self) -> int:
        """Expected deviations and covariances of all components, where half a row is missing."""
        k, d = self.means.shape
        rows = int(_TILE_NUMBERS / (k * d * (1.0 + d / 8.0)))
        return min(max(rows, _LEAST_ROWS), _MOST_ROWS)

    @property
    def sharing(self) -> tuple[Any, ...]:
        """Tiles are used as they are."""
        return (self.name, self.tile_rows)

    def width(self, d: int) -> int:
        """Length p of φ."""
        return self.family.width(d)

    def prepare(self, Y: Columns, rows: slice, workspace: Workspace) -> Tile:
        """[c∘y, c], (2d, b)."""
        return masked_tile(Y, rows, workspace)

    def weighted_log_prob(self, prepared: Tile, workspace: Workspace) -> Tile:
        """Log weight plus log density of what is observed; keeps what `accumulate` needs."""
        d, b, k = len(prepared) // 2, prepared.shape[1], self.n_components
        values, mask = prepared[:d], prepared[d:]
        gaps = Gaps.of(mask == 0.0)
        E = workspace.array("expected", (k, d, b))
        C = workspace.array("uncertain", (k, gaps.n_covariances))
        V, L = workspace.array("whitened", (d, b)), workspace.array("log_prob", (k, b))
        log_factors = workspace.array("log factors", (k, b))
        for j in range(k):
            np.subtract(values, self.means[j][:, None], out=E[j])
            np.multiply(E[j], mask, out=E[j])
            np.matmul(self.precisions[j], E[j], out=V)
            np.einsum("ij,ij->j", E[j], V, out=L[j])
            log_factors[j] = workspace.backend.expect_missing(
                self.precisions[j], gaps, E[j], V, L[j], C[j]
            )
        np.multiply(L, -0.5, out=L)
        np.add(L, log_factors, out=L)
        np.add(L, self.log_norms[:, None], out=L)
        n_observed = d - np.diff(gaps.starts)
        return np.asarray(np.subtract(L, 0.5 * LOG_2PI * n_observed, out=L))

    def accumulate(
        self,
        prepared: Tile,
        R: Tile,
        sums: Array,
        scatter: Array | None,
        workspace: Workspace,
        weights: Array | None = None,
    ) -> None:
        """Expected moments about the old means, component by component."""
        d, b, k = len(prepared) // 2, prepared.shape[1], self.n_components
        gaps = Gaps.of(prepared[d:] == 0.0)
        q = self.family.quadratic_width(d)
        E = workspace.array("expected", (k, d, b))
        C = workspace.array("uncertain", (k, gaps.n_covariances))
        weighted = workspace.array("whitened", (d, b))
        for j in range(k):
            np.multiply(E[j], R[j], out=weighted)
            second = weighted @ E[j].T
            workspace.backend.add_uncertain(R[j], gaps, C[j], second)
            sums[:q, j] += pack(second)
            sums[q:-1, j] += weighted.sum(axis=1)
            sums[-1, j] += R[j].sum()
