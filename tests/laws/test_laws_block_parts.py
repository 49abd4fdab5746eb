"""Parts: a pass over few blocks, cut finer, is a function of rows and parameters alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import em_runs
import mixtures
import numpy as np
import pytest
from mixtures import Array

import dgmm
from dgmm.checkpoint.run_state import RunState, SavedPass
from dgmm.checkpoint.store import CheckpointStore
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.row_block import RowBlock
from dgmm.data.row_labels import RowLabels
from dgmm.data.standardisation import Standardisation
from dgmm.errors import PoisonBlocksError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.classes.class_rows import ClassRows
from dgmm.fitting.em import data_pass
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.data_pass import EStepRunner
from dgmm.fitting.em.e_step_request import EStepRequest, RowFilter
from dgmm.fitting.em.standardised_rows import StandardisedRows
from dgmm.fitting.selection.folds import Folds, OutsideFold
from dgmm.mixture.backends import standardising_backend
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.reduction.blocks import BlockGrid, BlockRange

BACKEND = pytest.mark.parametrize("backend", ["numpy", standardising_backend(10**9).name])
N, D, K = 9000, 3, 3


@pytest.fixture(autouse=True)
def _three_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)
    grid = BlockGrid(N, D)
    assert (grid.n_blocks, grid.in_parts().n_blocks) == (3, 9)


class LabelledRows(ArrayDataset):
    """Rows in memory with a class each."""

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        for block in super().read_blocks(blocks):
            numbers = np.arange(block.start, block.stop)
            labels = RowLabels((numbers % 7 % 2).astype(np.int32), folds=numbers % 5)
            yield RowBlock(block.index, block.start, block.values, block.weights, labels=labels)


def _rows() -> Array:
    scene = mixtures.scene(FAMILIES["full"], N, K, D)
    return np.ascontiguousarray(scene.Y.T)


def _request(rows: RowFilter | None = None, name: str = "full") -> EStepRequest:
    scene = mixtures.scene(FAMILIES[name], N, K, D)
    solver = em.EMSolver(em_runs.problem(scene.Y))
    kernel = solver.kernel(solver.init(em.CandidateId(), scene.parameters))
    return EStepRequest(kernel, Standardisation.identity(D), rows)


def _statistics(
    dataset: ArrayDataset, backend: str, n_threads: int, request: EStepRequest, **own: Any
) -> Statistics:
    with ThreadExecutor(n_threads) as executor:
        found = EStepRunner(dataset, executor, backend, **own)((request,))
    assert found.n_read == N
    return found.candidates[0]


def _same(one: Statistics, other: Statistics) -> None:
    assert one.n_rows == other.n_rows
    assert one.log_likelihood.hex() == other.log_likelihood.hex()
    np.testing.assert_array_equal(one.sums, other.sums)


@BACKEND
@pytest.mark.parametrize("weighted", [False, True])
def test_the_bits_of_a_pass_over_parts_are_those_of_any_threads(
    backend: str, weighted: bool
) -> None:
    weights = np.random.default_rng(1).lognormal(size=N) if weighted else None
    dataset = ArrayDataset(_rows(), weights=weights)
    one = _statistics(dataset, backend, 1, _request())
    for n_threads in (2, 3, 5):
        _same(one, _statistics(dataset, backend, n_threads, _request()))


@BACKEND
@pytest.mark.parametrize("name", FAMILIES)
def test_parts_add_up_to_what_whole_blocks_do(
    backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, request = ArrayDataset(_rows()), _request(name=name)
    parts = _statistics(dataset, backend, 2, request)
    monkeypatch.setattr(BlockGrid, "in_parts", lambda grid: grid)
    blocks = _statistics(dataset, backend, 2, request)
    np.testing.assert_allclose(parts.sums, blocks.sums, rtol=1e-12, atol=1e-12 * N)
    assert parts.log_likelihood == pytest.approx(blocks.log_likelihood, rel=1e-13)
    assert not np.array_equal(parts.sums, blocks.sums)  # another order of additions


@BACKEND
@pytest.mark.parametrize(
    ("rows", "seen"),
    [
        (OutsideFold(Folds(3, seed=1), 2), lambda i: Folds(3, seed=1).of_rows(i) != 2),
        (ClassRows(1), lambda i: i % 7 % 2 == 1),
        (ClassRows(0, held_out=3), lambda i: (i % 7 % 2 == 0) & (i % 5 != 3)),
    ],
)
def test_filters_see_the_rows_of_a_part_by_their_own_numbers_and_labels(
    backend: str, rows: RowFilter, seen: Callable[[Any], Any]
) -> None:
    found = _statistics(LabelledRows(_rows()), backend, 2, _request(rows))
    own = np.ascontiguousarray(_rows()[seen(np.arange(N))])
    with ThreadExecutor(1) as executor:
        alone = EStepRunner(ArrayDataset(own), executor, backend)((_request(),)).candidates[0]
    assert found.n_rows == len(own)
    np.testing.assert_allclose(found.sums, alone.sums, rtol=1e-12, atol=1e-12 * N)


def test_rows_that_lack_values_are_left_in_whole_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pattern of missing values costs, it would cost in each part."""
    dataset = ArrayDataset(_rows())
    some = _statistics(dataset, "numpy", 1, _request(), n_partial=1)
    monkeypatch.setattr(BlockGrid, "in_parts", lambda grid: grid)
    _same(some, _statistics(dataset, "numpy", 1, _request()))


