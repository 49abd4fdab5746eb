"""The class of rows, their group, and the fold that they are held out of; and hashed folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.joined_arrays import joined_arrays

#: Code of a row whose class, or group, is not known.
UNKNOWN = -1


@dataclass(frozen=True, slots=True, eq=False)
class RowLabels:
    """Codes of the rows of a block.

    Attributes
    ----------
    classes : (b,) int32
        The class, numbered from 0; −1 where it is not known.
    groups : (b,) int64 or None
        What rows belong together (an utterance, a patient); −1 where none is known; None without.
    folds : (b,) int32 or None
        The fold, from 0, whose model a row is held out of; None without folds.
    """

    classes: NDArray[np.int32]
    groups: NDArray[np.int64] | None = None
    folds: NDArray[np.int32] | None = None

    def of_rows(self, rows: slice | NDArray[np.bool_]) -> RowLabels:
        """Those of some rows."""
        groups = None if self.groups is None else self.groups[rows]
        folds = None if self.folds is None else self.folds[rows]
        return RowLabels(self.classes[rows], groups, folds)

    @classmethod
    def joined(cls, parts: Sequence[RowLabels]) -> RowLabels | None:
        """Those of parts, one behind the other; None without any."""
        if not parts:
            return None
        return cls(
            np.concatenate([part.classes for part in parts]),
            joined_arrays(part.groups for part in parts),
            joined_arrays(part.folds for part in parts),
        )


def hashed_folds(numbers: NDArray[Any], n_folds: int, seed: int) -> NDArray[np.int32]:
    """The fold of rows, or of groups, by a hash of their numbers (n,): a function of these alone.

    The mixing function is that of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).

    Examples
    --------
    >>> folds = hashed_folds(np.arange(9000), 3, seed=0)
    >>> np.bincount(folds).tolist()
    [3063, 2996, 2941]
    """
    z = mixed(numbers.astype(np.uint64) + mixed(np.array([seed], np.uint64)))
    return np.asarray((z >> np.uint64(11)) % np.uint64(n_folds)).astype(np.int32)


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's function of numbers, elementwise: one to one, modulo 2^64."""
    z = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
