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
    if len(candidates) == 1:
        return candidates
    restarts = Counter(c.id.without_start for c in candidates)
    several = {restart for restart, n in restarts.items() if n > 1}
    going = {
        c.id.without_start
        for c in candidates
        if c.outcome is None and c.n_iter < SCREENED_ITERATIONS
    }
    chosen = {
        r: best(tuple(c for c in candidates if c.id.without_start == r)) for r in several - going
    }
    return tuple(c for c in candidates if chosen.get(c.id.without_start, c) is c)
