"""Consecutive parts as units of work: several chunks of prepared rows each.

Groups follow from sizes alone, never from the cluster, so that a run that resumes elsewhere finds
the groups that an earlier attempt has finished.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dgmm.data.sources.row_source import RowPart
from dgmm.errors import PoisonBlocksError, UnavailableError

#: Chunks of a group at least and at most, and groups of a small source: about one chunk of a group
#: is written twice, first as rows at its edges, which are hashed as well. At most 64 MiB are read
#: again where a process ends.
_LEAST_CHUNKS, _MOST_CHUNKS, _FEW_GROUPS = 4, 16, 32


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive parts, and the rows [start, stop) of the data set that they hold."""

    index: int
    parts: tuple[RowPart, ...]
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Its parts in words."""
        first, last = self.parts[0].name, self.parts[-1].name
        return first if len(self.parts) == 1 else f"{first} to {last}"

    def inner_chunks(self, chunk_rows: int, n_samples: int) -> tuple[int, int]:
        """First row and row after the last of the chunks that lie wholly in the group.

        Equal where none does.
        """
        first = -(-self.start // chunk_rows) * chunk_rows
        last = self.stop if self.stop == n_samples else self.stop // chunk_rows * chunk_rows
        return (first, last) if first < last else (self.stop, self.stop)


def groups_of(parts: Sequence[RowPart], chunk_rows: int) -> tuple[Group, ...]:
    """All parts in order, in groups of about equal rows; a large part is a group of its own.

    Parameters
    ----------
    parts
        Of a source, in its order.
    chunk_rows
        Rows of a chunk of prepared rows.
    """
    total = sum(part.n_rows for part in parts)
    least, most = _LEAST_CHUNKS * chunk_rows, _MOST_CHUNKS * chunk_rows
    wanted = min(max(total // _FEW_GROUPS, least), most)
    starts = [0, *itertools.accumulate(part.n_rows for part in parts)]
    groups: list[Group] = []
    first = 0
    for last in range(len(parts)):
        is_full = starts[last + 1] - starts[first] >= wanted
        if is_full or last + 1 == len(parts):
            own = tuple(parts[first : last + 1])
            groups.append(Group(len(groups), own, starts[first], starts[last + 1]))
            first = last + 1
    return tuple(groups)


@contextmanager
def groups_named(groups: Sequence[Group]) -> Iterator[None]:
    """Groups that end workers are named by their parts."""
    try:
        yield
    except PoisonBlocksError as error:
        first, last = groups[error.blocks[0]], groups[error.blocks[1] - 1]
        names = first.name if first is last else f"{first.parts[0].name} to {last.parts[-1].name}"
        raise UnavailableError(
            f"reading {names} ended {error.ended}. Expected workers to survive every part: raise "
            "cluster.memory_limit if they ran out of memory, else look for a damaged file"
        ) from error
