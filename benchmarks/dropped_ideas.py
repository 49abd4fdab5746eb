"""What two ideas could gain that dgmm does without: `python -m benchmarks.dropped_ideas`.

Block-truncated EM sorts the rows of a chunk by component and computes, for each tile, only those
components that matter there: it can gain at most k over the number that matter. Block-incremental
EM (Neal & Hinton 1998) takes an M-step after each of several waves of blocks: it can gain passes.
Both are counted here on real and made data, without the work that would make them fast.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from benchmarks.fit_data import DATA_SETS
from benchmarks.mixtures import overlapping_rows
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.fit import fit
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.kernels import ProductKernel, Workspace, e_step
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics

Array = NDArray[np.float64]
_ROWS, _TILE = 40_000, 256
#: Mass that a tile may leave out, of all its rows together.
_LEFT_OUT = 1e-6 * _TILE
_WAVES = 4


def main() -> None:
    """Print both counts."""
    for name, X, k, family in _cases():
        with ThreadExecutor(2) as executor:
            settings = FitSettings(k, family, max_iter=20, n_sample_starts=0)
            model = fit(ArrayDataset(X), executor, settings, SilentListener()).model
        Y = model.standardisation.apply(X)
        matter = _components_that_matter(model.parameters, Y)
        print(f"{name}, {family}, k = {k}: {matter:.0f} components matter to a tile of {_TILE}")
    X = overlapping_rows(_ROWS, 8, 8, seed=1, tied=False)
    whole, waves = (_passes(X, 8, n) for n in (1, _WAVES))
    print(f"passes to the optimum − 1e-4, overlapping 8 × 8: EM {whole}, {_WAVES} waves {waves}")


def _cases() -> list[tuple[str, Array, int, str]]:
    rng = np.random.default_rng(0)
    photographs = DATA_SETS[-1].rows().astype(np.float64)
    some = photographs[rng.permutation(len(photographs))[:_ROWS]]
    made = overlapping_rows(_ROWS, 16, 256, seed=2, tied=False)
    return [("photographs", some, 256, "diag"), ("overlapping, d = 16", made, 256, "diag")]


def _components_that_matter(parameters: Parameters, Y: Array) -> float:
    """Mean number of components a tile needs, rows sorted by their likeliest component."""
    R = Scorer(parameters).responsibilities(Y)
    R = R[:, np.argsort(R.argmax(axis=0), kind="stable")]
    counts = []
    for start in range(0, R.shape[1] - _TILE + 1, _TILE):
        mass = np.sort(R[:, start : start + _TILE].sum(axis=1))
        counts.append(len(mass) - np.searchsorted(np.cumsum(mass), _LEFT_OUT))
    return float(np.mean(counts))


def _passes(X: Array, k: int, n_waves: int, most: int = 400) -> int:
    """Passes until the likelihood at the end of one is within 1e-4 of plain EM's optimum."""
    with ThreadExecutor(2) as executor:
        settings = FitSettings(k, tol=1e-8, max_iter=2000, acceleration="none", n_sample_starts=0)
        found = fit(ArrayDataset(X), executor, settings, SilentListener())
        begin = FitSettings(k, max_iter=0, n_sample_starts=0)
        parameters = fit(ArrayDataset(X), executor, begin, SilentListener()).model.parameters
    standardisation = found.model.standardisation
    target = found.chosen.mean_log_likelihood + float(np.log(standardisation.scale).sum()) - 1e-4
    waves = np.array_split(_standardised(X, standardisation), n_waves, axis=1)
    known = [_statistics(parameters, Y) for Y in waves]
    for count in range(1, most + 1):
        for i, Y in enumerate(waves):
            known[i] = _statistics(parameters, Y)
            total = known[0]
            for other in known[1:]:
                total = total.merge(other)
            parameters = m_step(parameters.family, total).regularised(np.zeros(X.shape[1]))
        likelihood = sum(_statistics(parameters, Y).log_likelihood for Y in waves) / len(X)
        if likelihood >= target:
            return count
    return most


def _standardised(X: Array, standardisation: Standardisation) -> Array:
    Y: Array = standardisation.apply(X)
    return Y


def _statistics(parameters: Parameters, Y: Array) -> Statistics:
    return e_step([ProductKernel.of(parameters)], Y, Workspace())[0]


if __name__ == "__main__":
    sys.exit(main())
