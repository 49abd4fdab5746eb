"""Random streams keyed by what they are for, so that no draw depends on the order of work.

A stream is named by its stage, the job's seed and a key (a block, a restart, a component count);
two streams with different names are independent, equal names give equal bits on every machine.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.random import PCG64DXSM, Generator, SeedSequence

from dgmm.errors import DataError

#: What scikit-learn calls a random state.
RandomState = int | np.random.Generator | np.random.RandomState | None
_LARGEST_SEED = 2**63 - 1


class Stage(IntEnum):
    """What randomness is for; the numbers are part of a run's bits and never change."""

    SUMMARY = 1
    INITIALISATION = 2
    SAMPLING = 3
    REPORT = 4
    SAMPLE_EM = 5
    FOLDS = 6
    STABILITY = 7
    COMPARISON = 8


def stream(stage: Stage, seed: int, *key: int) -> Generator:
    """Return the generator of one stage, seed and key.

    Parameters
    ----------
    stage : Stage
        What the draws are for.
    seed : int
        The job's seed, at least 0.
    *key : int
        What tells this stream from the others of its stage, each at least 0.

    Examples
    --------
    >>> first = stream(Stage.SUMMARY, 0, 7).integers(10**6)
    >>> bool(first == stream(Stage.SUMMARY, 0, 7).integers(10**6))
    True
    """
    return Generator(PCG64DXSM(SeedSequence(entropy=seed, spawn_key=(int(stage), *key))))


def seed_from(random_state: RandomState) -> int:
    """Return an integer seed; fresh entropy for None.

    Parameters
    ----------
    random_state
        An integer of at least 0, a generator to draw one from, or None.

    Raises
    ------
    DataError
        If it is anything else.
    """
    if random_state is None:
        return int(SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(_LARGEST_SEED))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if not isinstance(random_state, int | np.integer) or random_state < 0:
        raise DataError(f"random_state is {random_state!r}; expected an integer of at least 0")
    return int(random_state)
