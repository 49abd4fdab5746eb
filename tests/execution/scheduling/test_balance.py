from __future__ import annotations

import collections

import numpy as np
import pytest

from dgmm.errors import PoisonBlocksError
from dgmm.execution.scheduling.affinity import BlockLocations
from dgmm.execution.scheduling.balance import Balance
from dgmm.execution.scheduling.in_flight import Assignment
from dgmm.execution.scheduling.stragglers import LATE_S, SEARCH_S
from dgmm.execution.scheduling.suspects import DEATHS_ALONE, DEATHS_OF_SUSPECT
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import split_ranges


def started(n_ranges: int, threads: dict[str, int]) -> tuple[Balance, list[Assignment]]:
    balance = Balance(split_ranges(n_ranges, n_ranges))
    balance.update_workers(threads, 0.0)
    return balance, balance.assign(0.0)


def test_each_worker_gets_two_ranges_a_thread_and_no_more() -> None:
    _, given = started(20, {"a": 1, "b": 3})
    assert [sum(assignment.worker == name for assignment in given) for name in "ab"] == [2, 6]


def test_few_ranges_are_spread_over_workers_before_any_gets_a_second() -> None:
    _, given = started(2, {"a": 1, "b": 1})
    assert {assignment.worker for assignment in given} == {"a", "b"}


def test_a_waiting_range_goes_to_a_worker_with_a_free_slot() -> None:
    balance, given = started(6, {"a": 1, "b": 1})
    first = next(assignment for assignment in given if assignment.worker == "b")
    assert balance.complete(first, 1.0) == []
    assert [assignment.worker for assignment in balance.assign(1.0)] == ["b"]


def test_ranges_of_a_worker_that_left_go_first_to_the_others() -> None:
    balance, given = started(4, {"a": 1, "b": 1})
    lost = balance.update_workers({"b": 1}, 1.0)
    assert lost == [assignment for assignment in given if assignment.worker == "a"]
    for assignment in given:
        if assignment.worker == "b":
            balance.complete(assignment, 2.0)
    again = balance.assign(2.0)
    assert [assignment.blocks for assignment in again] == [assignment.blocks for assignment in lost]
    assert {assignment.serial for assignment in again}.isdisjoint(
        {assignment.serial for assignment in given}
    )
    for assignment in again:
        balance.complete(assignment, 3.0)
    assert balance.is_finished


def test_a_result_that_comes_after_its_worker_was_given_up_is_discarded() -> None:
    balance, given = started(1, {"a": 1})
    balance.update_workers({}, 1.0)
    assert balance.complete(given[0], 2.0) is None
    assert not balance.is_finished


def test_a_worker_that_joins_gets_runs() -> None:
    balance, _ = started(6, {"a": 1})
    balance.update_workers({"a": 1, "b": 1}, 1.0)
    assert [assignment.worker for assignment in balance.assign(1.0)] == ["b", "b"]


def test_a_paused_worker_keeps_its_ranges_and_gets_no_more() -> None:
    balance, given = started(3, {"a": 1})
    assert balance.update_workers({"a": 1}, 1.0, paused={"a"}) == []
    balance.complete(given[0], 1.0)
    assert balance.assign(1.0) == []
    balance.update_workers({"a": 1}, 2.0)
    assert len(balance.assign(2.0)) == 1


def kill(balance: Balance, worker: str, others: dict[str, int]) -> None:
    """The worker leaves and another of the same name comes."""
    balance.update_workers(others, 0.0)
    balance.update_workers({worker: 1, **others}, 0.0)


def test_a_range_that_saw_three_deaths_is_alone_on_its_worker() -> None:
    balance, _ = started(2, {"a": 1})
    for _ in range(DEATHS_OF_SUSPECT):
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
    balance.update_workers({"a": 1, "b": 1}, 0.0)
    finished: set[int] = set()

    def one_round() -> None:
        for assignment in balance.assign(0.0):
            in_flight.add(assignment)
        for assignment in sorted(in_flight, key=lambda assignment: assignment.serial):
            if assignment in in_flight and 9 not in range(*assignment.blocks):
                in_flight.discard(assignment)
                if balance.complete(assignment, 0.0) is not None:
                    assert finished.isdisjoint(range(*assignment.blocks))
                    finished.update(range(*assignment.blocks))
            elif assignment in in_flight:
                other = {"a": "b", "b": "a"}[assignment.worker]
                in_flight.difference_update(balance.update_workers({other: 1}, 0.0))
                balance.update_workers({"a": 1, "b": 1}, 0.0)

    in_flight: set[Assignment] = set()
    with pytest.raises(PoisonBlocksError, match=f"{named} ended 3 workers while alone"):
        collections.deque((one_round() for _ in range(100)), maxlen=0)
    assert finished == set(range(32)) - set(range(10 - align, 10))


