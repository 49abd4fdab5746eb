"""Where a fit ended, as the start of another: `warm_start` of the estimator."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Self

from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.summarise import Summary
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.outcome import Outcome

#: Ends at which the last likelihood is that of a plain step before the last parameters.
_COMPARABLE = {Outcome.CONVERGED, Outcome.MAX_ITER_REACHED}


@dataclass(frozen=True, slots=True, eq=False)
class LastFit:
    """A start (`UserStart`) that knows the objective EM had when it ended there.

    Attributes
    ----------
    model
        The mixture that came of it.
    objective
        Of its last E-step, per row; None where a further step is not to be compared with it.
    rows
        What identifies the rows: counts, extremes, means and variances, as a digest.
    regularisation
        `reg_covar`, `reg_covar_relative`, inference, prior and noise of the fit.
    """

    model: MixtureModel
    objective: float | None
    rows: str
    regularisation: tuple[Any, ...]

    @classmethod
    def of(
        cls, model: MixtureModel, chosen: FitCandidate, summary: Summary, settings: FitSettings
    ) -> Self:
        """What one fit leaves to the next."""
        is_comparable = chosen.outcome in _COMPARABLE and chosen.is_comparable
        mean = chosen.objective if is_comparable else None
        return cls(model, mean, _identity(summary), _regularisation(settings))

    def __call__(self, standardisation: Standardisation) -> Parameters:
        """The mixture under another standardisation."""
        return self.model.standardised_parameters(standardisation)

    def objective_before(self, summary: Summary, settings: FitSettings) -> float | None:
        """What the first E-step of a fit that goes on from here is compared with.

        None where rows or regularisation are others: objectives close to each other would then be
        chance, not convergence.
        """
        same = (_identity(summary), _regularisation(settings)) == (self.rows, self.regularisation)
        return self.objective if same else None


def _identity(summary: Summary) -> str:
    digest = hashlib.sha256(f"{summary.n_read} {summary.n_kept}".encode())
    for values in (summary.minimum, summary.maximum, summary.mean, summary.variance):
        digest.update(values.tobytes())
    return digest.hexdigest()


def _regularisation(settings: FitSettings) -> tuple[Any, ...]:
    s = settings
    # What held-out rows prefer is that of their halves, which follow the seed.
    share = s.reg_covar_relative if s.shrinkage == "none" else (s.shrinkage, s.seed)
    return s.reg_covar, share, s.inference, s.prior, s.noise
