"""Labels, posteriors and log densities of all rows, against a pass of EM over the same rows.

Rows are in memory, and both sides have two threads and the same parameters; sides alternate. A pass
of EM is the E-step of all rows with its reduction. Scoring is measured in memory, and as the pass
of a job that writes its output arrays to a disk (labels, largest posterior and log density).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import goals
from benchmarks.goals import Shape
from benchmarks.measuring import N_THREADS, alternate, ratio_of_pairs, seconds
from benchmarks.mixtures import clustered_rows, start_near
from benchmarks.results import Results
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.data_pass import EStepRunner
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.mixture.backends import WORTH_COMPILING, select
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import ProductKernel
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.in_memory import scores
from dgmm.scoring.scoring_pass import Products, scoring_pass

SHAPE = Shape(5_000_000, 16, 32)
_TRIAL = Shape(50_000, 16, 32)
NAMES = ("labels", "max_posterior", "log_density")
_SECONDS_FOR_A_SHAPE = 60.0


def run(results: Results) -> None:
    """Measure each family in float64, and full covariances on float32 rows too."""
    for family, dtype in [("full", "float64"), ("full", "float32"), ("tied", "float64"),
                          ("diag", "float64"), ("spherical", "float64")]:  # fmt: skip
        if not results.is_trial or dtype == "float64":
            _measure(results, family, dtype, _TRIAL if results.is_trial else SHAPE)


def _measure(results: Results, family: str, dtype: str, shape: Shape) -> None:
    X, centres = clustered_rows(shape.n, shape.d, shape.k)
    model = _model(family, centres, shape)
    dataset = ArrayDataset(X.astype(dtype, copy=False))
    backend = select("auto", WORTH_COMPILING, is_everywhere=True)
    requests = (EStepRequest(ProductKernel.of(model.parameters), model.standardisation),)
    with ThreadExecutor(N_THREADS) as executor, tempfile.TemporaryDirectory() as folder:
        em = EStepRunner(dataset, executor, backend)

        def in_memory() -> None:
            scores(dataset, executor, model, NAMES, backend=backend)

        def written() -> None:
            products = Products(str(Path(folder) / "outputs.zarr"), NAMES)
            products.create(dataset.grid, shape.k, {})
            scoring_pass(
                dataset, executor, model, products, missing=MissingPolicy.ERROR, backend=backend
            )

        actions: list[Any] = [lambda: em(requests), in_memory, written]
        for action in actions:
            action()  # compiles
        sides = [lambda a=action: [seconds(a)] for action in actions]
        rounds = alternate(sides, budget=_SECONDS_FOR_A_SHAPE, least=3, most=7)
    _report(results, f"{family}, {dtype} rows", shape, rounds, backend)


def _model(family: str, centres: Any, shape: Shape) -> MixtureModel:
    start = start_near(centres, family)
    covariances = family_named(family)
    parameters = Parameters.of(
        covariances,
        start.weights / start.weights.sum(),
        start.means,
        start.covariances,
    )
    names = tuple(f"x{i}" for i in range(shape.d))
    return MixtureModel(parameters, Standardisation.identity(shape.d), names)


def _report(
    results: Results, part: str, shape: Shape, rounds: list[list[float]], backend: str
) -> None:
    em, in_memory, written = (shape.n / median(side) for side in rounds)
    detail = {"em_rows_s": em, "in_memory_rows_s": in_memory, "written_rows_s": written}
    for what, side, goal in (
        ("in memory", 1, goals.SCORING_AGAINST_PASS),
        ("with outputs written", 2, None),
    ):
        rate = (in_memory, written)[side - 1]
        results.measured(
            part,
            f"{shape}, {what}",
            ratio_of_pairs(rounds[0], rounds[side]),
            "× EM pass",
            goal=goal,
            note=f"{rate / 1e6:.2f} against {em / 1e6:.2f} million rows/s on {backend}",
            detail=detail,
        )
