"""Which of several fitted models is chosen: the smallest whose BIC is near the best.

BIC alone does not stop where clusters are no Gaussians: each component more describes their form a
little better, and of enough rows that always pays. So the smallest k counts whose BIC lies within a
tolerance, in nats per row, of the best: that is what one row more tells of the model, whatever the
number of rows. A tolerance of 0 is plain BIC (Schwarz 1978).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dgmm.errors import ComponentError
from dgmm.mixture.criteria import Criteria


@dataclass(frozen=True, slots=True)
class Scored:
    """What the choice compares of a fitted model.

    Attributes
    ----------
    n_components, covariance_type
        As asked for.
    n_parameters
        Free numbers of the mixture as it was fitted.
    n_left
        Components that EM has left, where it has lost some; None where it has lost none.
    criteria
        In units of −2 log-likelihood.
    is_sound
        Whether EM came to a usable end without a component that is a spike on a few rows, whose
        likelihood says nothing.
    """

    n_components: int
    covariance_type: str
    n_parameters: int
    criteria: Criteria
    is_sound: bool = True
    n_left: int | None = None

    @property
    def size(self) -> int:
        """Components of the mixture as it was fitted: what it is ranked by."""
        return self.n_components if self.n_left is None else self.n_left

    @property
    def name(self) -> str:
        """In words."""
        left = "" if self.n_left is None else f" ({self.n_left} left)"
        return f"{self.n_components} {self.covariance_type} components{left}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, by which rule, and which reasons there are to look further.

    Attributes
    ----------
    chosen, best_bic
        By the rule, and by BIC alone.
    runner_up
        What the rule would choose without the chosen one; None of one model.
    tolerance
        Of the rule, nats per row.
    given_up
        By how much the chosen model's BIC is worse than the best, nats per row.
    sizes
        Numbers of components that were asked for, of models that could not be fitted too.
    """

    chosen: Scored
    best_bic: Scored
    runner_up: Scored | None
    tolerance: float
    given_up: float
    sizes: frozenset[int]

    @property
    def rule(self) -> str:
        """The rule in words."""
        if self.tolerance == 0:
            return "lowest BIC"
        return (
            f"fewest components of the models whose BIC / (2 n) is within {self.tolerance:g} nats "
            "per row of the lowest"
        )

    def describe(self) -> str:
        """The choice in a line, BIC's beside it."""
        found = f"{self.chosen.name}{self._edge(self.chosen)}: {self.rule}"
        if self.best_bic == self.chosen:
            return f"{found}; BIC alone chooses the same"
        return f"{found}; BIC alone chooses {self.best_bic.name}{self._edge(self.best_bic)}"

    @property
    def edge_warning(self) -> str:
        """That the chosen model has the most, or fewest, components; empty where it has neither."""
        name = f"the chosen model, {self.chosen.name}, is"
        if self.is_largest(self.chosen):
            return (
                f"{name} at the edge of the range: add larger numbers to model.n_components to see "
                "whether more are better"
            )
        if self.is_smallest(self.chosen):
            return (
                f"{name} the smallest that was asked for: add smaller numbers to "
                "model.n_components to see whether fewer do"
            )
        return ""

    def is_largest(self, one: Scored) -> bool:
        """Whether a model has the most components that were asked for: more might be better."""
        return len(self.sizes) > 1 and one.size == max(self.sizes)

    def is_smallest(self, one: Scored) -> bool:
        """Whether it has the fewest, which are more than 1: fewer might do."""
        return len(self.sizes) > 1 and one.size <= min(self.sizes) and min(self.sizes) > 1

    def _edge(self, one: Scored) -> str:
        if self.is_largest(one):
            return " (at the edge of the range: more might be better)"
        return " (the smallest that was asked for: fewer might do)" if self.is_smallest(one) else ""

    @property
    def hidden(self) -> str:
        """What the tolerance may hide, in words; empty for plain BIC."""
        if self.tolerance == 0:
            return ""
        own = 100.0 * self.tolerance
        return (
            f"The chosen model's BIC / (2 n) is {self.given_up:.3g} nats per row above the lowest. "
            "A cluster with a share p of the rows that gains g nats per row of its own counts "
            f"p·g: within a tolerance of {self.tolerance:g}, one of 1 % of the rows is not seen "
            f"unless it gains {own:g} or more. Where small clusters matter, lower "
            "selection.tolerance; 0 is plain BIC"
        )


def choose(
    models: Sequence[Scored], n_rows: float, tolerance: float, sizes: Collection[int] = ()
) -> Choice:
    """The smallest k within `tolerance` nats per row of the lowest BIC, over all families.

    k are the components that EM has left, where it has lost some. Of equal k the model of fewest
    parameters is taken, then the one of lowest BIC. Models that are not sound count only where
    none is.

    Parameters
    ----------
    models
        Of the same rows.
    n_rows
        Rows that the likelihoods are of, or the sum of their weights.
    tolerance
        Nats per row, at least 0.
    sizes
        Numbers of components that were asked for, where that is more than those of the models.

    Raises
    ------
    ComponentError
        If there is no model.
    """
    comparable = [m for m in models if m.is_sound and math.isfinite(m.criteria.bic)] or list(models)
    if not comparable:
        raise ComponentError("no model could be fitted")
    chosen = _smallest(comparable, n_rows, tolerance)
    best = _smallest(comparable, n_rows, 0.0)
    others = [m for m in comparable if m is not chosen]
    return Choice(
        chosen=chosen,
        best_bic=best,
        runner_up=_smallest(others, n_rows, tolerance) if others else None,
        tolerance=tolerance,
        given_up=(chosen.criteria.bic - best.criteria.bic) / (2.0 * n_rows),
        sizes=frozenset(sizes) | {m.n_components for m in models},
    )


def _smallest(models: Sequence[Scored], n_rows: float, tolerance: float) -> Scored:
    limit = min(m.criteria.bic for m in models) + 2.0 * n_rows * tolerance
    near = [m for m in models if m.criteria.bic <= limit] or list(models)
    return min(near, key=lambda m: (m.size, m.n_parameters, m.criteria.bic, m.n_components))
