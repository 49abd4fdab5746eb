"""The state of one candidate, and what the candidates of a fit have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.fitting.em.acceleration import Acceleration, Cycle, Step
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import CollapsePolicy, ComponentEvent
from dgmm.fitting.em.e_step_request import RowFilter
from dgmm.fitting.inference import MAXIMUM_LIKELIHOOD, Inference
from dgmm.mixture.kernels import Guard
from dgmm.mixture.parameters import Estimate, Parameters
from dgmm.outcome import Outcome

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EMProblem:
    """What candidates in one unit system have in common.

    Attributes
    ----------
    tol
        Bound of the change of the objective, nats per row.
    max_iter
        M-steps at most; 0 keeps the start.
    collapse
        Policy for lost components; knows the sample and the regularisation.
    guard
        What is known of the rows' range.
    standardisation
        The unit system of all parameters.
    rows
        The rows that the candidates see; None for all.
    single
        Early passes may use float32 tiles.
    log_volume
        Σ log scale: what standardising adds to a log density.
    acceleration
        Whether passes may go to extrapolated parameters.
    needs_confirmation
        Whether two estimates of the gain that is still to come must be below `tol`, however small
        one is: where EM has followed the starts on these very rows, the first steps are small
        whatever is still to come. That takes three passes more, over few rows.
    marginalises
        Whether rows may lack values (NaN): the likelihood is that of the observed ones.
    counts_are_rows
        Whether weights are counts, so that a row of weight w is w rows.
    backend
        What computes the passes of the candidates, by its name; empty is that of the pass.
    inference
        What is maximised: the likelihood, or that and a prior.
    """

    tol: float
    max_iter: int
    collapse: CollapsePolicy
    guard: Guard
    standardisation: Standardisation
    rows: RowFilter | None = None
    single: bool = False
    log_volume: float = 0.0
    acceleration: Acceleration = "none"
    needs_confirmation: bool = False
    marginalises: bool = False
    counts_are_rows: bool = False
    backend: str = ""
    inference: Inference = MAXIMUM_LIKELIHOOD


@dataclass(frozen=True, slots=True, eq=False)
class FitCandidate:
    """One start on its way to an outcome.

    Attributes
    ----------
    id
        What tells it from the other candidates of the fit.
    history
        Objectives of the E-steps so far, per row, user units; those of rejected steps left out.
    is_comparable
        Whether the last of them and the next are a plain step apart: not after a start, a re-seed,
        a drop, a change of kernel or an accelerated step.
    estimate
        What the last M-step found before regularisation: how far the objective may fall by it.
        None where the comparison starts anew.
    previous
        Parameters of the E-step before, for LOG_LIKELIHOOD_DECREASED.
    cycle
        Where the acceleration stands.
    stage
        What the next pass may use: float32 (`single`) and, once that is over, `double`; `centred`
        for one pass, where moments of products did not hold an M-step.
    scatter
        Total scatter about the origin once known, for families that have one.
    reseeds, used_rows, is_variance_floored
        The collapse policy's memory (`dgmm.fitting.em.collapse.CollapseResult`).
    is_given
        The start was given, by a user or a model, and is never called degenerate.
    entropy
        Σ −w r log r of the last E-step, once there is an outcome; None where it is not known.
    warm_objective
        The objective that an earlier fit ended with, where this one goes on from it.
    last_log_likelihood
        The mean log-likelihood that belongs to the last objective; None before the first.
    """

    id: CandidateId
    parameters: Parameters
    n_iter: int = 0
    history: tuple[float, ...] = ()
    is_comparable: bool = False
    estimate: Estimate | None = None
    previous: Parameters | None = None
    cycle: Cycle = field(default_factory=Cycle)
    stage: Literal["single", "double", "centred"] = "double"
    kernel: str = ""
    scatter: Array | None = None
    reseeds: tuple[int, ...] = ()
    used_rows: tuple[int, ...] = ()
    events: tuple[ComponentEvent, ...] = ()
    is_variance_floored: bool = False
    outcome: Outcome | None = None
    is_given: bool = False
    entropy: float | None = None
    warm_objective: float | None = None
    last_log_likelihood: float | None = None

    @property
    def restart(self) -> int:
        """The restart."""
        return self.id.restart

    @property
    def start(self) -> str:
        """The name of the start within the restart."""
        return self.id.start

    @property
    def objective(self) -> float:
        """Of the last E-step, per row in user units; −inf before the first."""
        return self.history[-1] if self.history else -float("inf")

    @property
    def mean_log_likelihood(self) -> float:
        """Of the last E-step, nats per row in user units; −inf before the first.

        In states of earlier versions it is the objective.
        """
        return self.objective if self.last_log_likelihood is None else self.last_log_likelihood


@dataclass(frozen=True, slots=True)
class Iteration:
    """What a listener gets of one candidate's iteration.

    A rejected step leaves the likelihood that was known before it, and no change. `seconds` and
    `backend` (what computed the pass: `numba`, `numpy`, or both) are the pass's. `objective` is
    what is maximised, and `change` that of it; None where that is the likelihood.
    """

    iteration: int
    restart: int
    mean_log_likelihood: float
    change: float
    kernel: str
    dtype: str
    rows: int
    step: Step = "plain"
    seconds: float = 0.0
    backend: str = ""
    start: str = ""
    objective: float | None = None
