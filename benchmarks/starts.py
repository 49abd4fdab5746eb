"""Where EM begins, told by where it ends: `python -m benchmarks starts`.

Clusters that one feature alone separates, whatever its unit; final likelihoods against
scikit-learn's on data that tell good starts from bad ones; a digit that the mixture has not seen,
told by its density.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import goals, start_data
from benchmarks.results import Results
from benchmarks.start_data import Array, StartData
from benchmarks.start_peer import ScikitLearn
from dgmm import GaussianMixture

SEEDS = range(5)
#: Found means that hardly a row is labelled otherwise.
FOUND = 0.99
_FACTORS = (1.0, 0.001, 1000.0)
#: Components of the mixture that one digit is kept from, and its principal components.
_DIGITS, _N_DIRECTIONS = 10, 30


def run(results: Results) -> None:
    """All three parts; a trial leaves out what takes minutes."""
    _separated(results)
    for data in _data(results):
        _against_scikit_learn(results, data)
    _unseen_digits(results)


def _data(results: Results) -> Iterator[StartData]:
    small = [*start_data.small()]
    if results.is_trial:
        yield small[0]
        return
    yield from small
    yield from start_data.large()


@dataclass(frozen=True, slots=True)
class Separated:
    """Unit Gaussians 10 sd apart along one feature; the others are noise.

    Attributes
    ----------
    n_features, n_components, seed : int
    factor : float
        What the feature that separates them is multiplied by.
    """

    n_features: int
    n_components: int
    seed: int
    factor: float = 1.0

    def rows(self) -> tuple[Array, NDArray[np.int64]]:
        """2,000 rows, and the cluster of each."""
        rng = np.random.default_rng(self.seed)
        labels = np.arange(2000) % self.n_components
        X = rng.normal(size=(2000, self.n_features))
        X[:, 0] = self.factor * (rng.normal(size=2000) + 10.0 * labels)
        return X, labels

    def is_found(self) -> bool:
        """Whether a fit with the defaults finds the clusters."""
        from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415 - takes a second to import

        X, labels = self.rows()
        mixture = GaussianMixture(self.n_components, random_state=self.seed)
        return bool(adjusted_rand_score(labels, _quietly(mixture, X).predict(X)) >= FOUND)


def separated(factor: float) -> list[Separated]:
    """The 24 data sets: 2, 4 and 10 features, two and three clusters, four seeds."""
    return [Separated(d, k, seed, factor) for d in (2, 4, 10) for k in (2, 3) for seed in range(4)]


def many_clusters(factor: float) -> list[Separated]:
    """As many data sets of four to ten clusters."""
    return [
        Separated(d, k, seed, factor) for d in (4, 10) for k in (4, 6, 8, 10) for seed in range(3)
    ]


def _separated(results: Results) -> None:
    for factor in _FACTORS:
        _report_found(results, separated(factor), f"that feature × {factor:g}")
    factor = _FACTORS[1]
    if not results.is_trial:
        what = f"4 to 10 clusters, that feature × {factor:g}"
        _report_found(results, many_clusters(factor), what)


def _report_found(results: Results, fits: list[Separated], what: str) -> None:
    found = [one.is_found() for one in fits]
    results.measured(
        "10 sd apart along one feature",
        what,
        100.0 * sum(found) / len(found),
        "% found",
        goal=goals.SEPARATED_FOUND,
        note=f"{sum(found)} of {len(found)} fits with an adjusted Rand index ≥ {FOUND}",
    )


def _against_scikit_learn(results: Results, data: StartData) -> None:
    X = data.rows()
    theirs = ScikitLearn().mean_log_likelihoods(data, X)
    ours, seconds = [], []
    for seed in SEEDS:
        begun = time.perf_counter()
        mixture = GaussianMixture(
            data.n_components, covariance_type=data.covariance_type, random_state=seed
        )
        _quietly(mixture, X)
        seconds.append(time.perf_counter() - begun)
        ours.append(mixture.score(X))
    single, best = median(theirs[: len(SEEDS)]), max(theirs)
    detail = {"ours": ours, "theirs": theirs}
    note = (
        f"{median(ours):.4f}, {min(ours):.4f} to {max(ours):.4f}; theirs {single:.4f}, "
        f"best of {len(theirs)} {best:.4f}; {median(seconds):.2f} s"
    )
    part = "final likelihood, a default fit"
    results.measured(
        part,
        f"{data}: less scikit-learn's",
        # Optima are told apart, not where the last step before tol fell.
        round(median(ours) - single, 3),
        "nats/row",
        goal=0.0,
        note=note,
        detail=detail,
    )
    results.measured(
        part,
        f"{data}: less its best of {len(theirs)}",
        median(ours) - best,
        "nats/row",
        goal=-data.near_best,
    )


def _unseen_digits(results: Results) -> None:
    """How well the density tells a digit that was kept from the fit from unseen rows of others."""
    from sklearn.mixture import GaussianMixture as Peer  # noqa: PLC0415 - takes a second to import

    kept = range(1) if results.is_trial else range(10)
    ours = [_auroc(GaussianMixture, digit) for digit in kept]
    theirs = [_auroc(Peer, digit) for digit in kept]
    results.measured(
        "a digit kept from the fit",
        "area under the ROC curve of the log density",
        median(ours),
        "",
        goal=goals.UNSEEN_DIGIT,
        note=f"median of {len(ours)} digits, {min(ours):.3f} to {max(ours):.3f}; "
        f"scikit-learn {median(theirs):.3f}, {min(theirs):.3f} to {max(theirs):.3f}",
        detail={"ours": ours, "theirs": theirs},
    )


def _auroc(maker: Any, digit: int) -> float:
    """Fitted to 70 % of the other digits, asked about the rest of them and about the one."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - takes a second to import

    X, labels = start_data.digits()
    known, unseen = X[labels != digit], X[labels == digit]
    known = known[np.random.default_rng(0).permutation(len(known))]
    n = 7 * len(known) // 10
    centre = known[:n].mean(axis=0)
    directions = np.linalg.svd(known[:n] - centre, full_matrices=False)[2][:_N_DIRECTIONS].T
    mixture = _quietly(maker(_DIGITS, random_state=0), (known[:n] - centre) @ directions)
    densities = [
        mixture.score_samples((rows - centre) @ directions) for rows in (known[n:], unseen)
    ]
    is_unseen = np.repeat([0, 1], [len(found) for found in densities])
    return float(roc_auc_score(is_unseen, -np.concatenate(densities)))


def _quietly(mixture: Any, X: Array) -> Any:
    """Fitted, without a word of iterations or of rows that are few."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mixture.fit(X)
