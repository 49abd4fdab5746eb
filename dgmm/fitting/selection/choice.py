"""Which of several fitted models is chosen: the smallest whose criterion is near the best.

BIC alone does not stop where clusters are no Gaussians: each component more describes their form a
little better, and of enough rows that always pays. So the smallest k counts whose BIC lies within a
tolerance, in nats per row, of the best: that is what one row more tells of the model, whatever the
number of rows. A tolerance of 0 is plain BIC (Schwarz 1978).

Held-out log-likelihood has no penalty and rises as long as a component describes rows that it has
not seen a little better: of many rows it ends at the edge of the range as well. The smallest k
counts within the tolerance or within one standard error of the paired difference to the best,
whichever is larger: of few rows the difference is noise (Breiman et al. 1984, the rule of one
standard error), of many its standard error goes to 0 and the tolerance is what stops.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from dgmm.errors import ComponentError
from dgmm.fitting.iterate import ModelKey
from dgmm.fitting.selection.held_out import HeldOut
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
    def key(self) -> ModelKey:
        """What tells the model from the others."""
        return self.n_components, self.covariance_type

    @property
    def name(self) -> str:
        """In words."""
        left = "" if self.n_left is None else f" ({self.n_left} left)"
        noun = "component" if self.n_components == 1 else "components"
        return f"{self.n_components} {self.covariance_type} {noun}{left}"


class Rule(Protocol):
    """How models are compared."""

    @property
    def tolerance(self) -> float:
        """Nats per row that a smaller model may be worse by."""

    @property
    def words(self) -> str:
        """The rule in words."""

    @property
    def without_tolerance(self) -> str:
        """What a tolerance of 0 makes of the rule, in words."""

    def distance(self, chosen: Scored, best: Scored) -> str:
        """By how much the chosen model is worse than the best, in words."""

    def loss(self, one: Scored) -> float:
        """What is to be low, nats per row; NaN where it is not known."""

    def allowance(self, one: Scored, best: Scored) -> float:
        """By how much a model may be worse than the best, nats per row."""


@dataclass(frozen=True, slots=True)
class BicRule:
    """BIC / (2 n) within the tolerance of the lowest."""

    n_rows: float
    tolerance: float

    @property
    def words(self) -> str:
        """The rule in words."""
        if self.tolerance == 0:
            return "lowest BIC"
        return (
            f"fewest components of the models whose BIC / (2 n) is within {self.tolerance:g} nats "
            "per row of the lowest"
        )

    @property
    def without_tolerance(self) -> str:
        """What a tolerance of 0 makes of the rule, in words."""
        return "is plain BIC"

    def distance(self, chosen: Scored, best: Scored) -> str:
        """By how much the chosen model is worse than the best, in words."""
        above = self.loss(chosen) - self.loss(best)
        return f"BIC / (2 n) is {above:.3g} nats per row above the lowest"

    def loss(self, one: Scored) -> float:
        """BIC / (2 n)."""
        return one.criteria.bic / (2.0 * self.n_rows)

    def allowance(self, one: Scored, best: Scored) -> float:  # noqa: ARG002 - the protocol's
        """The tolerance."""
        return self.tolerance


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutRule:
    """Held-out log-likelihood within the tolerance, or one standard error, of the highest."""

    held_out: HeldOut
    tolerance: float

    @property
    def words(self) -> str:
        """The rule in words."""
        within = f"{self.tolerance:g} nats per row or " if self.tolerance else ""
        return (
            f"fewest components of the models whose held-out log-likelihood is within {within}"
            "one standard error of the paired difference of the highest"
        )

    @property
    def without_tolerance(self) -> str:
        """What a tolerance of 0 makes of the rule, in words."""
        return "leaves one standard error alone"

    def distance(self, chosen: Scored, best: Scored) -> str:
        """By how much the chosen model is worse than the best, in words."""
        if chosen.key == best.key:
            return "held-out log-likelihood is the highest"
        below = self.held_out.below(chosen.key, best.key)
        return (
            f"held-out log-likelihood is {below.mean:.3g} nats per row below the highest, with a "
            f"standard error of {below.standard_error:.2g}"
        )

    def loss(self, one: Scored) -> float:
        """The held-out log-likelihood per row, its sign turned."""
        return -self.held_out.mean(one.key)

    def allowance(self, one: Scored, best: Scored) -> float:
        """The tolerance or the standard error of the difference, whichever is larger."""
        error = self.held_out.below(one.key, best.key).standard_error
        return max(self.tolerance, error)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What was chosen, by which rule, and which reasons there are to look further.

    Attributes
    ----------
    chosen, best, best_bic
        By the rule; the best by its criterion alone; by BIC alone.
    runner_up
        What the rule would choose without the chosen one; None of one model.
    criterion
        The rule that models were compared by.
    given_up
        By how much the chosen model's BIC is worse than the best, nats per row.
    sizes
        Numbers of components that were asked for, of models that could not be fitted too.
    """

    chosen: Scored
    best: Scored
    best_bic: Scored
    runner_up: Scored | None
    criterion: Rule
    given_up: float
    sizes: frozenset[int]

    @property
    def rule(self) -> str:
        """The rule in words."""
        return self.criterion.words

    @property
    def tolerance(self) -> float:
        """Of the rule, nats per row."""
        return self.criterion.tolerance

    def describe(self) -> str:
        """The choice in a line, BIC's beside it."""
        found = f"{self.chosen.name}{self._edge(self.chosen)}: {self.rule}"
        if isinstance(self.criterion, HeldOutRule) and self.best != self.chosen:
            found += f"; the highest is that of {self.best.name}{self._edge(self.best)}"
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
        own, rule = 100.0 * self.tolerance, self.criterion
        return (
            f"The chosen model's {rule.distance(self.chosen, self.best)}. "
            "A cluster with a share p of the rows that gains g nats per row of its own counts "
            f"p·g: within a tolerance of {self.tolerance:g}, one of 1 % of the rows is not seen "
            f"unless it gains {own:g} or more. Where small clusters matter, lower "
            f"selection.tolerance; 0 {rule.without_tolerance}"
        )


