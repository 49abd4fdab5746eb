"""Which of several starts of a restart goes on, once a few passes over all rows have been made."""

from __future__ import annotations

from collections import Counter

from dgmm.fitting.em.loop import best
from dgmm.fitting.em.state import FitCandidate

#: M-steps on all rows after which the likelier start goes on alone.
SCREENED_ITERATIONS = 5


def likelier(candidates: tuple[FitCandidate, ...]) -> tuple[FitCandidate, ...]:
    """One candidate for each restart whose candidates have all had their passes; the others stay.

    A function of the candidates alone, so that a run that was killed decides as it would have.
    """
    several = {restart for restart, n in Counter(c.restart for c in candidates).items() if n > 1}
    going = {
        c.restart
        for c in candidates
        if c.restart in several and c.outcome is None and c.n_iter < SCREENED_ITERATIONS
    }
    ended = several - going
    chosen = {r: best(tuple(c for c in candidates if c.restart == r)) for r in ended}
    return tuple(c for c in candidates if chosen.get(c.restart, c) is c)
