"""Numbers of components: those that a fit works with, and those that a user knows them by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.em.collapse import ComponentEvent

#: Events that end a component.
_ENDS = ("dropped", "pruned")


def n_lost(events: Sequence[ComponentEvent]) -> int:
    """Components that are no longer there."""
    return sum(event.kind in _ENDS for event in events)


def origins(events: Sequence[ComponentEvent], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """What the components that are left were called at the start.

    Parameters
    ----------
    events
        Of one candidate, in the order in which they happened.
    order : (k,)
        What the components that the candidate began with are called.

    Examples
    --------
    >>> lost = ComponentEvent(3, 0, 1, "dropped", "component 1 of 3 emptied")
    >>> origins([lost], np.array([2, 0, 1])).tolist()
    [2, 1]
    """
    left = order
    for _, after in _by_iteration(events, order):
        left = after
    return left


def in_numbers_of(
    events: Sequence[ComponentEvent], order: NDArray[np.intp]
) -> tuple[ComponentEvent, ...]:
    """Events whose components have the numbers that components of this order have.

    Those left at the time of an event are numbered without a gap, as they were ordered at the
    start.

    Examples
    --------
    >>> lost = ComponentEvent(3, 0, 1, "dropped", "component 1 of 3 emptied")
    >>> in_numbers_of([lost], np.array([2, 0, 1]))[0].message
    'component 0 of 3 emptied'
    """
    named, before = list[ComponentEvent](), order
    for group, left in _by_iteration(events, order):
        places = np.argsort(np.argsort(before))
        named += [_renamed(event, places) for event in group]
        before = left
    return tuple(named)


def _by_iteration(
    events: Sequence[ComponentEvent], left: NDArray[np.intp]
) -> Iterator[tuple[list[ComponentEvent], NDArray[np.intp]]]:
    """Events of one iteration, and what is left after it; they count as it was before it."""
    for _, together in groupby(events, lambda event: event.iteration):
        group = list(together)
        ended = [e.component for e in group if e.kind in _ENDS and e.component is not None]
        left = np.delete(left, ended)
        yield group, left


def _renamed(event: ComponentEvent, places: NDArray[np.intp]) -> ComponentEvent:
    if event.component is None:
        return event
    j, k = int(places[event.component]), len(places)
    own = f"component {event.component} of {k}"
    text = event.message.replace(own, f"component {j} of {k}", 1)
    return replace(event, component=j, message=text)