def test_factors_of_standardising_are_kept_for_each_type_of_rows_and_of_tiles() -> None:
    rows, units = _rows(), Standardisation.from_sample(_rows()[:500], common_scale=False)
    workspace, float32 = Workspace(), np.dtype(np.float32)
    for stored in (np.float64, np.float32):
        for dtype in (np.dtype(np.float64), float32):
            for _ in range(2):
                made = StandardisedRows.of(rows.astype(stored), units, dtype, workspace)
                expected = units.affine(np.dtype(stored), dtype)
                assert made.affine is not None
                assert expected is not None
                for own, other in zip(made.affine, expected, strict=True):
                    assert own.dtype == other.dtype
                    np.testing.assert_array_equal(own, other)


class Stops(ArrayDataset):
    """Rows that end in an error when the third block is read."""

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        for block in super().read_blocks(blocks):
            if block.index == 2:
                raise InterruptedError
            yield block


def test_a_pass_goes_on_after_its_finished_parts_with_the_same_bits(tmp_path: Any) -> None:
    whole = _statistics(ArrayDataset(_rows()), "numpy", 1, _request())
    for dataset in (Stops(_rows()), ArrayDataset(_rows())):
        store = CheckpointStore(tmp_path, "a run", warn=pytest.fail)
        with RunState(store, every_s=1e-9, max_iter=9) as state:
            if isinstance(dataset, Stops):
                with pytest.raises(InterruptedError):
                    _statistics(dataset, "numpy", 1, _request(), of_pass=state.of_pass)
                held = store.load("pass", ("name", "subtrees"))
                assert held is not None
                assert "of 4 parts a block" in held["name"]
                assert held["subtrees"]
            else:
                _same(whole, _statistics(dataset, "numpy", 1, _request(), of_pass=state.of_pass))


def test_parts_of_a_pass_of_another_arithmetic_are_done_again(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an earlier version of dgmm has saved them: they are not merged with those of this one."""
    store = CheckpointStore(tmp_path, "a run", warn=pytest.fail)
    with RunState(store, every_s=1e-9, max_iter=9) as state:
        monkeypatch.setattr(data_pass, "_ARITHMETIC", data_pass._ARITHMETIC - 1)
        with pytest.raises(InterruptedError):
            _statistics(Stops(_rows()), "numpy", 1, _request(), of_pass=state.of_pass)
        assert store.load("pass", ("name", "subtrees")) is not None
        monkeypatch.undo()
        found = []
        finished = SavedPass.finished
        monkeypatch.setattr(
            SavedPass, "finished", lambda self: found.append(finished(self)) or found[-1]
        )
        monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)
        _statistics(ArrayDataset(_rows()), "numpy", 1, _request(), of_pass=state.of_pass)
    assert found == [[]]


class Deadly(ThreadExecutor):
    """Finds that the parts of a range end workers."""

    def run(self, task: Any, ranges: Sequence[BlockRange], *, align: int = 1) -> Iterator[Any]:
        raise PoisonBlocksError("2 workers", BlockRange(5, 6), None)


def test_parts_that_end_workers_are_told_as_blocks() -> None:
    with Deadly(1) as executor, pytest.raises(PoisonBlocksError, match=r"^block 1 ended 2") as told:
        EStepRunner(ArrayDataset(_rows()), executor, "numpy")((_request(),))
    assert told.value.blocks == (1, 2)


def test_a_pass_that_is_not_saved_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest takes a twentieth of a small fit."""
    asked = []
    monkeypatch.setattr(EStepRunner, "_name", lambda *_: asked.append(1) or "em")
    dgmm.GaussianMixture(2, random_state=0).fit(_rows()[:300])
    assert not asked
    _statistics(ArrayDataset(_rows()), "numpy", 1, _request(), of_pass=lambda _: None)
    assert asked