def test_suspects_that_may_be_innocent_are_done_before_the_next_dies_again() -> None:
    balance, given = started(2, {"a": 1})
    for _ in range(DEATHS_OF_SUSPECT):  # both are suspects now
        kill(balance, "a", {})
        given = balance.assign(0.0)
    (first,) = given
    kill(balance, "a", {})
    (second,) = balance.assign(0.0)
    assert second.blocks != first.blocks
    assert balance.complete(second, 1.0) is not None
    (again,) = balance.assign(1.0)
    assert again.blocks == first.blocks


def test_workers_that_die_together_accuse_no_run() -> None:
    balance, _ = started(2, {"a": 1, "b": 1})
    for _ in range(4 * (DEATHS_OF_SUSPECT + DEATHS_ALONE)):
        balance.update_workers({}, 0.0)
        balance.update_workers({"a": 1, "b": 1}, 0.0)
        given = balance.assign(0.0)
    for assignment in given:
        balance.complete(assignment, 1.0)
    assert balance.is_finished


def test_a_lost_message_is_nobodys_death() -> None:
    balance, given = started(1, {"a": 1})
    for _ in range(10 * DEATHS_ALONE):
        balance.withdraw(given[0], 0.0)
        given = balance.assign(0.0)
    assert balance.complete(given[0], 1.0) == []


def test_a_late_range_is_given_to_an_idle_worker_and_the_first_result_counts() -> None:
    balance, given = started(2, {"a": 1, "b": 1})
    late, quick = given
    balance.complete(quick, 1.0)
    assert balance.reissue(LATE_S - 1) == []
    (copy,) = balance.reissue(LATE_S + 1)
    assert (copy.blocks, copy.worker) == (late.blocks, quick.worker)
    assert balance.complete(copy, LATE_S + 2) == [late]
    assert balance.is_finished
    assert balance.complete(late, LATE_S + 3) is None


def test_late_ranges_are_not_looked_for_after_every_result(monkeypatch: pytest.MonkeyPatch) -> None:
    balance, given = started(300, {f"w{i}": 3 for i in range(100)})
    looks = []
    copies = Balance._copies
    monkeypatch.setattr(Balance, "_copies", lambda self, i: looks.append(i) or copies(self, i))
    for i, assignment in enumerate(given[:200]):
        balance.complete(assignment, 1.0 + i * SEARCH_S / 100)
        balance.assign(1.0 + i * SEARCH_S / 100)
        balance.reissue(1.0 + i * SEARCH_S / 100)
    assert 0 < len(looks) <= 3 * 300 + 2 * 200  # one look a second, and a few for each result


def test_a_range_is_not_late_while_the_others_took_as_long() -> None:
    balance, given = started(2, {"a": 1, "b": 1})
    balance.complete(given[1], 100.0)
    assert balance.reissue(499.0) == []
    assert len(balance.reissue(501.0)) == 1


def test_no_range_is_given_twice_while_others_wait() -> None:
    balance, _ = started(3, {"a": 1})
    balance.update_workers({"a": 1, "b": 1}, 10 * LATE_S)
    assert balance.reissue(10 * LATE_S) == []


def test_a_range_behind_another_counts_its_time_from_when_it_begins() -> None:
    balance, given = started(2, {"a": 1})
    balance.complete(given[0], 5.0)
    balance.update_workers({"a": 1, "b": 1}, 5.0)
    assert balance.reissue(LATE_S + 4.0) == []
    assert len(balance.reissue(LATE_S + 6.0)) == 1


def one_pass(
    locations: BlockLocations, ranges: list[BlockRange], speed: dict[str, int]
) -> dict[BlockRange, str]:
    """Who did each range, where a worker of speed s does its oldest at every s-th tick."""
    balance, did = Balance(ranges, locations), {}
    in_flight: dict[str, list[Assignment]] = {worker: [] for worker in speed}
    balance.update_workers(dict.fromkeys(speed, 1), 0.0)
    for tick in range(1, 1000):
        for assignment in balance.assign(float(tick)):
            in_flight[assignment.worker].append(assignment)
        for worker, every in speed.items():
            if tick % every == 0 and in_flight[worker]:
                assignment = in_flight[worker].pop(0)
                assert balance.complete(assignment, float(tick)) == []
                did[assignment.blocks] = worker
        if balance.is_finished:
            return did
    raise AssertionError("the pass does not end")


