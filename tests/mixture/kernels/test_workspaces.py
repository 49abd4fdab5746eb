from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

from dgmm.mixture.backends import NumpyBackend
from dgmm.mixture.kernels import Workspace, Workspaces, workspace
from dgmm.mixture.kernels.tiles import total_of


def _address(own: Workspace) -> int:
    address: int = own.array("tile", (3, 4)).ctypes.data
    return address


def test_the_next_task_finds_the_memory_of_the_last_one() -> None:
    workspaces = Workspaces()
    with workspaces.borrowed(NumpyBackend()) as first:
        begin = _address(first)
    with workspaces.borrowed(NumpyBackend()) as second:
        assert second is first
        assert _address(second) == begin


def test_two_tasks_at_a_time_have_a_workspace_each() -> None:
    workspaces, both = Workspaces(), threading.Barrier(2)
    found = []

    def task() -> None:
        with workspaces.borrowed(NumpyBackend()) as own:
            found.append(_address(own))
            both.wait(30)

    for _ in range(2):
        threads = [threading.Thread(target=task) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found[0] != found[1]
    assert sorted(found[:2]) == sorted(found[2:])


def test_a_workspace_of_much_memory_ends_with_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    workspaces = Workspaces()
    with workspaces.borrowed(NumpyBackend()) as large:
        large.array("tile", (workspace._MOST_KEPT // 8 + 1,))
    with workspaces.borrowed(NumpyBackend()) as other:
        assert other is not large


def test_memory_that_is_made_latest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_MOST_KEPT", 1000)
    workspaces = Workspaces()
    with workspaces.borrowed(NumpyBackend()) as own:
        tile = own.array("tile", (10,))
        before = own.n_bytes
        own.latest("lists", lambda: (tile[2:], (np.zeros(50)[:7],)))
        assert own.n_bytes == before + 50 * 8  # a view of a buffer is no memory more
    with workspaces.borrowed(NumpyBackend()) as same:
        assert same is own
        same.latest("more lists", lambda: (np.zeros(200),))
    with workspaces.borrowed(NumpyBackend()) as other:
        assert other is not own


def test_what_could_not_be_made_leaves_nothing_behind() -> None:
    """It may have written to buffers that the one before has views of."""
    own = Workspace()

    def fails() -> int:
        raise MemoryError

    assert own.latest("first", lambda: 1) == 1
    with pytest.raises(MemoryError):
        own.latest("second", fails)
    assert own.latest("first", lambda: 2) == 2


def test_a_sum_of_log_densities_takes_weights_of_any_type() -> None:
    lse = np.full(4, -1.0, np.float32)
    assert total_of(lse, np.full(4, 3.0, np.float32), Workspace()) == -12.0
    assert total_of(lse, np.full(4, 3.0), Workspace()) == -12.0
    assert total_of(lse, None, Workspace()) == -4.0


def test_views_of_ever_other_sizes_are_not_kept() -> None:
    workspaces = Workspaces()
    for task in range(5):
        with workspaces.borrowed(NumpyBackend()) as own:
            for n in range(workspace._MOST_VIEWS):
                own.array("tile", (1000 - workspace._MOST_VIEWS * task - n,))
    assert len(own._views) <= workspace._MOST_VIEWS


def test_a_task_that_fails_gives_its_workspace_back() -> None:
    workspaces = Workspaces()
    with pytest.raises(ValueError, match="row 3"), workspaces.borrowed(NumpyBackend()) as first:
        raise ValueError("row 3")
    with workspaces.borrowed(NumpyBackend()) as second:
        assert second is first


def test_no_memory_travels_to_another_process() -> None:
    workspaces = Workspaces()
    with workspaces.borrowed(NumpyBackend()) as own:
        own.array("tile", (10_000,))
    sent = pickle.dumps(workspaces)
    assert len(sent) < 200
    assert pickle.loads(sent)._free == []  # noqa: S301 - our own


def test_what_is_kept_for_one_key_is_made_again_for_another() -> None:
    own, made = Workspace(), []

    def make(key: str) -> object:
        made.append(key)
        return np.empty(1)

    for key in ("a", "a", "b", "b", "a"):
        own.latest(key, lambda key=key: make(key))  # type: ignore[misc]
    assert made == ["a", "b", "a"]
