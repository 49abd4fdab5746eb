"""What the E-step of a block at once reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tile = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block's rows, what is to be computed of them, and where it is to be written.

    Attributes
    ----------
    rows : (n, d)
        As stored.
    factor, offset : (d,)
        Of standardising.
    form
        The quadratic part of φ: `none`, `pairs`, `squares` or `norm`. `masked squares` and `masked
        norm` are of c∘y for the mask c of values that are there (not NaN), and φ is
        [quadratic(c∘y), c∘y, c, 1].
    eta : (k, p)
        Natural parameters, of the tiles' dtype.
    allocate
        Gives a flat buffer of that dtype by a name of its own and its size; its content is
        undefined.
    sums : (l, k, p)
        Moments are added here, those of each leaf of the reduction apart.
    log_likelihoods : (l,)
        Σ w log p over the rows of each leaf is written here.
    weights : (n,) or None
        w, float64, by which moments are multiplied too; None where each row weighs 1.
    leaf_rows
        Rows of a leaf; the last may have fewer.
    latest
        Given a key and a function: what the function returned for that key, kept until another one
        is asked for.
    """

    rows: Tile
    factor: Tile
    offset: Tile
    form: str
    eta: Tile
    allocate: Callable[[str, int], Tile]
    sums: Tile
    log_likelihoods: NDArray[np.float64]
    weights: Tile | None
    leaf_rows: int
    latest: Callable[[Hashable, Callable[[], Any]], Any]
