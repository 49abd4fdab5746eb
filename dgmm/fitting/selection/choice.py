"""Which of several fitted models is chosen: the smallest whose BIC is near the best.

BIC alone does not stop where clusters are no Gaussians: each component more describes their form a
little better, and of enough rows that always pays. So the smallest k counts whose BIC lies within a
tolerance, in nats per row, of the best: that is what one row more tells of the model, whatever the
number of rows. A tolerance of 0 is plain BIC (Schwarz 1978).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dgmm.errors import ComponentError
from dgmm.mixture.criteria import Criteria


@dataclass(frozen=True, slots=True)
class Scored:
    """A fitted model as the choice sees it.

    Attributes
    ----------
    n_components, covariance_type
        As asked for.
    n_parameters
        Free numbers of the mixture as it was fitted.
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

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.n_components} {self.covariance_type} components"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, by which rule, and what speaks against it.

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
    chosen_at_edge, bic_at_edge
        Whether each has the most components of its family, so that more might be better.
    """

    chosen: Scored
    best_bic: Scored
    runner_up: Scored | None
    tolerance: float
    given_up: float
    chosen_at_edge: bool
    bic_at_edge: bool

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
        edge, bic_edge = _edge(is_there=self.chosen_at_edge), _edge(is_there=self.bic_at_edge)
        found = f"{self.chosen.name}{edge}: {self.rule}"
        if self.best_bic == self.chosen:
            return f"{found}; BIC alone chooses the same"
        return f"{found}; BIC alone chooses {self.best_bic.name}{bic_edge}"

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


def choose(models: Sequence[Scored], n_rows: float, tolerance: float) -> Choice:
    """The smallest k within `tolerance` nats per row of the lowest BIC, over all families.

    Of equal k the model of fewest parameters is taken. Models that are not sound count only where
    none is.

    Parameters
    ----------
    models
        Of the same rows.
    n_rows
        Rows that the likelihoods are of, or the sum of their weights.
    tolerance
        Nats per row, at least 0.

    Raises
    ------
    ComponentError
        If there is no model.
    """
    comparable = [m for m in models if m.is_sound and math.isfinite(m.criteria.bic)] or list(models)
    if not comparable:
        raise ComponentError(
            "no model could be fitted. Lower model.n_components, or raise model.reg_covar"
        )
    chosen = _smallest(comparable, n_rows, tolerance)
    best = _smallest(comparable, n_rows, 0.0)
    others = [m for m in comparable if m is not chosen]
    return Choice(
        chosen=chosen,
        best_bic=best,
        runner_up=_smallest(others, n_rows, tolerance) if others else None,
        tolerance=tolerance,
        given_up=(chosen.criteria.bic - best.criteria.bic) / (2.0 * n_rows),
        chosen_at_edge=_is_at_edge(chosen, models),
        bic_at_edge=_is_at_edge(best, models),
    )


def _smallest(models: Sequence[Scored], n_rows: float, tolerance: float) -> Scored:
    limit = min(m.criteria.bic for m in models) + 2.0 * n_rows * tolerance
    near = [m for m in models if m.criteria.bic <= limit] or list(models)
    return min(near, key=lambda m: (m.n_components, m.n_parameters, m.criteria.bic))


def _is_at_edge(one: Scored, models: Sequence[Scored]) -> bool:
    sizes = {m.n_components for m in models}
    return len(sizes) > 1 and one.n_components == max(sizes)


def _edge(*, is_there: bool) -> str:
    return " (at the edge of the range: more might be better)" if is_there else ""
