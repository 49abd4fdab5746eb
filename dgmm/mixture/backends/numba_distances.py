"""Squared distances of rows to few points, and the nearest of many, compiled.

Rows lie in panels as the products of `fused_products` read them: (n_panels, d, `panel_rows`), each
panel one stretch of memory. Nothing of the size rows × points is ever written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.simd_intrinsics import lanes_of, multiplication, registers_hold_many

Numbers = NDArray[Any]

#: Vectors of a panel: so many rows of float64 are 24, of float32 48.
PANEL_VECTORS = 3
#: Rows whose distances are summed before others: a multiple of both.
TILE_ROWS = 960
#: Points multiplied at a time; numbers of points are multiples of it.
POINTS = 8

_STEP = PANEL_VECTORS if registers_hold_many() else 1
_multiply = multiplication(POINTS if registers_hold_many() else POINTS // 2, _STEP)
_HALVES = 1 if registers_hold_many() else 2


def panel_rows(itemsize: int) -> int:
    """Rows of a panel, for numbers of so many bytes."""
    return PANEL_VECTORS * lanes_of(itemsize)


def in_whole_groups(n: int) -> int:
    """The number of points, in whole groups of those that are multiplied together."""
    return -(-n // POINTS) * POINTS


def closer_buffers(n_points: int, dtype: np.dtype[Any]) -> tuple[Numbers, Numbers]:
    """What `closer` works with."""
    b = panel_rows(dtype.itemsize)
    return np.empty((POINTS, b), dtype), np.empty((n_points, b), dtype)


def nearest_buffer(dtype: np.dtype[Any]) -> Numbers:
    """What `nearest` works with."""
    return np.empty((POINTS, panel_rows(dtype.itemsize)), dtype)


def buffers_again(n_features: int, dtype: np.dtype[Any]) -> tuple[Numbers, ...]:
    """What `nearest_again` works with."""
    b = panel_rows(dtype.itemsize)
    numbers = [np.empty(b, dtype), np.empty(b, np.int32), np.zeros((n_features, b), dtype)]
    rows = [np.empty(b, np.int64), np.empty(b, dtype), np.empty(b, np.int32)]
    return (nearest_buffer(dtype), *numbers, *rows)


@compiled
def product(one: Any, A: Any, row: int, panel: Any, C: Any) -> None:
    """The products of eight points, from `row` on, with a panel as C (8, b)."""
    n, b = panel.shape
    size = panel.itemsize
    half = POINTS // _HALVES
    for h in range(_HALVES):
        a = A.ctypes.data + (row + h * half) * n * size
        for offset in range(0, b * size, 64 * _STEP):
            c = C.ctypes.data + h * half * b * size + offset
            x = panel.ctypes.data + offset
            _multiply(one, a, n * size, x, b * size, c, b * size, n, 0, 0, 0, 0, 0)


@compiled
def closer(
    one: Any,
    panels: Any,
    squares: Any,
    weights: Any,
    closest: Any,
    points: Any,
    own: Any,
    rounding: Any,
    first: int,
    stop: int,
    buffers: Any,
    out: Any,
    sums: Any,
) -> None:
    """min(closest, w ‖x − c‖²) of the panels of tiles [first, stop), and its sums over each tile.

    `points` (t, d) are −2 c, `own` (t,) ‖c‖²; what is below `rounding` of ‖x‖² + ‖c‖² is 0.
    """
    C, total = buffers
    b = panels.shape[2]
    per_tile = TILE_ROWS // b
    for tile in range(first, stop):
        for t in range(points.shape[0]):
            for c in range(b):
                total[t, c] = 0.0
        for p in range(tile * per_tile, min((tile + 1) * per_tile, panels.shape[0])):
            x, w = squares[p * b : (p + 1) * b], weights[p * b : (p + 1) * b]
            before = closest[p * b : (p + 1) * b]
            for row in range(0, points.shape[0], POINTS):
                sizes = own[row : row + POINTS]
                product(one, points, row, panels[p], C)
                _lower((x, sizes, rounding), w, before, C)
                _keep(C, out[row : row + POINTS, p * b : (p + 1) * b], total[row : row + POINTS])
        for t in range(points.shape[0]):
            s = 0.0
            for c in range(b):
                s += total[t, c]
            sums[tile, t] = s


@compiled
def _lower(size: Any, w: Any, before: Any, C: Any) -> None:
    """Turn −2 x·c into the lower of what rows were worth before and are with a point.

    Loops are short, and over views that begin at 0: else LLVM makes no vectors of them (18 against
    6 ns a row for eight points).
    """
    x, own, rounding = size
    nothing = rounding - rounding  # 0 of that type: 0.0 would make all of it float64
    for t in range(C.shape[0]):
        of = own[t]
        for c in range(x.size):
            whole = x[c] + of
            distance = whole + C[t, c]
            worth = distance * w[c]
            C[t, c] = nothing if distance <= rounding * whole else worth
        for c in range(x.size):
            C[t, c] = before[c] if before[c] < C[t, c] else C[t, c]  # noqa: FURB136 - min() minds NaN: no vectors


@compiled
def _keep(C: Any, out: Any, total: Any) -> None:
    """Write what rows are worth, and add it to the total."""
    for t in range(C.shape[0]):
        for c in range(C.shape[1]):
            total[t, c] += C[t, c]
        for c in range(C.shape[1]):
            out[t, c] = C[t, c]


@compiled
def draw(worth: Any, sums: Any, places: Any, rows: Any) -> None:
    """Rows at places of the cumulative sum of what they are worth: tiles by their sums, then rows.

    Those worth 0 are never drawn. A tile's sum may be rounded: in it a row is found by its share.
    """
    for i in range(places.size):
        tile, before = 0, 0.0
        for t in range(sums.size):
            if sums[t] > 0.0:
                if tile < t:
                    before += sums[tile]
                tile = t
                if before + sums[t] > places[i]:
                    break
        own = worth[tile * TILE_ROWS : (tile + 1) * TILE_ROWS]
        total = 0.0
        for c in range(own.size):
            total += own[c]
        place, reached = (places[i] - before) / sums[tile] * total, 0.0
        for c in range(own.size):
            if own[c] > 0.0:
                rows[i] = tile * TILE_ROWS + c
                reached += own[c]
                if reached > place:
                    break


@compiled
def nearest(
    one: Any,
    panels: Any,
    points: Any,
    half: Any,
    number: int,
    first: int,
    stop: int,
    C: Any,
    best: Any,
    labels: Any,
) -> None:
    """The nearest of points so far and more of them (k, d), for the rows of panels [first, stop).

    The new ones are numbered from `number` on, and `half` has ½ ‖c‖² of each. `best` has
    x·c − ½ ‖c‖² of the nearest so far: −∞ where there is none.
    """
    b = panels.shape[2]
    for p in range(first, stop):
        found, highest = labels[p * b : (p + 1) * b], best[p * b : (p + 1) * b]
        _nearest(one, panels[p], points, half, number, C, highest, found)


@compiled
def _nearest(
    one: Any, panel: Any, points: Any, half: Any, number: int, C: Any, highest: Any, found: Any
) -> None:
    """The same for one panel."""
    for row in range(0, points.shape[0], POINTS):
        product(one, points, row, panel, C)
        _raise(C, half[row : row + POINTS], number + row, highest, found)


@compiled
def _raise(C: Any, half: Any, number: int, highest: Any, found: Any) -> None:
    """Keep the highest of x·c − ½ ‖c‖² so far and of eight more points.

    Both stay in registers for the eight, which LLVM writes out: the loop has one number of turns.
    """
    for c in range(highest.size):
        most, point = highest[c], found[c]
        for t in range(POINTS):
            closeness = C[t, c] - half[t]
            is_nearer = closeness > most
            most = closeness if is_nearer else most
            point = np.int32(number + t) if is_nearer else point
        highest[c], found[c] = most, point


@compiled
def nearest_again(
    one: Any,
    panels: Any,
    every: Any,
    some: Any,
    numbers: Any,
    has_moved: Any,
    first: int,
    stop: int,
    buffers: Any,
    best: Any,
    labels: Any,
) -> None:
    """What `nearest` finds of points of which some have moved, for panels [first, stop).

    `every` has the points (k, d) and ½ ‖c‖² of each, `some` those that have moved, `numbers` which
    of all these are, and `has_moved` (k,) whether one is. `best` and `labels` are of the points as
    they were.

    What a row has of points that have not moved is at most its `best`. So it needs no more than the
    moved ones where one of these is above that, or where its own has not moved. Other rows are
    copied into a panel and taken with all points: each number is the same chain in any panel.
    """
    C, now, which, waiting, rows, _, _ = buffers
    b, n = panels.shape[2], 0
    for p in range(first, stop):
        now[:] = -np.inf
        which[:] = 0
        _nearest(one, panels[p], some[0], some[1], 0, C, now, which)
        for c in range(b):
            row = p * b + c
            mine, moved = labels[row], numbers[which[c]]
            if now[c] > best[row]:
                best[row], labels[row] = now[c], moved
            elif has_moved[mine]:
                rows[n] = row
                for i in range(panels.shape[1]):
                    waiting[i, n] = panels[p, i, c]
                n += 1
                if n == b:
                    _take_all(one, every, buffers, n, best, labels)
                    n = 0
            elif now[c] == best[row] and moved < mine:
                labels[row] = moved
    _take_all(one, every, buffers, n, best, labels)


@compiled
def _take_all(one: Any, every: Any, buffers: Any, n: int, best: Any, labels: Any) -> None:
    """The nearest of all points for the n rows that wait."""
    C, _, _, waiting, rows, highest, found = buffers
    if n == 0:
        return
    highest[:] = -np.inf
    _nearest(one, waiting, every[0], every[1], 0, C, highest, found)
    for c in range(n):
        best[rows[c]], labels[rows[c]] = highest[c], found[c]


@compiled
def distances(
    squares: Any, best: Any, labels: Any, own: Any, rounding: float, first: int, stop: int, out: Any
) -> None:
    """‖x − c‖² of rows [first, stop) to their nearest points; what is mere rounding is 0.

    `best` and `labels` are what `nearest` finds, `own` is ‖c‖² of every point.
    """
    for row in range(first, stop):
        size = squares[row] + own[labels[row]]
        distance = np.float64(squares[row]) - 2.0 * np.float64(best[row])
        out[row] = distance if distance > rounding * size else 0.0


@compiled
def add_by_label(values: Any, labels: Any, weights: Any, first: int, stop: int, sums: Any) -> None:
    """Add the values (d, m) of features [first, stop) to the sums (d, k) of their labels."""
    for i in range(first, stop):
        row, total = values[i], sums[i]
        if weights.size:
            for c in range(row.size):
                total[labels[c]] += row[c] * weights[c]
        else:
            for c in range(row.size):
                total[labels[c]] += row[c]
