"""Clusters of compiled rows: where few points have moved, labels are those of all to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.initialisation import StartCompute
from dgmm.fitting.initialisation.kmeans import lloyd
from dgmm.fitting.initialisation.sample_rows import CentredRows

pytest.importorskip("numba")
from dgmm.fitting.initialisation import compiled_cells

Array = NDArray[np.float64]
K = 29
SINGLE = pytest.mark.parametrize("is_single", [True, False])


def _rows(m: int = 2500, d: int = 5) -> CentredRows:
    """On a lattice, so that many distances are equal."""
    return CentredRows.of(np.random.default_rng(0).integers(-3, 4, (m, d)).astype(float))


def _points(seed: int) -> Array:
    return np.random.default_rng(seed).integers(-3, 4, (K, 5)).astype(float)


def _moves(n_moved: int) -> list[Array]:
    """So many points move at a time: far, near, onto another, and back to where they were."""
    rng, points = np.random.default_rng(n_moved), _points(1)
    found = []
    for i in range(12):
        points = points.copy()
        moved = rng.choice(K, n_moved, replace=False)
        shift = rng.normal(size=(n_moved, 5)) * (0.01, 1.0, 0.0)[i % 3]
        points[moved] = points[(moved + (i % 3 == 2)) % K] + shift
        found += [points, points.copy()]
    return [*found, found[0], points]


@SINGLE
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n_moved", [1, 9, 14, 15, 29])
def test_moved_clusters_have_the_rows_of_all_points(
    is_single: bool, n_threads: int, n_moved: int
) -> None:
    with ThreadExecutor(n_threads) as executor:
        rows = StartCompute("numba", executor).over(_rows(), is_single=is_single)
        clusters = rows.clusters(_points(1))
        for points in _moves(n_moved):
            clusters.move(points)
            np.testing.assert_array_equal(clusters.labels, rows.nearest(points))


@SINGLE
def test_few_moved_points_are_not_taken_with_all(
    is_single: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = StartCompute("numba").over(_rows(), is_single=is_single)
    clusters, points = rows.clusters(_points(1)), _points(1)
    taken: list[str] = []
    for name in ("nearest", "nearest_again"):
        function = getattr(compiled_cells.compiled, name)

        def noted(*args: object, name: str = name, function: object = function) -> None:
            taken.append(name)
            function(*args)  # type: ignore[operator]

        monkeypatch.setattr(compiled_cells.compiled, name, noted)
    for n_moved in (0, 1, K // 2, K // 2 + 1):
        points, labels = points.copy(), clusters.labels
        points[:n_moved] += 0.25
        clusters.move(points)
        if n_moved == 0:
            assert taken == []
            np.testing.assert_array_equal(clusters.labels, labels)
    assert taken == ["nearest_again", "nearest_again", "nearest"]


@SINGLE
def test_rows_are_laid_out_alike_on_any_threads(is_single: bool) -> None:
    for m in (1, 23, 48, 49, 500):
        rows = _rows(m)
        alone = StartCompute("numba").over(rows, is_single=is_single)
        with ThreadExecutor(3) as executor:
            found = StartCompute("numba", executor).over(rows, is_single=is_single)
        np.testing.assert_array_equal(found.panels, alone.panels)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(found.squares, alone.squares)  # type: ignore[attr-defined]
        b = alone.panels.shape[2]  # type: ignore[attr-defined]
        padded = alone.panels.transpose(0, 2, 1).reshape(-1, 5)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(padded[:m], rows.values.T)
        assert not padded[m:].any()
        assert len(padded) - m < b


@SINGLE
def test_lloyds_iterations_are_those_of_all_points(is_single: bool) -> None:
    """Against iterations that take every row with every point; clusters run empty on the way."""
    rng = np.random.default_rng(3)
    rows = CentredRows.of(rng.normal(size=(4000, 3)) * np.array([4.0, 1.0, 1.0]))
    own = StartCompute("numba").over(rows, is_single=is_single)
    points = rng.normal(size=(60, 3))
    points[40:] = 50.0  # empty at first
    labels = lloyd(own, points.copy())

    class AllPoints:
        def __init__(self, points: Array) -> None:
            self.move(points)

        def move(self, points: Array) -> None:
            self.labels = own.nearest(points)

    class Plain:
        n_rows = own.n_rows
        take, means, deviations = own.take, own.means, own.deviations
        clusters = AllPoints

    np.testing.assert_array_equal(labels, lloyd(Plain(), points.copy()))  # type: ignore[arg-type]
    assert len(np.unique(labels)) == 60
