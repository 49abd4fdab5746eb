"""A raised max_iter gives what a run gives that had it from the start."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr

from dgmm.checkpoint import CheckpointStore, RunState
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.errors import OutputExistsError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.data_pass import EStepRunner, EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.em.saved_progress import EmState
from dgmm.fitting.em.state import FitCandidate
from dgmm.job import run_job
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import Guard, choose
from dgmm.mixture.parameters import Parameters
from dgmm.outcome import Outcome
from dgmm.storage.atomic_files import read_json

QUIET = SilentListener()


def ended(folder, path, **model):
    """What a run computes, its directory being `folder`."""
    plain = {"labels": False, "max_posterior": False, "report": False}
    asked = job(path, folder, model=model, output=plain, seed=3)
    run_job(asked, QUIET)
    told = read_json(folder / "run.json")
    with (folder / "metrics.csv").open() as file:
        metrics = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    names = ("outcome", "n_iter", "log_likelihood", "restarts", "component_log", "warnings")
    density = told["outputs"]["log_density"]["sha256"]
    return {name: told[name] for name in names} | {"metrics": metrics, "log_density": density}


@pytest.mark.parametrize(
    ("first", "model"),
    [
        (0, {}),
        (1, {}),
        (4, {"tol": 0.3}),  # one small step is no convergence where there is room to look ahead
        (7, {"tol": 1e-9}),
    ],
    ids=["initialised", "one-pass", "converged-too-soon", "stopped"],
)
def test_a_raised_max_iter_ends_as_if_it_had_been_so_from_the_start(tmp_path, first, model):
    rows = gaussian_clusters(5000, 3, 3, spread=2.0)[0].astype(np.float32)
    path = write_zarr(tmp_path / "rows.zarr", rows)
    ended(tmp_path / "raised", path, max_iter=first, **model)
    raised = ended(tmp_path / "raised", path, max_iter=19, **model)
    assert raised == ended(tmp_path / "reference", path, max_iter=19, **model)


@pytest.mark.parametrize("how", ["absent", "empty"])
def test_a_raised_max_iter_is_refused_where_the_state_is_gone(tmp_path, how):
    rows = gaussian_clusters(2000, 3, 3, spread=2.0)[0]
    path, run = write_zarr(tmp_path / "rows.zarr", rows), tmp_path / "run"
    ended(run, path, max_iter=1, tol=0)
    shutil.rmtree(run / "checkpoint")
    if how == "empty":
        (run / "checkpoint").mkdir()
    before = read_json(run / "run.json")
    with pytest.raises(OutputExistsError, match=r"stopped at model\.max_iter 1,.*Put checkpoint/"):
        ended(run, path, max_iter=9, tol=0)
    assert read_json(run / "run.json") == before
    assert ended(run, path, max_iter=1, tol=0)["n_iter"] == 1


@pytest.mark.parametrize(
    ("max_iter", "n_iter", "may_go_on"),
    [(30, 30, True), (30, 29, True), (30, 28, False), (3, 1, True)],
)
def test_the_state_is_kept_where_a_larger_max_iter_may_end_otherwise(
    tmp_path, max_iter, n_iter, may_go_on
):
    family = family_named("spherical")
    parameters = Parameters.of(family, np.ones(1), np.zeros((1, 2)), np.ones(1))
    # Whatever the outcome: the last iteration alone may floor variances, or converge.
    candidate = FitCandidate(CandidateId(), parameters, n_iter, outcome=Outcome.COMPONENT_COLLAPSED)
    store = CheckpointStore(tmp_path, "a run", warn=pytest.fail)
    with RunState(store, every_s=60, max_iter=max_iter) as state:
        state.save_em_state(EmState((candidate,), n_iter))
        assert state.may_go_on is may_go_on
    with RunState(store, every_s=60, max_iter=max_iter) as state:
        assert state.em_state() is not None
        assert state.may_go_on is may_go_on  # killed after its last pass


def kernels(rows, dtype):
    """The kernels of one pass over rows, in one precision."""
    family = family_named("diag")
    parameters = Parameters.of(family, np.ones(1), np.zeros((1, 64)), np.ones((1, 64)))
    single = dtype is np.float32
    return (choose(parameters, Guard(float((rows**2).sum(axis=1).max())), single=single),)


def test_finished_parts_of_a_pass_are_taken_by_that_very_pass_alone(tmp_path, monkeypatch):
    rows = np.random.default_rng(2).normal(size=(13_000, 64)).astype(np.float32)
    dataset = ArrayDataset(rows)
    assert dataset.grid.n_blocks >= 2
    units = Standardisation.from_sample(rows, common_scale=False)

    def statistics(dtype, dies_at=0):
        """A pass over all rows; how many blocks it read, and what came of it."""
        read = []
        call = EStepTask.__call__

        def counted(self, part):
            for pair in call(self, part):
                read.append(pair[0])
                if len(read) == dies_at:
                    raise InterruptedError
                yield pair

        store = CheckpointStore(tmp_path, "a run", warn=pytest.fail)
        with RunState(store, every_s=1e-9, max_iter=9) as state, ThreadExecutor(1) as executor:
            monkeypatch.setattr(EStepTask, "__call__", counted)
            one = EStepRunner(dataset, executor, "numpy", of_pass=state.of_pass)
            try:
                total = one(tuple(EStepRequest(k, units) for k in kernels(rows, dtype)))
            finally:
                monkeypatch.undo()
        return len(read), total.candidates[0].log_likelihood

    whole = {dtype: statistics(dtype) for dtype in (np.float32, np.float64)}
    assert whole[np.float32][1] != whole[np.float64][1]
    for p in tmp_path.iterdir():
        p.unlink()
    n_blocks = dataset.grid.in_parts().n_blocks  # leaves of the pass
    with pytest.raises(InterruptedError):
        statistics(np.float64, dies_at=n_blocks)
    assert statistics(np.float32) == whole[np.float32]
    with pytest.raises(InterruptedError):
        statistics(np.float64, dies_at=n_blocks)
    read, log_likelihood = statistics(np.float64)
    assert read < n_blocks
    assert log_likelihood == whole[np.float64][1]
