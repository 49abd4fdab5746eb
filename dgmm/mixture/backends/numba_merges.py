"""Ward's merges, compiled: each cluster keeps a list of those that it would be merged with first.

What the pair of clusters a and b costs, n_a n_b / (n_a + n_b) ‖a − b‖², follows from their means
and sizes, so that no matrix of all pairs is needed. A cluster keeps `LISTED` others and a bound
that no other is below. Merging never lowers a cost below those of the parts it was made of (Ward's
criterion is reducible: Bruynooghe 1977), so that lists and bounds stay true: a listed cluster that
was merged is the one that it is part of now, and only where none of the list is at or below the
bound are all clusters looked at again.

What is merged is SciPy's tree where no two costs are equal. Few clusters are looked at again where
they are separated and of like sizes; of one normal cloud, 40,000 x 128, four for each of 1,024
pairs (0.33 s of CPU; by a matrix of all pairs 0.13: docs/design/0016-many-components.md).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.numba_distances import POINTS, product

#: Clusters of a list.
LISTED: Final = 16
#: Clusters that are looked at together: a thread has some.
AT_A_TIME: Final = 32
#: Costs that are taken at a time, and clusters of which the least is kept.
_STRETCH = 256


@compiled
def list_first(
    one: Any,
    panels: Any,
    squares: Any,
    points: Any,
    sizes: Any,
    first: int,
    stop: int,
    C: Any,
    lists: Any,
    gone: Any,
) -> None:
    """Lists of the clusters in groups [first, stop) of eight, by what a pair costs at least.

    `panels` and `points` (n, d), which are −2 times them, are the means; `squares` are ‖a‖², less
    what rounding may add to a distance. None is `gone` yet.
    """
    near, costs, far, least, nearest = lists
    n, b = sizes.size, panels.shape[2]
    for a in range(first * POINTS, min(stop * POINTS, n)):
        near[a], costs[a] = -1, np.inf
    for p in range(panels.shape[0]):
        others = sizes[p * b : (p + 1) * b]
        own_squares = squares[p * b : (p + 1) * b]
        for row in range(first * POINTS, min(stop * POINTS, n), POINTS):
            product(one, points, row, panels[p], C)
            for t in range(min(POINTS, n - row)):
                for c in range(b):
                    C[t, c] += own_squares[c] + squares[row + t]
                own = sizes[row + t]
                _insert_some(row + t, p * b, C[t], others, own, gone, near, costs)
    for a in range(first * POINTS, min(stop * POINTS, n)):
        far[a], least[a], nearest[a] = costs[a, LISTED - 1], costs[a, 0], near[a, 0]


@compiled
def _insert_some(
    a: int, first: int, squares: Any, others: Any, own: float, gone: Any, near: Any, costs: Any
) -> None:
    """Put those of clusters first, first + 1, … in the list of a that belong there.

    Few do, and comparing takes no division.
    """
    limit, n = costs[a, LISTED - 1], 0
    for c in range(others.size):
        n += squares[c] * (own * others[c]) < limit * (own + others[c])
    if n > 0:
        for c in range(others.size):
            b, limit = first + c, costs[a, LISTED - 1]
            is_below = squares[c] * (own * others[c]) < limit * (own + others[c])
            if is_below and b != a and not gone[b]:
                _insert(near[a], costs[a], b, squares[c] * _share(own, others[c]))


@compiled
def _share(own: float, other: float) -> Any:
    """What a squared distance counts."""
    return own * (other / (own + other))


@compiled
def _insert(near: Any, costs: Any, number: int, cost: float) -> Any:
    """Put a cluster in its place of a list; the cost of what is not in the list for it."""
    i = costs.size - 1
    if not cost < costs[i]:
        return cost
    left_out = costs[i]
    while i > 0 and costs[i - 1] > cost:
        costs[i], near[i] = costs[i - 1], near[i - 1]
        i -= 1
    costs[i], near[i] = cost, number
    return left_out


@compiled
def merge(
    means: Any, columns: Any, sizes: Any, n_left: int, lists: Any, progress: Any, wanted: Any
) -> Any:
    """Merge the pair that costs least until n_left are left: 0, or how many need `look` before.

    `means` (n, d), `columns`, the same turned, and `sizes` (n,) become those of what is merged.
    `progress` is what clusters are part of (themselves at first), in which step they became what
    they are (0) and were listed (−1), which are gone, and the step (1,). The numbers of those that
    need to be looked at are written to `wanted`: the first, and others that are likely to be next.
    """
    near, _, far, least, nearest = lists
    into, changed, seen, gone, step = progress
    lowest = np.empty(-(-sizes.size // _STRETCH))
    for first in range(0, sizes.size, _STRETCH):
        _note(least, first, lowest)
    others, smallest = np.empty(2 * LISTED, np.int64), sizes.min()
    while step[0] < sizes.size - n_left:
        a = _first(least, lowest)
        b = nearest[a]
        if b < 0:
            return _next(least, nearest, wanted)
        if gone[b] or seen[a] < max(changed[a], changed[b]):
            others[:LISTED] = near[a]
            _refresh(a, others[:LISTED], means, sizes, into, lists)
            seen[a] = step[0]
            _note(least, a, lowest)
            continue
        cost, a, b = least[a], min(a, b), max(a, b)
        far[a] = _bound(sizes[a], sizes[b], smallest, far[a], far[b], cost)
        _join(a, b, means, columns, sizes)
        gone[b], into[b], least[b], nearest[b] = True, a, np.inf, b
        others[:LISTED], others[LISTED:] = near[a], near[b]
        _refresh(a, others, means, sizes, into, lists)
        step[0] += 1
        changed[a] = seen[a] = step[0]
        _note(least, a, lowest)
        _note(least, b, lowest)
    return 0


@compiled
def _next(least: Any, nearest: Any, wanted: Any) -> Any:
    """Those of unknown nearest of which the least may be lowest; how many."""
    bounds = np.full(wanted.size, np.inf)
    wanted[:] = -1
    for a in range(least.size):
        if nearest[a] < 0:
            _insert(wanted, bounds, a, least[a])
    return (wanted >= 0).sum()


@compiled
def _bound(
    own: float, other: float, smallest: float, far: float, other_far: float, cost: float
) -> Any:
    """What a merged cluster costs at least with those that neither part lists.

    By Lance & Williams' formula, which grows with the size of those: at the smallest size. No pair
    costs less than the one that is merged.
    """
    first, second = max(far, cost), max(other_far, cost)
    whole = own * first + other * second + smallest * (first + second - cost)
    return whole / (own + other + smallest) if whole < np.inf else np.inf


@compiled
def _join(a: int, b: int, means: Any, columns: Any, sizes: Any) -> None:
    """Make a of both."""
    total = sizes[a] + sizes[b]
    for i in range(means.shape[1]):
        means[a, i] = (sizes[a] * means[a, i] + sizes[b] * means[b, i]) / total
        columns[i, a] = means[a, i]
    sizes[a] = total


@compiled
def _note(least: Any, a: int, lowest: Any) -> None:
    """Keep the least of the stretch that a lies in."""
    first = a // _STRETCH * _STRETCH
    own = least[first : first + _STRETCH]
    found = np.inf
    for c in range(own.size):
        found = own[c] if own[c] < found else found  # noqa: FURB136 - min() minds NaN: no vectors
    lowest[a // _STRETCH] = found


@compiled
def _first(least: Any, lowest: Any) -> Any:
    """The first of those whose least is the lowest."""
    first = lowest.argmin() * _STRETCH
    return first + least[first : first + _STRETCH].argmin()


@compiled
def _refresh(a: int, others: Any, means: Any, sizes: Any, into: Any, lists: Any) -> None:
    """The list of a anew, of what others are part of now."""
    near, costs, far, least, nearest = lists
    near[a], costs[a] = -1, np.inf
    for other in others:
        if other < 0:
            continue
        b = _whole(into, other)
        if b != a and not _has(near[a], b):
            cost = _between(means[a], means[b]) * _share(sizes[a], sizes[b])
            far[a] = min(far[a], _insert(near[a], costs[a], b, cost))
    is_known = costs[a, 0] <= far[a] and near[a, 0] >= 0
    least[a] = costs[a, 0] if is_known else far[a]
    nearest[a] = near[a, 0] if is_known else -1


@compiled
def _whole(into: Any, b: int) -> Any:
    """What b is part of."""
    while into[b] != b:
        into[b] = into[into[b]]
        b = into[b]
    return b


@compiled
def _has(near: Any, b: int) -> Any:
    found = False
    for other in near:
        found |= other == b
    return found


@compiled
def _between(a: Any, b: Any) -> Any:
    """‖a − b‖², in four sums: one would wait for itself."""
    s0 = s1 = s2 = s3 = 0.0
    whole = a.size // 4 * 4
    for i in range(0, whole, 4):
        s0 += (a[i] - b[i]) ** 2
        s1 += (a[i + 1] - b[i + 1]) ** 2
        s2 += (a[i + 2] - b[i + 2]) ** 2
        s3 += (a[i + 3] - b[i + 3]) ** 2
    for i in range(whole, a.size):
        s0 += (a[i] - b[i]) ** 2
    return (s0 + s1) + (s2 + s3)


@compiled
def look(
    wanted: Any, first: int, stop: int, columns: Any, sizes: Any, lists: Any, progress: Any
) -> None:
    """The lists of wanted clusters [first, stop) anew, of all others."""
    near, costs, far, least, nearest = lists
    _, _, seen, gone, step = progress
    squares = np.empty(_STRETCH)
    for a in wanted[first:stop]:
        near[a], costs[a] = -1, np.inf
    for begin in range(0, sizes.size, _STRETCH):  # a stretch is in the cache for all of them
        others = sizes[begin : begin + _STRETCH]
        for a in wanted[first:stop]:
            _take_squares(a, columns, begin, squares[: others.size])
            _insert_some(a, begin, squares, others, sizes[a], gone, near, costs)
    for a in wanted[first:stop]:
        far[a], least[a], nearest[a] = costs[a, LISTED - 1], costs[a, 0], near[a, 0]
        seen[a] = step[0]


@compiled
def _take_squares(a: int, columns: Any, first: int, found: Any) -> None:
    """‖a − b‖² to a stretch of clusters. With more arrays in a loop LLVM makes no vectors."""
    found[:] = 0.0
    n, stop = columns.shape[0], first + found.size
    for i in range(0, n - 1, 2):
        x, y = columns[i, a], columns[i + 1, a]
        u, v = columns[i, first:stop], columns[i + 1, first:stop]
        for c in range(found.size):
            found[c] += (u[c] - x) * (u[c] - x) + (v[c] - y) * (v[c] - y)
    if n % 2:
        x, u = columns[n - 1, a], columns[n - 1, first:stop]
        for c in range(found.size):
            found[c] += (u[c] - x) * (u[c] - x)
