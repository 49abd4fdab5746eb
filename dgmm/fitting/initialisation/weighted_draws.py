"""Rows drawn from a sample: uniformly where its rows stand for the same, else by their weights."""

from __future__ import annotations

import numpy as np

from dgmm.fitting.initialisation.distance_rows import Array, Labels


def few_rows(
    n_rows: int, wanted: int, rng: np.random.Generator, weights: Array | None
) -> tuple[Labels, Array | None]:
    """Some rows in their order, and what each of them stands for; all where no more are there.

    Weighted rows by priority sampling (see `dgmm.data.summary.uniform_sample`).
    """
    if n_rows <= wanted:
        return np.arange(n_rows), weights
    if weights is None:
        return np.sort(rng.choice(n_rows, wanted, replace=False)), None
    keys = rng.random(n_rows) / weights
    order = np.argsort(keys, kind="stable")
    chosen: Labels = np.sort(order[:wanted])
    return chosen, np.maximum(weights[chosen], 1.0 / keys[order[wanted]])


def drawn_order(n_rows: int, rng: np.random.Generator, weights: Array | None) -> Labels:
    """All rows in the order in which they are drawn, each by its weight among those left.

    Keys −log(u)/w, the smallest first (Efraimidis & Spirakis, *Weighted random sampling with a
    reservoir*, Inf. Process. Lett. 97, 2006).
    """
    if weights is None:
        order: Labels = rng.permutation(n_rows)
        return order
    return np.argsort(rng.exponential(size=n_rows) / weights, kind="stable")


def one_row(n_rows: int, rng: np.random.Generator, weights: Array | None) -> int:
    """One row, drawn by its weight."""
    if weights is None:
        return int(rng.integers(n_rows))
    cumulative = np.cumsum(weights)
    place = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(min(place, n_rows - 1))


def systematic_rows(weights: Array, wanted: int, rng: np.random.Generator) -> Labels:
    """`wanted` rows of equal weight in their order, each about wanted·w/Σw times.

    Systematic resampling: one uniform number, then equal steps through the cumulative weights, so
    that a row's number of copies is its expectation rounded up or down.
    """
    cumulative = np.cumsum(weights)
    places = (rng.random() + np.arange(wanted)) * (cumulative[-1] / wanted)
    rows: Labels = np.searchsorted(cumulative, places, side="right")
    return np.minimum(rows, len(weights) - 1)
