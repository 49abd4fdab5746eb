"""What tells one candidate of a fit from the others."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class CandidateId:
    """The restart and the name of the start within it; the rest where candidates differ in it.

    Attributes
    ----------
    restart, start
        The restart, and the start's name within it.
    n_components, covariance_type
        Of the candidate's mixture; None where all candidates of the fit agree.
    fold
        The part of the rows that it does not see (cross-validation); None where it sees all.
    label
        The class whose rows it describes; None where rows have none.
    """

    restart: int = 0
    start: str = ""
    n_components: int | None = None
    covariance_type: str | None = None
    fold: int | None = None
    label: int | None = None

    @property
    def without_start(self) -> CandidateId:
        """What all starts of one restart have in common."""
        return replace(self, start="")
