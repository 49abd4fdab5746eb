"""When moments are taken component by component, and how wide their sums are: `sparse_moments`."""

from __future__ import annotations

from typing import Final

#: From so many components and rows of Φ on it pays; sums of fewer stay in registers.
LEAST_COMPONENTS: Final = 256
LEAST_WIDTH: Final = 64
#: From so many features on it pays with pairs of them, of any number of components.
LEAST_FEATURES: Final = 24
#: Pairs are multiplied in squares of so many features: one vector of float32, two of float64.
SQUARE: Final = 16
#: A component's sums without pairs are at most so many more than rows of φ.
_PADDING: Final = SQUARE + 8


def has_pairs(n_products: int, d: int) -> bool:
    """Whether φ has the products of all pairs of features: more products than features."""
    return n_products > d


def pays(k: int, p: int, n_products: int, d: int) -> bool:
    """Whether sums (k, p) may be taken by component; a function of the shape alone.

    `n_products` of the p rows of Φ are products of features.
    """
    if has_pairs(n_products, d):
        return k > 1 and d >= LEAST_FEATURES
    return k >= LEAST_COMPONENTS and p >= LEAST_WIDTH


def sparse_widths(p: int, n_products: int, d: int) -> tuple[int, int]:
    """Upper bounds of a component's sums of pairs, in whole squares, and of its other ones."""
    if has_pairs(n_products, d):
        return n_squares(d) * SQUARE * SQUARE, p - n_products + _PADDING
    return 0, p + _PADDING


def n_squares(d: int) -> int:
    """Squares of the pairs i ≤ j of d features: those of a triangle."""
    n = -(-d // SQUARE)
    return n * (n + 1) // 2
