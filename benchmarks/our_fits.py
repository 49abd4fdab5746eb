"""dgmm's side of a whole fit: what it had reached when, and after how many passes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import N_THREADS
from benchmarks.mixtures import Mixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.fit import fit
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.kernels.guard import TOLERANCE
from dgmm.model.mixture_model import MixtureModel

#: What a mean log-likelihood of float32 tiles may be wrong by.
_FLOAT32_ERROR = TOLERANCE[np.dtype(np.float32)]
#: How near the optimum counts as there, nats per row.
NEAR = 1e-4
#: Passes and seconds after which a way to the optimum is given up.
_MOST_PASSES, _MOST_SECONDS = 600, 40.0


@dataclass(frozen=True, slots=True)
class Point:
    """A pass over all rows: when it ended, and the mean log-likelihood that is sure by then."""

    seconds: float
    mean_log_likelihood: float


@dataclass(frozen=True, slots=True)
class OurFit:
    """One fit with dgmm's defaults.

    Attributes
    ----------
    seconds : float
        Until fit returned.
    mean_log_likelihood : float
        Of all rows under the parameters it ends with, by the judge.
    points : tuple of Point
        Its passes over all rows.
    """

    seconds: float
    mean_log_likelihood: float
    points: tuple[Point, ...]

    def seconds_to(self, target: float) -> float:
        """When a likelihood was reached; infinite where it never was."""
        for point in self.points:
            if point.mean_log_likelihood >= target:
                return point.seconds
        return self.seconds if self.mean_log_likelihood >= target else math.inf


def our_fit(X: NDArray[Any], k: int, covariance_type: str, seed: int) -> OurFit:
    """Fit with the defaults on two threads."""
    watch = _Watch(len(X))
    with ThreadExecutor(N_THREADS) as executor:
        settings = FitSettings(k, covariance_type, seed=seed)
        model = fit(ArrayDataset(X), executor, settings, watch).model
        seconds = watch.elapsed()
    return OurFit(seconds, _with_outcome(model, X), tuple(watch.points))


def _with_outcome(model: MixtureModel, X: NDArray[Any]) -> float:
    mixture = Mixture(model.covariance_type, model.weights, model.means, model.covariances)
    return mixture.mean_log_likelihood(X)


@dataclass(frozen=True, slots=True)
class PassCount:
    """Passes over all rows, by way; infinite where a way was given up before the optimum.

    Attributes
    ----------
    optimum : float
        The best that any way from the start came to.
    passes, reached, made : dict
        By way: passes to within NEAR of the optimum, the likelihood it came to in the end, and the
        passes it had made by then.
    """

    optimum: float
    passes: dict[str, float]
    reached: dict[str, float]
    made: dict[str, int]


def passes_to_optimum(X: NDArray[Any], k: int, covariance_type: str) -> PassCount:
    """Plain EM and ours from the same start, and ours by default, sample first."""
    ways: dict[str, dict[str, Any]] = {
        "plain EM": {"acceleration": "none", "n_sample_starts": 0},
        "accelerated, same start": {"n_sample_starts": 0},
        "as by default": {},
    }
    histories = {way: _history(X, k, covariance_type, **words) for way, words in ways.items()}
    same_start = ("plain EM", "accelerated, same start")
    optimum = max(max(histories[way]) for way in same_start)
    return PassCount(
        optimum,
        {way: passes_until(history, optimum - NEAR) for way, history in histories.items()},
        {way: max(history) for way, history in histories.items()},
        {way: len(history) for way, history in histories.items()},
    )


def passes_until(history: list[float], target: float) -> float:
    """How many passes it took to see a likelihood of at least the target."""
    for i, value in enumerate(history, start=1):
        if value >= target:
            return float(i)
    return math.inf


def _history(X: NDArray[Any], k: int, covariance_type: str, **words: Any) -> list[float]:
    """The mean log-likelihood that each pass over all rows found, until nothing changes."""
    settings = FitSettings(k, covariance_type, tol=1e-7, max_iter=_MOST_PASSES, **words)
    watch = _Watch(len(X), most_seconds=_MOST_SECONDS)
    with ThreadExecutor(N_THREADS) as executor, contextlib.suppress(_TimeIsUpError):
        fit(ArrayDataset(X), executor, settings, watch)
    return [point.mean_log_likelihood for point in watch.points]


class _TimeIsUpError(Exception):
    """Ends a fit from within its listener."""


class _Watch(SilentListener):
    """Notes when each pass over all rows ended; begins when it is made."""

    def __init__(self, n_rows: int, most_seconds: float = math.inf) -> None:
        self.points: list[Point] = []
        self._n_rows, self._most_seconds = n_rows, most_seconds
        self._begun = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._begun

    def iteration(self, record: Mapping[str, Any]) -> None:
        """Note a pass over all rows; passes over a sample are no passes."""
        if record["rows"] == self._n_rows:
            error = _FLOAT32_ERROR if record["dtype"] == "float32" else 0.0
            self.points.append(Point(self.elapsed(), record["mean_log_likelihood"] - error))
        if self.elapsed() > self._most_seconds:
            raise _TimeIsUpError
