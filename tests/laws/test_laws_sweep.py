"""Candidates of other sizes, families, units and rows advance in one pass, each as alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import em_runs
import mixtures
import numpy as np
import pytest
from mixtures import Array

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.row_block import RowBlock
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.data_pass import EStepRunner
from dgmm.fitting.em.e_step_request import EStepRequest, RowFilter
from dgmm.fitting.em.standardised_rows import StandardisedRows
from dgmm.mixture.backends import standardising_backend
from dgmm.mixture.covariance import FAMILIES
from dgmm.reduction.blocks import BlockRange

BACKEND = pytest.mark.parametrize("backend", ["numpy", standardising_backend(10**9).name])
N, D = 21_000, 3  # six blocks: fewer are cut, and two tasks may share one


@pytest.fixture(autouse=True)
def _several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


class CountingDataset(ArrayDataset):
    """Rows in memory whose reads are counted, block by block."""

    read: ClassVar[list[int]] = []

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        for block in super().read_blocks(blocks):
            self.read.append(block.index)
            yield block


@dataclass(frozen=True)
class WithoutFold:
    """The rows of all folds but one."""

    fold: int
    n_folds: int = field(default=3)

    def __call__(self, block: RowBlock) -> Any:
        rows = block.start + np.arange(len(block.values))
        return rows % self.n_folds != self.fold


def _rows() -> Array:
    rng = np.random.default_rng(11)
    return np.concatenate([c + rng.normal(size=(N // 3, D)) for c in (-4.0, 0.0, 5.0)])


def _problem(X: Array, units: Standardisation, rows: RowFilter | None = None) -> em.EMProblem:
    plain = em_runs.problem(units.apply(X, np.float64), max_iter=6, tol=1e-9)
    return replace(plain, standardisation=units, rows=rows, acceleration="squarem")


def _sweep(X: Array) -> dict[em.FitCandidate, em.EMProblem]:
    """Candidates of four families, three sizes, two unit systems and one fold."""
    rng = np.random.default_rng(2)
    own, robust = Standardisation.identity(D), Standardisation.from_sample(X, common_scale=False)
    in_own, in_robust = _problem(X, own), _problem(X, robust)
    plan = [
        *((name, 3, in_robust) for name in FAMILIES),
        *(("full", k, in_robust) for k in (2, 5)),
        *((name, 3, in_own) for name in ("full", "tied")),
        ("full", 3, _problem(X, robust, WithoutFold(1))),
    ]
    found = {}
    for i, (name, k, problem) in enumerate(plan):
        start = mixtures.mixture(FAMILIES[name], k, D, rng, separation=1.0)
        fold = None if problem.rows is None else 1
        identity = em.CandidateId(i, "", k, name, fold)
        found[em.EMSolver(problem).init(identity, start)] = problem
    return found


def _bits(candidate: em.FitCandidate) -> tuple[Any, ...]:
    p = candidate.parameters
    arrays = (p.weights, p.means, p.covariances)
    return (candidate.id, candidate.outcome, candidate.history, *(a.tobytes() for a in arrays))


@BACKEND
def test_a_candidate_of_a_sweep_has_the_bits_of_its_run_alone(backend: str) -> None:
    X = _rows()
    sweep, dataset = _sweep(X), CountingDataset(X)
    dataset.read.clear()
    with ThreadExecutor(2) as executor:
        one_pass = EStepRunner(dataset, executor, backend)
        problems = {candidate.id: problem for candidate, problem in sweep.items()}
        together = em.run(tuple(sweep), one_pass, problems)
        n_passes, n_blocks = one_pass.n_passes, dataset.grid.n_blocks
        assert n_blocks > 1
        assert sorted(dataset.read) == sorted([*range(n_blocks)] * n_passes)
        for swept, (start, problem) in zip(together, sweep.items(), strict=True):
            (alone,) = em.run((start,), EStepRunner(dataset, executor, backend), problem)
            assert _bits(swept) == _bits(alone)


@BACKEND
def test_rows_are_prepared_once_for_candidates_that_can_share_them(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each block, unit system, filter, and shape of the kernel's tiles."""
    X, made = _rows(), []
    of = StandardisedRows.of

    def counted(rows: Any, standardisation: Any, *others: Any) -> StandardisedRows:
        made.append(id(standardisation))
        return of(rows, standardisation, *others)

    monkeypatch.setattr(StandardisedRows, "of", counted)
    units = [Standardisation.identity(D), Standardisation.from_sample(X, common_scale=False)]
    solvers = [em.EMSolver(_problem(X, own)) for own in units]
    rng = np.random.default_rng(5)
    starts = [mixtures.mixture(FAMILIES["full"], 3, D, rng, separation=1.0) for _ in range(4)]
    requests = tuple(
        solver.request(solver.init(em.CandidateId(i), start))
        for solver in solvers
        for i, start in enumerate(starts)
    )
    dataset = ArrayDataset(X)
    with ThreadExecutor(1) as executor:
        EStepRunner(dataset, executor, backend)(requests)
    assert sorted(made) == sorted([id(own) for own in units] * dataset.grid.n_blocks)


@dataclass(frozen=True)
class NoRow:
    """No row of any block."""

    def __call__(self, block: RowBlock) -> Any:
        return np.zeros(len(block.values), dtype=bool)


@BACKEND
def test_a_filter_that_leaves_no_row_is_refused_with_the_candidates_name(backend: str) -> None:
    X, units = _rows(), Standardisation.identity(D)
    start = mixtures.mixture(FAMILIES["tied"], 2, D, np.random.default_rng(1), separation=1.0)
    problem = _problem(X, units, NoRow())
    candidate = em.EMSolver(problem).init(em.CandidateId(4, label=7), start)
    with (
        ThreadExecutor(1) as executor,
        pytest.raises(DataError, match=r"no row is left for CandidateId\(restart=4.*label=7"),
    ):
        em.run((candidate,), EStepRunner(ArrayDataset(X), executor, backend), problem)


def test_a_filter_leaves_out_rows_of_its_own_candidate_alone() -> None:
    X, units = _rows(), Standardisation.identity(D)
    start = mixtures.mixture(FAMILIES["full"], 2, D, np.random.default_rng(1), separation=1.0)
    kernel = em.EMSolver(_problem(X, units)).kernel(
        em.EMSolver(_problem(X, units)).init(em.CandidateId(), start)
    )
    folds = tuple(EStepRequest(kernel, units, WithoutFold(i)) for i in range(3))
    with ThreadExecutor(1) as executor:
        found = EStepRunner(ArrayDataset(X), executor, "numpy")(
            (EStepRequest(kernel, units), *folds)
        )
    whole, *parts = found.candidates
    assert found.n_read == whole.n_rows == N
    assert [part.n_rows for part in parts] == [N - N // 3] * 3
    # Every row is in two of the three: their sums are twice the whole's.
    total = sum(part.log_likelihood for part in parts)
    assert abs(total - 2 * whole.log_likelihood) <= N * mixtures.EPS * abs(total)
