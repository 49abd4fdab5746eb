"""When moments are taken component by component, and how wide their sums are: `listed_moments`."""

from __future__ import annotations

from typing import Final

#: From so many components and rows of Φ on it pays; sums of fewer stay in registers.
LEAST_COMPONENTS: Final = 256
LEAST_WIDTH: Final = 64
#: From so many features on it pays with pairs of them, of any number of components.
LEAST_FEATURES: Final = 24
#: Pairs are multiplied in squares of so many features.
SQUARE: Final = 16


def pays(k: int, p: int, n_products: int, d: int) -> bool:
    """Whether sums (k, p) are taken by component; a function of the shape alone.

    Of the p rows of Φ so many are products: more than d features are pairs of features.
    """
    if n_products > d:
        return k > 1 and d >= LEAST_FEATURES
    return k >= LEAST_COMPONENTS and p >= LEAST_WIDTH


def listed_width(p: int, n_products: int, d: int) -> int:
    """Sums that a component has at most, up to whole squares of pairs and whole vectors."""
    of_pairs = n_squares(d) * SQUARE * SQUARE if n_products > d else n_products
    return of_pairs + p - n_products + SQUARE


def n_squares(d: int) -> int:
    """Squares of the pairs i ≤ j of d features: those of a triangle."""
    n = -(-d // SQUARE)
    return n * (n + 1) // 2
