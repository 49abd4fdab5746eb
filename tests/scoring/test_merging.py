"""Components merged into clusters, against a computation pair by pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from dgmm.scoring.merging import merge_tree


def posteriors(k, n, seed, sharpness=3.0):
    L = sharpness * np.random.default_rng(seed).normal(size=(k, n))
    E = np.exp(L - L.max(axis=0))
    return E / E.sum(axis=0)


def entropy(R, w):
    positive = np.where(R > 0, R, 1.0)
    return -(w * (R * np.log(positive)).sum(axis=0)).sum() / w.sum()


def by_pairs(R, w):
    """Every pair of every step is merged and the entropy taken anew; (pair of members, entropy)."""
    clusters = {(k,): row for k, row in enumerate(R)}
    found = []
    while len(clusters) > 1:
        ways = []
        for a, b in combinations(clusters, 2):
            rest = [row for name, row in clusters.items() if name not in (a, b)]
            ways.append((entropy(np.array([*rest, clusters[a] + clusters[b]]), w), a, b))
        lowest, a, b = min(ways)
        clusters[tuple(sorted(a + b))] = clusters.pop(a) + clusters.pop(b)
        found.append((frozenset([a, b]), lowest))
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("is_weighted", [False, True])
def test_each_step_merges_the_pair_that_leaves_the_lowest_entropy(seed, is_weighted):
    R = posteriors(7, 300, seed)
    w = np.random.default_rng(9).gamma(1.0, size=300) if is_weighted else np.ones(300)
    tree = merge_tree(R, w if is_weighted else None)
    due = by_pairs(R, w)
    assert [frozenset([m.left, m.right]) for m in tree.merges] == [pair for pair, _ in due]
    np.testing.assert_allclose(
        tree.entropies, [entropy(R, w), *(e for _, e in due)], rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        [m.gain for m in tree.merges], -np.diff(tree.entropies), rtol=1e-9, atol=1e-12
    )


def test_a_weight_is_as_many_copies_of_its_row():
    R = posteriors(5, 80, 1)
    counts = np.random.default_rng(2).integers(0, 4, size=80)
    weighed = merge_tree(R, counts.astype(float))
    copied = merge_tree(np.repeat(R, counts, axis=1))
    assert [(m.left, m.right) for m in weighed.merges] == [(m.left, m.right) for m in copied.merges]
    np.testing.assert_allclose(weighed.entropies, copied.entropies, rtol=1e-12)


def test_posteriors_that_are_certain_have_nothing_to_gain():
    R = np.eye(4)[:, np.arange(40) % 4]
    tree = merge_tree(R)
    assert tree.entropies == (0.0, 0.0, 0.0, 0.0)
    assert tree.n_clusters(0.01) == 4
    assert all(merge.rivals is not None for merge in tree.merges[:-1])


def test_two_halves_of_each_cluster_are_merged_and_no_more():
    """Clusters 0 and 1 of two components each, which share their rows evenly."""
    halves = np.kron(np.eye(2), np.full((2, 1), 0.5))  # (4, 2)
    tree = merge_tree(np.repeat(halves, 50, axis=1))
    assert tree.entropies == pytest.approx((np.log(2), np.log(2) / 2, 0.0, 0.0))
    assert tree.n_clusters(0.01) == 2
    assert tree.clusters(2).tolist() == [0, 0, 1, 1]
    assert tree.clusters(4).tolist() == [0, 1, 2, 3]
    assert tree.clusters(1).tolist() == [0, 0, 0, 0]


def test_two_clusters_that_hardly_overlap_stay_however_much_entropy_all_have():
    """Components 0 and 1 share 20 rows of 1,020; 2 lies among the rows of 0."""
    R = np.zeros((3, 1020))
    R[0, :400] = R[1, 500:1000] = 1.0
    R[0, 400:500] = R[2, 400:500] = 0.5
    R[0, 1000:] = R[1, 1000:] = 0.5
    tree = merge_tree(R)
    first, second = tree.merges
    assert (first.left, first.right) == ((0,), (2,))
    assert first.overlap == pytest.approx(100 * np.log(2) / 50)
    assert second.overlap == pytest.approx(20 * np.log(2) / 510)
    assert tree.entropies[1] > 0.01
    assert tree.n_clusters(0.01) == 1
    assert tree.n_clusters(0.01, 0.05) == 2
    assert tree.n_clusters(0.01, 0.02) == 1
    assert tree.n_clusters(0.02, 0.05) == 2
    assert tree.n_clusters(1.0, 0.0) == 3


def test_a_component_without_rows_overlaps_none():
    R = np.concatenate([posteriors(2, 50, 0), np.zeros((1, 50))])
    assert merge_tree(R).merges[-1].overlap == 0.0


def test_clusters_are_numbered_by_their_lowest_component():
    R = posteriors(6, 400, 3)
    for n in range(1, 7):
        clusters = merge_tree(R).clusters(n)
        firsts = [int(np.flatnonzero(clusters == c)[0]) for c in range(n)]
        assert firsts == sorted(firsts)
        assert set(clusters) == set(range(n))


def test_a_gain_that_few_rows_tell_from_the_next_is_a_tie():
    many = posteriors(4, 20_000, 5, sharpness=1.0)
    many[1] += 0.4 * many[2]  # components 1 and 2 overlap most
    many /= many.sum(axis=0)
    few = merge_tree(many[:, :12])
    assert few.merges[0].rivals is not None
    gains = by_pairs(many[:, :12], np.ones(12))
    assert frozenset(few.merges[0].rivals) != gains[0][0]


def test_the_number_of_clusters_has_bounds():
    tree = merge_tree(posteriors(3, 50, 0))
    for wrong in (0, 4):
        with pytest.raises(ValueError, match="of 3 components"):
            tree.clusters(wrong)
