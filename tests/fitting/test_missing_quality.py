"""What 30 % of values missing at random cost in measured data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from dgmm import GaussianMixture
from dgmm.errors import DataError
from dgmm.mixture.backends import compiled_backend

Array = NDArray[np.float64]
FAITHFUL = Path(__file__).resolve().parents[1] / "oracle" / "data" / "faithful.csv"
#: A pass over few rows takes many times as long as one without gaps, and milliseconds.
pytestmark = pytest.mark.filterwarnings("ignore:.*a pass takes about", "ignore:.*rows")


def with_gaps(X: Array, seed: int) -> Array:
    """30 % of all values missing; a row keeps one at least."""
    rng = np.random.default_rng(seed)
    gone = rng.uniform(size=X.shape) < 0.3
    gone[np.arange(len(X)), rng.integers(X.shape[1], size=len(X))] = False
    return np.where(gone, np.nan, X)


def test_of_old_faithful_more_is_learned_than_by_dropping_rows() -> None:
    """Held-out log-likelihood of two components, over four halves and their gaps."""
    X = np.loadtxt(FAITHFUL, delimiter=",", skiprows=1)
    found = {"marginalise": 0.0, "drop": 0.0}
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(X))
        own, held_out = X[order[:136]], X[order[136:]]
        gaps = with_gaps(own, seed)
        for missing in found:
            mixture = GaussianMixture(2, missing=missing, random_state=0, n_sample_starts=2)
            found[missing] += mixture.fit(gaps).score(held_out) / 4
    assert found["marginalise"] >= found["drop"]


def patches(n: int, rng: np.random.Generator) -> Array:
    """Rows of 27: red, green and blue of nine pixels of the photographs, noise of a grey level."""
    images = load_sample_images().images
    rows = np.empty((n, 3, 3, 3))
    for row, image in zip(rows, rng.integers(len(images), size=n), strict=True):
        y, x = (rng.integers(side - 2) for side in images[image].shape[:2])
        row[:] = images[image][y : y + 3, x : x + 3]
    return rows.reshape(n, 27) + rng.normal(size=(n, 27))


@pytest.mark.skipif(
    compiled_backend() is None, reason="a pattern for each row: NumPy takes minutes"
)
def test_of_photographs_in_which_no_row_is_complete_nearly_all_is_learned() -> None:
    """800 rows for 1,217 free parameters: covariances need a floor of 1e-4 of the variances.

    Without one the observed likelihood itself leads astray: EM that begins where complete data ends
    goes on to 8.6 and 13.5 nats below (two draws of rows), the likelihood of its own rows rising.
    """
    rng = np.random.default_rng(0)
    X, held_out = patches(800, rng), patches(2000, rng)
    gaps = with_gaps(X, 0)
    assert np.isnan(gaps).any(axis=1).all()

    def score(rows: Array, missing: str = "error", floor: float = 1e-4) -> float:
        options = {"missing": missing, "reg_covar_relative": floor, "tol": 1e-2, "random_state": 0}
        own = GaussianMixture(3, n_sample_starts=1, backend="numba", **options)
        return own.fit(rows).score(held_out)

    complete = max(score(X), score(X, floor=1e-6))
    found = score(gaps, "marginalise")
    assert complete - found < 3.0
    filled = np.where(np.isnan(gaps), np.nanmean(gaps, axis=0), gaps)
    assert found - score(filled) > 40.0
    with pytest.raises(DataError, match="none is left"):
        score(gaps, "drop")
