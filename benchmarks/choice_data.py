"""Rows whose number of clusters is known, and measured ones: what `choose` lets jobs choose on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.start_data import digits, faithful, iris, photographs, principal_components

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

#: Corners of a square, and how far apart: four clusters that do not overlap.
_CORNERS = 30.0 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


@dataclass(frozen=True, slots=True)
class ChoiceData:
    """Rows (n, d) and, where they are known, the clusters (n,) that they come from.

    `n` is the number of rows; `sizes` are the numbers of components that a job is offered;
    `n_clusters` is how many clusters there are.
    """

    name: str
    n: int
    rows: Callable[[], tuple[Array, Labels | None]]
    sizes: tuple[int, ...]
    n_clusters: int | None = None


UP_TO_12 = tuple(range(1, 13))
#: Where plain BIC goes on for long: 16 is not the edge.
UP_TO_28 = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28)


def data_sets(*, is_trial: bool) -> Iterator[ChoiceData]:
    """From small to large; in a trial few rows."""
    sizes = (1_000, 10_000, 100_000) if not is_trial else (500,)
    many = (3_000, 30_000, 300_000, 1_000_000) if not is_trial else (500,)
    for n in sizes:
        yield ChoiceData(f"6 separated, {n:,} × 4", n, partial(_separated, n), UP_TO_12, 6)
    for n in sizes:
        yield ChoiceData(f"6 overlapping, {n:,} × 4", n, partial(_overlapping, n), UP_TO_12, 6)
    for n in many:
        yield ChoiceData(f"4 heavy-tailed, {n:,} × 2", n, partial(heavy_tailed, n), UP_TO_28, 4)
    for n in many[:3]:
        yield ChoiceData(f"4 curved, {n:,} × 2", n, partial(curved, n), UP_TO_28, 4)
    for n in sizes:
        yield ChoiceData(f"one Gaussian, {n:,} × 4", n, partial(_gaussian, n), UP_TO_12, 1)
        yield ChoiceData(f"uniform, {n:,} × 4", n, partial(_uniform, n), UP_TO_12, 1)
    if is_trial:
        return
    yield ChoiceData("faithful, 272 × 2", 272, lambda: (faithful(), None), UP_TO_12)
    yield ChoiceData("iris, 150 × 4", 150, _iris, UP_TO_12[:6], 3)
    yield ChoiceData("digits, 10 principal components", 1_797, _digits, UP_TO_28, 10)
    yield ChoiceData("photographs, 10,846 × 27", 10_846, _photographs, UP_TO_12)


def heavy_tailed(n: int) -> tuple[Array, Labels]:
    """Student's t with 3 degrees of freedom about four centres."""
    rng = np.random.default_rng(1)
    truth = rng.integers(4, size=n)
    noise = rng.standard_normal((n, 2)) / np.sqrt(rng.chisquare(3, size=(n, 1)) / 3.0)
    return _CORNERS[truth] + noise, truth


def curved(n: int) -> tuple[Array, Labels]:
    """Four parabolas."""
    rng = np.random.default_rng(2)
    truth = rng.integers(4, size=n)
    x = rng.uniform(-3.0, 3.0, size=n)
    along = np.column_stack([2.0 * x, x**2 - 3.0]) + 0.6 * rng.standard_normal((n, 2))
    return _CORNERS[truth] + along, truth


def _separated(n: int) -> tuple[Array, Labels]:
    """Six Gaussians, 10 sd from one another and more."""
    return _gaussians(n, 10.0, 3)


def _overlapping(n: int) -> tuple[Array, Labels]:
    """Six Gaussians, about 3 sd from one another."""
    return _gaussians(n, 3.0, 4)


def _gaussians(n: int, distance: float, seed: int) -> tuple[Array, Labels]:
    """With covariances of their own, about centres on axes."""
    rng = np.random.default_rng(seed)
    centres = distance * np.concatenate([np.zeros((1, 4)), np.eye(4), -np.eye(4)[:1]])
    factors = np.linalg.qr(rng.normal(size=(6, 4, 4)))[0] * rng.uniform(0.6, 1.4, (6, 1, 4))
    truth = rng.choice(6, size=n, p=np.array([3, 2, 2, 1, 1, 1]) / 10.0)
    X = rng.normal(size=(n, 4))
    for j in range(6):
        X[truth == j] = X[truth == j] @ factors[j].T + centres[j]
    return X, truth


def _gaussian(n: int) -> tuple[Array, Labels]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)), np.zeros(n, np.intp)


def _uniform(n: int) -> tuple[Array, Labels]:
    return np.random.default_rng(6).uniform(size=(n, 4)), np.zeros(n, np.intp)


def _iris() -> tuple[Array, Labels]:
    return iris(), np.repeat(np.arange(3), 50)


def _digits() -> tuple[Array, Labels]:
    X, labels = digits()
    return principal_components(X)[:, :10], labels.astype(np.intp)


def _photographs() -> tuple[Array, None]:
    return photographs()[::10], None
