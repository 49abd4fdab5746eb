"""Two runs, one output: one works, the other says who; the dead are replaced, the late stop."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from clusters import job

from dgmm.checkpoint import CheckpointStore
from dgmm.errors import OutputExistsError
from dgmm.events import SilentListener
from dgmm.job import lock
from dgmm.job.directory import RunDirectory
from dgmm.job.lock import Holder, locked

ELSEWHERE = Holder(
    "another-machine", 4711, "2026-11-21T00:00:00+00:00", "boot", 7, "their-token", 3
)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    monkeypatch.setattr(lock, "LEASE_S", 0.4)


def put(folder: Path, holder: Holder) -> None:
    (folder / lock.NAME).write_bytes(json.dumps(asdict(holder)).encode().ljust(512))


def held(folder: Path) -> dict:
    return json.loads((folder / lock.NAME).read_bytes())


def test_a_holder_says_who_it_is_and_lives(tmp_path: Path) -> None:
    with locked(tmp_path, tmp_path):
        first = held(tmp_path)
        assert (first["host"], first["pid"]) == (socket.gethostname(), os.getpid())
        threading.Event().wait(0.3)
        assert held(tmp_path)["beats"] > first["beats"]
    assert held(tmp_path)["is_released"]
    with locked(tmp_path, tmp_path, pytest.fail):
        assert held(tmp_path)["number"] == 2


def test_the_second_run_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path, tmp_path):
        told = f"process {os.getpid()} on .*, since 2"
        with pytest.raises(OutputExistsError, match=told), locked(tmp_path, tmp_path):
            pass
        threading.Event().wait(0.2)
        assert held(tmp_path)["number"] == 1


def test_a_holder_elsewhere_that_lives_is_respected(tmp_path: Path) -> None:
    put(tmp_path, ELSEWHERE)
    ended = threading.Event()

    def beat() -> None:
        beats = 3
        while not ended.wait(0.05):
            beats += 1
            put(tmp_path, replace(ELSEWHERE, beats=beats))

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        told = "process 4711 on another-machine"
        with pytest.raises(OutputExistsError, match=told), locked(tmp_path, tmp_path):
            pass
    finally:
        ended.set()
        beating.join()


def test_the_lock_of_a_dead_holder_is_taken_over_under_the_next_number(tmp_path: Path) -> None:
    put(tmp_path, ELSEWHERE)
    said: list[str] = []
    with locked(tmp_path, tmp_path, said.append):
        assert held(tmp_path)["number"] == ELSEWHERE.number + 1
    (warning,) = said
    assert "taken over from process 4711 on another-machine" in warning


def test_a_dead_holder_on_this_machine_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LEASE_S", 60.0)
    put(tmp_path, replace(ELSEWHERE, machine=lock.machine()))
    with locked(tmp_path, tmp_path):
        assert held(tmp_path)["number"] == 8


def test_a_holder_that_wakes_up_after_its_lease_stops(tmp_path: Path) -> None:
    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        with locked(tmp_path, tmp_path) as mine:
            assert not mine.is_lost
            put(tmp_path, ELSEWHERE)  # who could not see that we are alive
            assert stopped.wait(5)
            assert mine.is_lost
        assert held(tmp_path)["number"] == ELSEWHERE.number, "the new holder's words were wiped out"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_words_that_are_no_holder_are_no_holder(tmp_path: Path) -> None:
    (tmp_path / lock.NAME).write_bytes(b'{"host": 3}garbage')
    with locked(tmp_path, tmp_path):
        assert held(tmp_path)["number"] == 1


def test_a_file_system_without_locks_is_served_by_the_count_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuses)
    told = f"process {os.getpid()} on "
    with (
        locked(tmp_path, tmp_path),
        pytest.raises(OutputExistsError, match=told),
        locked(tmp_path, tmp_path),
    ):
        pass
    with locked(tmp_path, tmp_path):
        assert held(tmp_path)["number"] == 2


@pytest.fixture
def _no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuses)


@pytest.mark.usefixtures("_no_flock")
@pytest.mark.parametrize("before", [None, replace(ELSEWHERE, is_released=True), ELSEWHERE])
@pytest.mark.parametrize("late", [False, True], ids=["together", "one-late"])
def test_of_newcomers_that_read_the_same_lock_one_enters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Holder | None, late: bool
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 60.0)  # nobody is saved by the next beat
    if before is not None:
        put(tmp_path, before)
    n, inside, most, refused = 3, [], [], []
    have_read, wait_for_first = threading.Barrier(n), threading.Event()
    with_number = lock._with_number

    def slowly(*arguments, **words):
        have_read.wait(10)
        if late and threading.current_thread().name != "0":
            assert wait_for_first.wait(10)  # the first one has written, and works
        return with_number(*arguments, **words)

    monkeypatch.setattr(lock, "_with_number", slowly)

    def enter() -> None:
        try:
            with locked(tmp_path, tmp_path):
                inside.append(threading.current_thread().name)
                most.append(len(inside))
                wait_for_first.set()
                threading.Event().wait(0.8)
                inside.pop()
        except OutputExistsError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=enter, name=str(i)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert len(refused) == n - 1
    assert all("is in use by a running job: process" in text for text in refused)
    assert [p.name for p in tmp_path.iterdir()] == [lock.NAME]


def test_a_file_system_that_numbers_open_files_otherwise_takes_no_lock_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(tmp_path, tmp_path) as mine:
        monkeypatch.setattr(os.path, "samestat", lambda *_: False)
        assert mine.loss() is None
        (tmp_path / lock.NAME).rename(tmp_path / "other")
        assert mine.is_lost


@pytest.mark.usefixtures("_no_flock")
def test_a_newcomer_that_wakes_up_after_a_lease_gives_way_to_who_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, wakes_up, refused = lock.write_holder, threading.Event(), []

    def slowly(handle: int, holder: Holder, **how: bool) -> None:
        if holder.number == 1 and how.get("is_synced", True):  # it has its number, and sleeps
            assert wakes_up.wait(10)
        write(handle, holder, **how)

    monkeypatch.setattr(lock, "write_holder", slowly)

    def enter() -> None:
        try:
            with locked(tmp_path, tmp_path):
                refused.append("entered")
        except OutputExistsError as error:
            refused.append(str(error))

    sleeper = threading.Thread(target=enter)
    sleeper.start()
    while not (tmp_path / f"{lock.NAME}.1").exists():
        threading.Event().wait(0.01)
    with locked(tmp_path, tmp_path) as mine:
        assert held(tmp_path)["number"] == 2
        wakes_up.set()
        sleeper.join()
        assert not mine.is_lost
        assert held(tmp_path)["number"] == 2
    (words,) = refused
    assert "is in use by a running job" in words
    assert [p.name for p in tmp_path.iterdir()] == [lock.NAME]


def test_a_newcomer_that_was_killed_before_it_wrote_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, ELSEWHERE)
    (tmp_path / f"{lock.NAME}.8").touch()
    with locked(tmp_path, tmp_path):
        assert held(tmp_path)["number"] == 9
        assert {p.name for p in tmp_path.iterdir()} == {lock.NAME, f"{lock.NAME}.9"}
    assert [p.name for p in tmp_path.iterdir()] == [lock.NAME]


def test_a_run_that_has_lost_its_directory_writes_nothing_more(tmp_path: Path) -> None:
    wanted = job(tmp_path / "absent.zarr", tmp_path / "run")
    run_json, state = tmp_path / "run" / "run.json", tmp_path / "run" / "checkpoint"
    records = []

    def lose() -> None:
        with (
            RunDirectory.opened(wanted, SilentListener()) as directory,
            directory.recorded("run", SilentListener()),
        ):
            records.append(run_json.read_bytes())
            put(tmp_path / "run", ELSEWHERE)
            CheckpointStore(state, "run", print, lambda: directory.is_lost).save("em", 1)
            raise LookupError

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(OutputExistsError, match="was taken over by process 4711"):
            lose()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [run_json.read_bytes()] == records
    assert not state.exists()


def test_a_run_that_waits_for_a_holder_says_first_for_whom(tmp_path: Path) -> None:
    put(tmp_path, ELSEWHERE)
    (tmp_path / f"{lock.NAME}.8").write_bytes(b"no holder")
    told: list[str] = []
    with locked(tmp_path, Path("shown"), note=told.append):
        assert held(tmp_path)["number"] == 9
    first, second = told
    assert first.startswith("shown/lock names process 4711 on another-machine")
    assert second == (
        "another run has made shown/lock.8: waiting 0.45 s at most, to see whether that run still "
        "lives"
    )


IRREGULAR = {
    "link": lambda path: path.symlink_to("elsewhere"),
    "loop": lambda path: path.symlink_to(path),
    "FIFO": os.mkfifo,
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", IRREGULAR)
def test_a_number_that_no_run_has_made_is_passed_over_without_waiting(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LEASE_S", 60.0)
    for number in (1, 2):
        IRREGULAR[kind](tmp_path / f"{lock.NAME}.{number}")
    with locked(tmp_path, tmp_path, pytest.fail, pytest.fail):
        assert held(tmp_path)["number"] == 3
    left = {p.name for p in tmp_path.iterdir()} - {lock.NAME}
    assert left == ({"lock.1", "lock.2"} if kind == "folder" else set())