def choose(
    models: Sequence[Scored], rule: Rule, n_rows: float, sizes: Collection[int] = ()
) -> Choice:
    """The smallest k that the rule allows, over all families.

    k are the components that EM has left, where it has lost some. Of equal k the model of fewest
    parameters is taken, then the best one. Models that are not sound, or whose criterion is not
    known, count only where none is.

    Parameters
    ----------
    models
        Of the same rows.
    rule
        How they are compared.
    n_rows
        Rows that the likelihoods are of, or the sum of their weights.
    sizes
        Numbers of components that were asked for, where that is more than those of the models.

    Raises
    ------
    ComponentError
        If there is no model.
    """
    plain = BicRule(n_rows, 0.0)
    known = [m for m in models if math.isfinite(plain.loss(m)) and math.isfinite(rule.loss(m))]
    comparable = [m for m in known if m.is_sound] or known or list(models)
    if not comparable:
        raise ComponentError("no model could be fitted")
    chosen, best_bic = _smallest(comparable, rule), _best(comparable, plain)
    others = [m for m in comparable if m is not chosen]
    return Choice(
        chosen=chosen,
        best=_best(comparable, rule),
        best_bic=best_bic,
        runner_up=_smallest(others, rule) if others else None,
        criterion=rule,
        given_up=plain.loss(chosen) - plain.loss(best_bic),
        sizes=frozenset(sizes) | {m.n_components for m in models},
    )


def _smallest(models: Sequence[Scored], rule: Rule) -> Scored:
    best = _best(models, rule)
    near = [m for m in models if rule.loss(m) - rule.loss(best) <= rule.allowance(m, best)]
    return min(near or [best], key=lambda m: (*_order(m), rule.loss(m), m.n_components))


def _best(models: Sequence[Scored], rule: Rule) -> Scored:
    return min(models, key=lambda m: (rule.loss(m), *_order(m)))


def _order(one: Scored) -> tuple[int, int]:
    return one.size, one.n_parameters
