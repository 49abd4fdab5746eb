"""Spark's GaussianMixture, full covariances, on two local cores. Runs in its environment.

It takes no start, so it tells its own: the parameters after its first iteration. An iteration is
the difference between fits of `1 + STRIDE` and of 1 iteration, which both draw the same start and
read the same cached rows.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import numpy as np
from serving import N_THREADS, clocked, serve

warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
os.environ["PYSPARK_PYTHON"] = sys.executable

import pandas as pd  # noqa: E402 - what follows reads the variable
from pyspark.ml.clustering import GaussianMixture  # noqa: E402
from pyspark.ml.functions import array_to_vector  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

STRIDE = 2


class Spark:
    """A local session; rows are cached as vectors, one partition a core."""

    packages = ("pyspark",)

    def __init__(self) -> None:
        builder = SparkSession.builder.master(f"local[{N_THREADS}]").appName("benchmark")
        for key, value in {
            "spark.driver.memory": "6g",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.execution.arrow.pyspark.enabled": "true",
        }.items():
            builder = builder.config(key, value)
        self._session = builder.getOrCreate()
        self._session.sparkContext.setLogLevel("ERROR")
        self._frame: Any = None
        self.n_iterations = 0
        self._warm_up()

    def _warm_up(self) -> None:
        """Let the JVM compile what it will run."""
        self._load(np.random.default_rng(0).normal(size=(20_000, 8)))
        for _ in range(4):
            self._fit(4, 8)

    def _load(self, X: Any) -> None:
        if self._frame is not None:
            self._frame.unpersist()
        rows = self._session.createDataFrame(pd.DataFrame({"x": list(X)}))
        frame = rows.select(array_to_vector("x").alias("features")).repartition(N_THREADS)
        self._frame = frame.cache()
        self._frame.count()

    def _fit(self, max_iter: int, k: int) -> tuple[float, Any]:
        estimator = GaussianMixture(k=k, maxIter=max_iter, tol=0.0, seed=1)
        return clocked(lambda: estimator.fit(self._frame))

    def prepare(self, X: Any, start: dict[str, Any], covariance_type: str) -> None:
        """Cache the rows; of the start only k is taken."""
        if covariance_type != "full":
            raise ValueError("Spark has full covariances only")
        self._k, self.n_iterations = len(start["weights"]), 0
        self._load(X.astype(np.float64, copy=False))
        self._model = self._fit(1, self._k)[1]

    def step(self, times: int) -> list[float]:
        """One iteration's share of STRIDE; the later fit is where EM then stands."""
        taken = []
        for _ in range(times):
            short, _ = self._fit(1, self._k)
            long, self._model = self._fit(1 + STRIDE, self._k)
            taken.append((long - short) / STRIDE)
        self.n_iterations = STRIDE
        return taken

    def mixture(self) -> dict[str, Any]:
        """Of the model fitted last."""
        gaussians = [(g.mean.toArray(), g.cov.toArray()) for g in self._model.gaussians]
        return {
            "weights": np.array(self._model.weights),
            "means": np.array([mean for mean, _ in gaussians]),
            "covariances": np.array([covariance for _, covariance in gaussians]),
        }

    def kernels(self) -> str:
        """Native BLAS where the system has one; otherwise Java's."""
        java = self._session.sparkContext._jvm
        blas = java.dev.ludovic.netlib.blas
        try:
            name = blas.NativeBLAS.getInstance().getClass().getName()
        except Exception:  # noqa: BLE001 - py4j's own, whose class differs between versions
            name = blas.JavaBLAS.getInstance().getClass().getName()
        return f"{name}, Java {java.java.lang.System.getProperty('java.version')}"


if __name__ == "__main__":
    serve(Spark())
