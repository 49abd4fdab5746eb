"""Rounds that others disturb are repeated, and one thread is measured against two."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import goals, measuring, two_threads
from benchmarks.goals import Shape
from benchmarks.measuring import OthersClock, alternate_undisturbed
from benchmarks.mixtures import clustered_rows, start_near
from benchmarks.our_em import OurEM
from benchmarks.peers import environments
from benchmarks.peers.environments import MissingPeerError
from benchmarks.results import Results


@pytest.fixture
def shares(monkeypatch):
    """What others have of the processors, round by round; then nothing."""
    told = []
    monkeypatch.setattr(OthersClock, "share", lambda _: told.pop(0) if told else 0.0)
    return told


def test_disturbed_rounds_are_repeated(shares):
    shares += [0.4, 0.0, 0.2, 0.05]
    turns = iter(range(100))
    (one, two), others = alternate_undisturbed(
        [lambda: [float(next(turns))], lambda: [float(next(turns))]], budget=60.0, least=2, most=2
    )
    assert sorted(one) == [2.0, 6.0]  # rounds 1 and 3
    assert sorted(two) == [3.0, 7.0]
    assert others == 0.05


def test_the_least_disturbed_are_kept_where_time_is_up(shares, monkeypatch):
    monkeypatch.setattr(measuring, "_MOST_BUDGETS", 0.0)
    shares += [0.4, 0.1, 0.2, 0.3]
    turns = iter([1.0, 2.0, 3.0, 4.0])
    ((one,), others) = alternate_undisturbed([lambda: [next(turns)]], budget=1e-9, least=2)
    assert one == [2.0, 1.0]  # the least disturbed first
    assert others == 0.4


def test_time_of_this_process_is_not_that_of_others(monkeypatch):
    seconds = {"_busy_s": [10.0, 14.0], "_own_s": [3.0, 6.0]}
    for name, values in seconds.items():
        monkeypatch.setattr(measuring, name, lambda values=values: values.pop(0))
    monkeypatch.setattr(measuring.time, "perf_counter", iter([0.0, 5.0]).__next__)
    monkeypatch.setattr(measuring.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert OthersClock().share() == pytest.approx(1.0 / 10.0)


def test_only_processors_of_this_process_are_counted(monkeypatch):
    lines = ["cpu  900 0 0 0 0 0 0 0 0 0", "cpu0 100 10 20 500 40 1 2 3 0 0"]
    lines += ["cpu1 7 0 0 0 0 0 0 0 0 0", "intr 5", ""]
    monkeypatch.setattr(measuring.Path, "read_text", lambda *_: "\n".join(lines))
    monkeypatch.setattr(measuring.os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(measuring.os, "sysconf", lambda _: 100)
    assert measuring._busy_s() == pytest.approx(1.36)  # without idle and waiting for a disk


def test_passes_are_timed_without_their_m_step():
    X, centres = clustered_rows(3000, 3, 2)
    with OurEM(X, start_near(centres, "full"), n_threads=1) as ours:
        (taken,) = ours.passes()
        assert 0.0 < taken < ours.step()[0] * 1000
        assert ours.pass_s > 0.0


def test_a_trial_measures_every_family_and_names_a_missing_peer(monkeypatch):
    few = {"full": (Shape(2000, 2, 2),), "tied": (Shape(2000, 3, 2),)}
    monkeypatch.setattr(two_threads, "SHAPES", few)

    def missing(*_):
        raise MissingPeerError("oneDAL cannot be installed here")

    monkeypatch.setattr(environments, "interpreter", missing)
    monkeypatch.setattr("benchmarks.peers.process.interpreter", missing)
    results = Results("threads", {}, is_trial=True)
    two_threads.run(results)
    found = [(m.what, m.goal) for m in results.measurements]
    assert len(found) == 4
    assert {goal for _, goal in found} == {goals.SECOND_THREAD}
    assert [what.split(",")[0] for what, _ in found] == ["full", "full", "tied", "tied"]
    assert all(np.isfinite(m.value) for m in results.measurements)
    assert results.remarks == ["oneDAL cannot be installed here"]