def test_every_pass_gives_a_worker_the_ranges_it_had_in_the_first() -> None:
    locations, ranges, speed = BlockLocations(), split_ranges(100, 9), {"a": 2, "b": 1, "c": 2}
    first = one_pass(locations, ranges, speed)
    assert len(set(first.values())) == 3
    for _ in range(3):
        assert one_pass(locations, ranges, speed) == first


def test_an_idle_worker_takes_what_waits_for_another() -> None:
    locations, ranges = BlockLocations(), split_ranges(12, 12)
    first = one_pass(locations, ranges, {"a": 1, "b": 1})
    second = one_pass(locations, ranges, {"a": 1, "b": 4})
    taken = [blocks for blocks in ranges if first[blocks] == "b" and second[blocks] == "a"]
    assert taken
    assert all(second[blocks] == "a" for blocks in ranges if first[blocks] == "a")
    # What was taken over once still belongs where it was read first.
    assert one_pass(locations, ranges, {"a": 1, "b": 1}) == first


def test_a_worker_whose_thread_is_busy_leaves_the_others_theirs() -> None:
    locations, ranges = BlockLocations(), split_ranges(6, 6)
    for i, blocks in enumerate(ranges):
        locations.record(blocks, "a" if i < 2 else "b")
    balance = Balance(ranges, locations)
    balance.update_workers({"a": 1, "b": 1}, 0.0)
    given = balance.assign(0.0)
    assert [t.worker for t in given].count("a") == 2
    own = next(t for t in given if t.worker == "a")
    balance.complete(own, 1.0)
    assert balance.assign(1.0) == []
    balance.complete(next(t for t in given if t.worker == "a" and t != own), 2.0)
    (taken,) = balance.assign(2.0)
    assert (taken.worker, taken.blocks) == ("a", ranges[-1])


def test_ranges_of_a_worker_that_left_between_passes_are_anybodys() -> None:
    locations, ranges = BlockLocations(), split_ranges(8, 8)
    one_pass(locations, ranges, {"a": 1, "b": 1})
    assert set(one_pass(locations, ranges, {"b": 1}).values()) == {"b"}
    assert {locations.worker_of(blocks) for blocks in ranges} == {"b"}


def test_a_newcomer_is_given_ranges_of_others_at_once() -> None:
    locations, ranges = BlockLocations(), split_ranges(12, 12)
    one_pass(locations, ranges, {"a": 1, "b": 1})
    assert "c" in one_pass(locations, ranges, {"a": 1, "b": 1, "c": 1}).values()


def test_ranges_cut_anew_go_to_the_worker_with_most_of_their_blocks() -> None:
    locations = BlockLocations()
    for start, worker in enumerate("abab"):
        locations.record(BlockRange(10 * start, 10 * start + 10), worker)
    assert [locations.worker_of(blocks) for blocks in split_ranges(40, 5, align=8)] == [
        "a",
        "b",
        "b",
        "a",
        "b",
    ]
    locations.record(BlockRange(5, 60), "c")
    assert [locations.worker_of(BlockRange(i, i + 1)) for i in (0, 9, 15, 39, 40, 59, 60)] == [
        *"aabbcc",
        None,
    ]
    locations.retain({"b", "c"})
    assert locations.worker_of(BlockRange(0, 10)) is None
    assert locations.worker_of(BlockRange(0, 60)) == "b"


def test_block_locations_agree_with_a_table_of_blocks() -> None:
    rng = np.random.default_rng(0)
    locations, table = BlockLocations(), np.full(50, "", dtype="U1")
    for _ in range(300):
        start, stop = sorted(rng.choice(51, 2, replace=False))
        worker = str(rng.choice(list("abc")))
        locations.record(BlockRange(int(start), int(stop)), worker)
        table[start:stop][table[start:stop] == ""] = worker
        if rng.random() < 0.1:
            locations.retain({"a", "b"})
            table[table == "c"] = ""
        for block in range(50):
            assert (locations.worker_of(BlockRange(block, block + 1)) or "") == table[block]
