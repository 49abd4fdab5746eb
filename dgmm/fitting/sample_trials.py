"""What became of the starts that were tried on the sample."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dgmm.fitting.restarts import Start


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one start on the few rows.

    Attributes
    ----------
    restart, number, metric
        Those of the start.
    mean_log_likelihood
        After the short EM run, per row, user units; None where it lost components.
    n_iter, n_rows
        Iterations of that run, and rows that the likelihood is of.
    held_out
        Whether these are other rows than those the run was fitted to.
    selected
        Whether it is the one of its restart that goes on.
    """

    restart: int
    number: int
    metric: str
    mean_log_likelihood: float | None
    n_iter: int
    n_rows: int
    held_out: bool
    selected: bool = False

    def record(self) -> dict[str, Any]:
        """What listeners get of it."""
        return {
            "restart": self.restart,
            "start": f"{self.metric} {self.number}",
            "mean_log_likelihood": self.mean_log_likelihood,
            "rows": self.n_rows,
        }

    def describe(self, n_starts: int) -> str:
        """In words: the best of so many starts of its restart."""
        name = f"{self.metric} {self.number}"
        found = f"EM on a sample: {n_starts} start{'s' * (n_starts != 1)}"
        if self.mean_log_likelihood is None:
            return f"{found}, all lost components; EM on all rows begins at {name} as it was drawn"
        return (
            f"{found}, best {name}: mean log-likelihood {self.mean_log_likelihood:.6g} on "
            f"{self.n_rows:,} rows after {self.n_iter} iterations"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Where each restart begins on all rows, one start or several, and how they were chosen."""

    begun: tuple[Start, ...]
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """Where EM has led from a start, after how many iterations, and how likely that is.

    The likelihood is None where components were lost, and the parameters are the start's.
    `has_spike`: a component has fewer rows than its covariance needs.
    """

    start: Start
    n_iter: int
    mean_log_likelihood: float | None
    has_spike: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """The restart, and the start's number."""
        return self.start.restart, self.start.number

    def later(self, other: Tried) -> Tried:
        """The same start some iterations later; as it was where it lost components since."""
        if other.mean_log_likelihood is None:
            return self
        return replace(other, n_iter=self.n_iter + other.n_iter)

    def trial(self, n_rows: int, *, held_out: bool, selected: bool) -> Trial:
        """What is recorded of it, compared on so many rows."""
        return Trial(
            restart=self.start.restart,
            number=self.start.number,
            metric=self.start.metric,
            mean_log_likelihood=self.mean_log_likelihood,
            n_iter=self.n_iter,
            n_rows=n_rows,
            held_out=held_out,
            selected=selected,
        )


def likeliest_of_each(tried: list[Tried], group: Callable[[Tried], Hashable]) -> list[Tried]:
    """The likeliest of each group, the earlier where equal; none where all lost components.

    Those with a spike stand behind all others.
    """
    best: dict[Hashable, Tried] = {}
    for one in tried:
        if one.mean_log_likelihood is None:
            continue
        before = best.setdefault(group(one), one)
        if _rank(one) > _rank(before):
            best[group(one)] = one
    return list(best.values())


def _rank(one: Tried) -> tuple[bool, float]:
    found = one.mean_log_likelihood
    return not one.has_spike, -np.inf if found is None else found
