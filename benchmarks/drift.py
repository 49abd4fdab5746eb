"""Drift in simulations: what alarms, and what refits and the population stability index see.

python -m benchmarks.drift            # the tables of docs/monitoring.md
python -m benchmarks.drift --draws 10 # fewer draws
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm import GaussianMixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.drift.alarms import Thresholds
from dgmm.fitting.drift.drift_pass import drift_pass
from dgmm.fitting.drift.measure import Drift, FittedRows
from dgmm.model.matching import Matching
from dgmm.model.mixture_model import MixtureModel

Array = NDArray[np.float64]

#: Share of the rows below the anomaly threshold.
QUANTILE = 0.001


@dataclass(frozen=True)
class Truth:
    """A mixture (k of d features) and, in its place, `new` rows far from it."""

    weights: Array
    means: Array
    roots: Array
    new: float = 0.0

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Rows (n, d)."""
        k, d = self.means.shape
        z = rng.choice(k, size=n, p=self.weights)
        X = self.means[z] + np.einsum("nij,nj->ni", self.roots[z], rng.normal(size=(n, d)))
        m = round(self.new * n)
        X[:m] = self.means.max(axis=0) + 3.0 + 0.5 * rng.normal(size=(m, d))
        return X


def truth(separation: float, d: int = 4, k: int = 5) -> Truth:
    """Components of unit size, `separation` standard deviations from each other."""
    rng = np.random.default_rng(7)
    roots = np.eye(d) + 0.15 * np.tril(rng.normal(size=(k, d, d)), -1)
    weights = np.array([0.1, 0.15, 0.2, 0.25, 0.3])
    centres = separation / np.sqrt(2.0) * np.eye(k, d)
    return Truth(weights, centres, roots)


def changes(t: Truth) -> Iterator[tuple[str, Truth]]:
    """What may happen."""
    yield "nothing", t
    moved, shifted = t.means.copy(), t.weights.copy()
    moved[2] += 0.5 * t.roots[2] @ (np.ones(t.means.shape[1]) / np.sqrt(t.means.shape[1]))
    yield "a mean by 0.5 sd", replace(t, means=moved)
    shifted[[1, 4]] += (0.05, -0.05)
    yield "a weight by 0.05", replace(t, weights=shifted)
    wide, one = t.roots.copy(), t.roots.copy()
    wide[3] *= 1.2
    one[3, 0] *= 1.2
    yield "all sds of a component × 1.2", replace(t, roots=wide)
    yield "one sd of a component × 1.2", replace(t, roots=one)
    yield "new cluster, 0.5 %", replace(t, new=0.005)


