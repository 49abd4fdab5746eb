from __future__ import annotations

import collections

import numpy as np
import pytest

from dgmm.errors import PoisonBlocksError
from dgmm.execution.scheduling.affinity import BlockLocations
from dgmm.execution.scheduling.balance import (
    DEATHS_ALONE,
    DEATHS_IN_COMPANY,
    LATE_S,
    LOOK_S,
    Assignment,
    Balance,
)
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import split_ranges


def started(n_runs: int, threads: dict[str, int]) -> tuple[Balance, list[Assignment]]:
    balance = Balance(split_ranges(n_runs, n_runs))
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


@pytest.mark.parametrize(("align", "named"), [(1, "block 9"), (2, "blocks 8 to 9")])
def test_the_block_that_kills_while_alone_is_named_and_all_others_are_done_first(
    align: int, named: str
) -> None:
    balance = Balance([BlockRange(4 * i, 4 * i + 4) for i in range(8)], align=align)
    balance.follow({"a": 1, "b": 1}, 0.0)
    finished: set[int] = set()

    def one_round() -> None:
        for ticket in balance.assign(0.0):
            in_flight.add(ticket)
        for ticket in sorted(in_flight, key=lambda ticket: ticket.serial):
            if ticket in in_flight and 9 not in range(*ticket.run):
                in_flight.discard(ticket)
                if balance.complete(ticket, 0.0) is not None:
                    assert finished.isdisjoint(range(*ticket.run))
                    finished.update(range(*ticket.run))
            elif ticket in in_flight:
                other = {"a": "b", "b": "a"}[ticket.worker]
                in_flight.difference_update(balance.follow({other: 1}, 0.0))
                balance.follow({"a": 1, "b": 1}, 0.0)

    in_flight: set[Assignment] = set()
    with pytest.raises(PoisonBlocksError, match=f"{named} ended 3 workers while alone"):
        collections.deque((one_round() for _ in range(100)), maxlen=0)
    assert finished == set(range(32)) - set(range(10 - align, 10))


def test_suspects_that_may_be_innocent_are_done_before_the_next_dies_again() -> None:
    balance, given = started(2, {"a": 1})
    for _ in range(DEATHS_IN_COMPANY):  # both are suspects now
        kill(balance, "a", {})
        given = balance.assign(0.0)
    (first,) = given
    kill(balance, "a", {})
    (second,) = balance.assign(0.0)
    assert second.run != first.run
    assert balance.complete(second, 1.0) is not None
    (again,) = balance.assign(1.0)
    assert again.run == first.run


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


def test_late_runs_are_not_looked_for_after_every_result(monkeypatch: pytest.MonkeyPatch) -> None:
    balance, given = started(300, {f"w{i}": 3 for i in range(100)})
    looks = []
    copies = Balance._copies
    monkeypatch.setattr(Balance, "_copies", lambda self, i: looks.append(i) or copies(self, i))
    for i, ticket in enumerate(given[:200]):
        balance.complete(ticket, 1.0 + i * LOOK_S / 100)
        balance.assign(1.0 + i * LOOK_S / 100)
        balance.reissue(1.0 + i * LOOK_S / 100)
    assert 0 < len(looks) <= 3 * 300 + 2 * 200  # one look a second, and a few for each result


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


def one_pass(
    homes: BlockLocations, runs: list[BlockRange], speed: dict[str, int]
) -> dict[BlockRange, str]:
    """Who did each run, where a worker of speed s does its oldest run at every s-th tick."""
    balance, did = Balance(runs, homes), {}
    in_flight: dict[str, list[Assignment]] = {worker: [] for worker in speed}
    balance.follow(dict.fromkeys(speed, 1), 0.0)
    for tick in range(1, 1000):
        for ticket in balance.assign(float(tick)):
            in_flight[ticket.worker].append(ticket)
        for worker, every in speed.items():
            if tick % every == 0 and in_flight[worker]:
                ticket = in_flight[worker].pop(0)
                assert balance.complete(ticket, float(tick)) == []
                did[ticket.run] = worker
        if balance.is_finished:
            return did
    raise AssertionError("the pass does not end")


