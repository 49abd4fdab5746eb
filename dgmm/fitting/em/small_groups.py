"""Which candidates' arithmetic is done in one go: small ones that agree in shape."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

#: Numbers of one candidate at most, and of all that are taken in one go: of larger arrays the
#: arithmetic takes longer than NumPy's calls, and copies would be memory that no plan counts.
MOST_NUMBERS, MOST_IN_ALL = 4096, 65_536


def small_groups(keys: Sequence[Hashable | None], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Places of candidates that are taken together, each place once.

    Parameters
    ----------
    keys
        What candidates must agree in; None where one is taken alone.
    sizes
        Numbers of each candidate's largest array.
    """
    open_groups: dict[Hashable, list[int]] = {}
    for i, (key, size) in enumerate(zip(keys, sizes, strict=True)):
        if key is None or size > MOST_NUMBERS:
            yield [i]
            continue
        group = open_groups.setdefault(key, [])
        group.append(i)
        if (len(group) + 1) * size > MOST_IN_ALL:
            yield open_groups.pop(key)
    yield from open_groups.values()
