from __future__ import annotations

import collections

import pytest

from dgmm.data.blocks import Run
from dgmm.errors import DgmmError
from dgmm.execution.balance import (
    DEATHS_ALONE,
    DEATHS_IN_COMPANY,
    LATE_S,
    Balance,
    Ticket,
)
from dgmm.execution.executor import split_runs


def started(n_runs: int, threads: dict[str, int]) -> tuple[Balance, list[Ticket]]:
    balance = Balance(split_runs(n_runs, n_runs))
    balance.follow(threads, 0.0)
    return balance, balance.assign(0.0)


def test_each_worker_gets_two_runs_a_thread_and_no_more() -> None:
    _, given = started(20, {"a": 1, "b": 3})
    assert [sum(ticket.worker == name for ticket in given) for name in "ab"] == [2, 6]


def test_few_runs_are_spread_over_workers_before_any_gets_a_second() -> None:
    _, given = started(2, {"a": 1, "b": 1})
    assert {ticket.worker for ticket in given} == {"a", "b"}


def test_a_waiting_run_goes_to_whoever_has_room() -> None:
    balance, given = started(6, {"a": 1, "b": 1})
    first = next(ticket for ticket in given if ticket.worker == "b")
    assert balance.complete(first, 1.0) == []
    assert [ticket.worker for ticket in balance.assign(1.0)] == ["b"]


def test_runs_of_a_worker_that_left_go_first_to_the_others() -> None:
    balance, given = started(4, {"a": 1, "b": 1})
    lost = balance.follow({"b": 1}, 1.0)
    assert lost == [ticket for ticket in given if ticket.worker == "a"]
    for ticket in given:
        if ticket.worker == "b":
            balance.complete(ticket, 2.0)
    again = balance.assign(2.0)
    assert [ticket.run for ticket in again] == [ticket.run for ticket in lost]
    assert {ticket.serial for ticket in again}.isdisjoint({ticket.serial for ticket in given})
    for ticket in again:
        balance.complete(ticket, 3.0)
    assert balance.is_finished


def test_a_result_that_comes_after_its_worker_was_given_up_is_discarded() -> None:
    balance, given = started(1, {"a": 1})
    balance.follow({}, 1.0)
    assert balance.complete(given[0], 2.0) is None
    assert not balance.is_finished


def test_a_worker_that_joins_gets_runs() -> None:
    balance, _ = started(6, {"a": 1})
    balance.follow({"a": 1, "b": 1}, 1.0)
    assert [ticket.worker for ticket in balance.assign(1.0)] == ["b", "b"]


def test_a_resting_worker_keeps_its_runs_and_gets_no_more() -> None:
    balance, given = started(3, {"a": 1})
    assert balance.follow({"a": 1}, 1.0, resting={"a"}) == []
    balance.complete(given[0], 1.0)
    assert balance.assign(1.0) == []
    balance.follow({"a": 1}, 2.0)
    assert len(balance.assign(2.0)) == 1


def kill(balance: Balance, worker: str, others: dict[str, int]) -> None:
    """The worker leaves and another of the same name comes."""
    balance.follow(others, 0.0)
    balance.follow({worker: 1, **others}, 0.0)


def test_a_run_that_saw_three_deaths_is_alone_on_its_worker() -> None:
    balance, _ = started(2, {"a": 1})
    for _ in range(DEATHS_IN_COMPANY):
        kill(balance, "a", {})
        given = balance.assign(0.0)
    assert len(given) == 1
    balance.complete(given[0], 1.0)
    assert len(balance.assign(1.0)) == 1


def test_a_run_that_kills_while_alone_is_named_and_the_others_are_done_first() -> None:
    balance = Balance([Run(4 * i, 4 * i + 4) for i in range(8)])
    balance.follow({"a": 1, "b": 1}, 0.0)
    finished = set()
    poison = Run(8, 12)

    def one_round() -> None:
        for ticket in balance.assign(0.0):
            in_flight.add(ticket)
        for ticket in sorted(in_flight, key=lambda ticket: ticket.serial):
            if ticket in in_flight and ticket.run != poison:
                in_flight.discard(ticket)
                if balance.complete(ticket, 0.0) is not None:
                    finished.add(ticket.run)
            elif ticket in in_flight:
                other = {"a": "b", "b": "a"}[ticket.worker]
                in_flight.difference_update(balance.follow({other: 1}, 0.0))
                balance.follow({"a": 1, "b": 1}, 0.0)

    in_flight: set[Ticket] = set()
    with pytest.raises(DgmmError, match="blocks 8 to 11 ended 3 workers while alone"):
        collections.deque((one_round() for _ in range(100)), maxlen=0)
    assert len(finished) == 7


def test_workers_that_die_together_accuse_no_run() -> None:
    balance, _ = started(2, {"a": 1, "b": 1})
    for _ in range(4 * (DEATHS_IN_COMPANY + DEATHS_ALONE)):
        balance.follow({}, 0.0)
        balance.follow({"a": 1, "b": 1}, 0.0)
        given = balance.assign(0.0)
    for ticket in given:
        balance.complete(ticket, 1.0)
    assert balance.is_finished


def test_a_lost_message_is_nobodys_death() -> None:
    balance, given = started(1, {"a": 1})
    for _ in range(10 * DEATHS_ALONE):
        balance.withdraw(given[0], 0.0)
        given = balance.assign(0.0)
    assert balance.complete(given[0], 1.0) == []


def test_a_late_run_is_given_to_an_idle_worker_and_the_first_result_counts() -> None:
    balance, given = started(2, {"a": 1, "b": 1})
    late, quick = given
    balance.complete(quick, 1.0)
    assert balance.reissue(LATE_S - 1) == []
    (copy,) = balance.reissue(LATE_S + 1)
    assert (copy.run, copy.worker) == (late.run, quick.worker)
    assert balance.complete(copy, LATE_S + 2) == [late]
    assert balance.is_finished
    assert balance.complete(late, LATE_S + 3) is None


def test_a_run_is_not_late_while_the_others_took_as_long() -> None:
    balance, given = started(2, {"a": 1, "b": 1})
    balance.complete(given[1], 100.0)
    assert balance.reissue(499.0) == []
    assert len(balance.reissue(501.0)) == 1


def test_no_run_is_given_twice_while_others_wait() -> None:
    balance, _ = started(3, {"a": 1})
    balance.follow({"a": 1, "b": 1}, 10 * LATE_S)
    assert balance.reissue(10 * LATE_S) == []


def test_a_run_behind_another_counts_its_time_from_when_it_begins() -> None:
    balance, given = started(2, {"a": 1})
    balance.complete(given[0], 5.0)
    balance.follow({"a": 1, "b": 1}, 5.0)
    assert balance.reissue(LATE_S + 4.0) == []
    assert len(balance.reissue(LATE_S + 6.0)) == 1
