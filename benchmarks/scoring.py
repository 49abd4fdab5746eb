"""Labels, posteriors and log densities of all rows, against a pass of EM over the same rows.

Rows are in memory, and both sides have two threads and the same parameters; sides alternate. A pass
of EM is the E-step of all rows with its reduction. Scoring is measured in memory, and as the pass
of a job that writes its output arrays to a disk (labels, largest posterior and log density).
Compiled code is measured against NumPy's tiles too, which all scoring was before it was compiled.
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
    for (family, shape), goal in goals.SCORING_AGAINST_TILES.items():
        _against_tiles(results, family, _fewer(results, shape), goal, is_written=False)
    shape = _fewer(results, SHAPE)
    _against_tiles(results, "full", shape, goals.SCORING_PASS_AGAINST_TILES, is_written=True)


def _fewer(results: Results, shape: Shape) -> Shape:
    return Shape(min(shape.n, _TRIAL.n), shape.d, shape.k) if results.is_trial else shape


def _against_tiles(
    results: Results, family: str, shape: Shape, goal: float, *, is_written: bool
) -> None:
    """Scoring on the backend that would be chosen, against NumPy's."""
    X, centres = clustered_rows(shape.n, shape.d, shape.k)
    model, dataset = _model(family, centres, shape), ArrayDataset(X)
    own = select("auto", WORTH_COMPILING, is_everywhere=True)
    with (
        ThreadExecutor(N_THREADS, caller_computes=True) as executor,  # as the estimator
        ThreadExecutor(N_THREADS) as of_job,
        tempfile.TemporaryDirectory() as folder,
    ):
        if is_written:
            sides = [_written(dataset, of_job, model, b, folder) for b in ("numpy", own)]
        else:
            sides = [_in_memory(dataset, executor, model, b) for b in ("numpy", own)]
        for side in sides:
            side()  # compiles
        budget = _SECONDS_FOR_A_SHAPE / (2 if is_written else 8)
        turns = [lambda s=side: [seconds(s)] for side in sides]
        rounds = alternate(turns, budget=budget, least=3, most=9)
    tiles, compiled = (shape.n / median(side) for side in rounds)
    results.measured(
        f"{own} against NumPy's tiles",
        f"{family}, {shape}, {'with outputs written' if is_written else 'in memory'}",
        ratio_of_pairs(*rounds),
        "×",
        goal=goal,
        note=f"{compiled / 1e6:.2f} against {tiles / 1e6:.2f} million rows/s",
        detail={"compiled_rows_s": compiled, "tiles_rows_s": tiles},
    )


def _in_memory(dataset: Any, executor: Any, model: Any, backend: str) -> Any:
    return lambda: scores(dataset, executor, model, NAMES, backend=backend)


def _written(dataset: Any, executor: Any, model: Any, backend: str, folder: str) -> Any:
    def write() -> None:
        products = Products(str(Path(folder) / "outputs.zarr"), NAMES)
        products.create(dataset.grid, model.n_components, {})
        scoring_pass(
            dataset, executor, model, products, missing=MissingPolicy.ERROR, backend=backend
        )

    return write


def _measure(results: Results, family: str, dtype: str, shape: Shape) -> None:
    X, centres = clustered_rows(shape.n, shape.d, shape.k)
    model = _model(family, centres, shape)
    dataset = ArrayDataset(X.astype(dtype, copy=False))
    backend = select("auto", WORTH_COMPILING, is_everywhere=True)
    requests = (EStepRequest(ProductKernel.of(model.parameters), model.standardisation),)
    with (
        ThreadExecutor(N_THREADS, caller_computes=True) as executor,  # as the estimator
        ThreadExecutor(N_THREADS) as of_job,
        tempfile.TemporaryDirectory() as folder,
    ):
        em = EStepRunner(dataset, executor, backend)
        actions: list[Any] = [
            lambda: em(requests),
            _in_memory(dataset, executor, model, backend),
            _written(dataset, of_job, model, backend, folder),
        ]
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
