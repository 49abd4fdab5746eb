"""Streams are told apart by stage, seed and key, and are the same on every machine."""

from __future__ import annotations

from itertools import product

from dgmm.random_streams import Stage, stream


def test_streams_with_different_names_differ():
    keys = [(), (0,), (1,), (0, 0), (0, 1), (2**40,)]
    draws = {
        int(stream(stage, seed, *key).integers(2**63))
        for stage, seed, key in product(Stage, (0, 1, 2**70), keys)
    }
    assert len(draws) == len(Stage) * 3 * len(keys)


def test_a_stream_is_fixed_by_its_name():
    assert int(stream(Stage.SUMMARY, 0, 7).integers(2**63)) == FIRST_DRAW


def test_stages_keep_their_numbers():
    assert {stage.name: int(stage) for stage in Stage} == {
        "SUMMARY": 1,
        "INITIALISATION": 2,
        "SAMPLING": 3,
        "REPORT": 4,
        "SAMPLE_EM": 5,
        "FOLDS": 6,
        "STABILITY": 7,
        "COMPARISON": 8,
    }


#: Written down once; a change would change the bits of every run.
FIRST_DRAW = 6638318812128473314