def test_every_pass_gives_a_worker_the_runs_it_had_in_the_first() -> None:
    homes, runs, speed = BlockLocations(), split_ranges(100, 9), {"a": 2, "b": 1, "c": 2}
    first = one_pass(homes, runs, speed)
    assert len(set(first.values())) == 3
    for _ in range(3):
        assert one_pass(homes, runs, speed) == first


def test_an_idle_worker_takes_what_waits_for_another() -> None:
    homes, runs = BlockLocations(), split_ranges(12, 12)
    first = one_pass(homes, runs, {"a": 1, "b": 1})
    second = one_pass(homes, runs, {"a": 1, "b": 4})
    taken = [run for run in runs if first[run] == "b" and second[run] == "a"]
    assert taken
    assert all(second[run] == "a" for run in runs if first[run] == "a")
    # What was taken over once is still at home where it was read first.
    assert one_pass(homes, runs, {"a": 1, "b": 1}) == first


def test_a_worker_whose_thread_is_busy_leaves_the_others_theirs() -> None:
    homes, runs = BlockLocations(), split_ranges(6, 6)
    for i, run in enumerate(runs):
        homes.settle(run, "a" if i < 2 else "b")
    balance = Balance(runs, homes)
    balance.follow({"a": 1, "b": 1}, 0.0)
    given = balance.assign(0.0)
    assert [t.worker for t in given].count("a") == 2
    own = next(t for t in given if t.worker == "a")
    balance.complete(own, 1.0)
    assert balance.assign(1.0) == []
    balance.complete(next(t for t in given if t.worker == "a" and t != own), 2.0)
    (taken,) = balance.assign(2.0)
    assert (taken.worker, taken.run) == ("a", runs[-1])


def test_runs_of_a_worker_that_left_between_passes_are_anybodys() -> None:
    homes, runs = BlockLocations(), split_ranges(8, 8)
    one_pass(homes, runs, {"a": 1, "b": 1})
    assert set(one_pass(homes, runs, {"b": 1}).values()) == {"b"}
    assert {homes.of(run) for run in runs} == {"b"}


def test_a_newcomer_is_given_runs_of_others_at_once() -> None:
    homes, runs = BlockLocations(), split_ranges(12, 12)
    one_pass(homes, runs, {"a": 1, "b": 1})
    assert "c" in one_pass(homes, runs, {"a": 1, "b": 1, "c": 1}).values()


def test_runs_cut_anew_go_to_the_worker_with_most_of_their_blocks() -> None:
    homes = BlockLocations()
    for start, worker in enumerate("abab"):
        homes.settle(BlockRange(10 * start, 10 * start + 10), worker)
    assert [homes.of(run) for run in split_ranges(40, 5, align=8)] == ["a", "b", "b", "a", "b"]
    homes.settle(BlockRange(5, 60), "c")
    assert [homes.of(BlockRange(i, i + 1)) for i in (0, 9, 15, 39, 40, 59, 60)] == [*"aabbcc", None]
    homes.keep({"b", "c"})
    assert homes.of(BlockRange(0, 10)) is None
    assert homes.of(BlockRange(0, 60)) == "b"


def test_homes_agree_with_a_table_of_blocks() -> None:
    rng = np.random.default_rng(0)
    homes, table = BlockLocations(), np.full(50, "", dtype="U1")
    for _ in range(300):
        start, stop = sorted(rng.choice(51, 2, replace=False))
        worker = str(rng.choice(list("abc")))
        homes.settle(BlockRange(int(start), int(stop)), worker)
        table[start:stop][table[start:stop] == ""] = worker
        if rng.random() < 0.1:
            homes.keep({"a", "b"})
            table[table == "c"] = ""
        for block in range(50):
            assert (homes.of(BlockRange(block, block + 1)) or "") == table[block]