def fitted(X: Array, family: str, seed: int) -> MixtureModel:
    """A model with an anomaly threshold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = GaussianMixture(5, covariance_type=family, random_state=seed).fit(X)
    threshold = float(np.quantile(found.score_samples(X), QUANTILE))
    return found.model_.with_threshold(threshold, QUANTILE)


def drift_of(model: MixtureModel, X: Array, n_before: int, executor: ThreadExecutor) -> Drift:
    """One step of EM on the rows."""
    found = drift_pass(
        *(ArrayDataset(X), executor, model), missing=MissingPolicy.ERROR, backend="numpy"
    )
    added = 1e-6 * model.standardisation.standardised_variance
    return Drift.of(model, found, FittedRows(float(n_before), added))


def alarms(n: int, n_draws: int, executor: ThreadExecutor) -> None:
    """Alarms of draws, by family, separation and what happened."""
    print(f"\nn = {n:,}, old model fitted to as many rows, {n_draws} draws of 3 fits each\n")
    print("| what happened | " + " | ".join(f"{f}, {s:g} sd" for f, s in CASES) + " |")
    print("|---|" + "---|" * len(CASES))
    for i, (name, _) in enumerate(changes(truth(8.0))):
        cells = [_cell(n, n_draws, family, s, i, executor) for family, s in CASES]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


CASES = (("full", 8.0), ("full", 4.0), ("diag", 8.0), ("tied", 8.0), ("spherical", 8.0))


def _cell(
    n: int, n_draws: int, family: str, separation: float, change: int, executor: ThreadExecutor
) -> str:
    t = truth(separation)
    _, changed = list(changes(t))[change]
    found, sizes = 0, []
    for seed in range(3):
        rng = np.random.default_rng(1000 * change + seed)
        model = fitted(t.draw(n, rng), family, seed)
        for _ in range(n_draws):
            drift = drift_of(model, changed.draw(n, rng), n, executor)
            found += bool(Thresholds().alarms(drift))
            sizes.append(float(np.nanmax(drift.hellinger)))
    return f"{found} of {3 * n_draws} ({np.median(sizes):.3f})"


def stability_index(model: MixtureModel, X: Array, Y: Array, n_bins: int = 10) -> float:
    """Population stability index of log densities, by deciles of the old rows."""
    old, new = model.score_samples(X), model.score_samples(Y)
    edges = np.quantile(old, np.linspace(0, 1, n_bins + 1)[1:-1])
    shares = [np.bincount(np.searchsorted(edges, v), minlength=n_bins) / len(v) for v in (old, new)]
    p, q = (np.maximum(share, 1e-9) for share in shares)
    return float(((q - p) * np.log(q / p)).sum())


def others(n: int, executor: ThreadExecutor) -> None:
    """What the population stability index and matched refits see."""
    print(f"\nn = {n:,}, full, 8 sd\n")
    print("| what happened | stability index | Hellinger of one step | times the anomalies |")
    print("|---|---|---|---|")
    t, rng = truth(8.0), np.random.default_rng(0)
    X = t.draw(n, rng)
    model = fitted(X, "full", 0)
    more = t.means.copy()
    more[2] += t.roots[2] @ (np.ones(4) / 2.0)
    extra = (("a mean by 1 sd", replace(t, means=more)), ("new cluster, 1 %", replace(t, new=0.01)))
    for name, changed in (*changes(t), *extra):
        Y = changed.draw(n, rng)
        drift = drift_of(model, Y, n, executor)
        ratio = (drift.new_rate or 0.0) / QUANTILE
        cells = (stability_index(model, X, Y), float(np.nanmax(drift.hellinger)))
        print(f"| {name} | {cells[0]:.4f} | {cells[1]:.3f} | {ratio:.1f} |", flush=True)


def _fit(X: Array, k: int, seed: int, **start: Any) -> MixtureModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: MixtureModel = GaussianMixture(k, random_state=seed, **start).fit(X).model_
    return model


def refits(n: int, executor: ThreadExecutor) -> None:
    """Without drift: the largest distance of matched fits, cold and warm, and of one step."""
    print(f"\nWithout drift, largest of 5 draws, full, n = {n:,}\n")
    print("| components apart by | fitted | cold refits | warm refits | one step | its alarms |")
    print("|---|---|---|---|---|---|")
    for separation, k in ((8.0, 5), (2.5, 5), (2.5, 8)):
        t, rng, found, n_alarms = truth(separation), np.random.default_rng(1), [], 0
        for seed in range(5):
            X, Y = t.draw(n, rng), t.draw(n, rng)
            old, cold = _fit(X, k, seed), _fit(Y, k, seed + 50)
            given = {
                "weights_init": old.weights,
                "means_init": old.means,
                "precisions_init": old.precisions,
            }
            warm = _fit(Y, k, seed, **given)
            drift = drift_of(old, Y, n, executor)
            n_alarms += bool(Thresholds().alarms(drift))
            step = float(np.nanmax(drift.hellinger))
            pairs = [
                max(pair.hellinger for pair in Matching.of(old, other).pairs)
                for other in (cold, warm)
            ]
            found.append((*pairs, step))
        largest = np.max(found, axis=0)
        cells = " | ".join(f"{value:.2f}" for value in largest)
        print(f"| {separation:g} sd | {k} | {cells} | {n_alarms} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100, help="draws of each fit")
    draws = parser.parse_args().draws
    with ThreadExecutor(1) as executor:
        refits(10_000, executor)
        others(100_000, executor)
        alarms(10_000, draws, executor)
        alarms(100_000, max(draws // 10, 1), executor)


if __name__ == "__main__":
    main()
