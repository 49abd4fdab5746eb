"""What is heard of the fits of many mixtures: a line for each pass over all, not for each of them.

Records of each mixture are passed on beside: metrics.csv and events.jsonl have these.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dgmm.events import Listener, SilentListener
from dgmm.fitting.classes.class_preparation import Part
from dgmm.fitting.classes.part_words import together, which
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.state import FitCandidate
from dgmm.terminal_text import listed

#: Lines that tell how many starts were made, at most; of fewer mixtures there is none.
_LINES = 10


class StartsListener(SilentListener):
    """Hears the starts of mixtures one after the other; stages and notes of each are left out.

    Parameters
    ----------
    listener
        Hears how many mixtures have starts, and warnings, those of one text once.
    names
        Of the classes, by code.
    n_mixtures
        How many there are.
    """

    def __init__(self, listener: Listener, names: Sequence[str], n_mixtures: int) -> None:
        self._listener, self._names, self._of = listener, names, n_mixtures
        self._part, self._n_begun = Part(0), -1
        self._said: list[tuple[Part, str]] = []

    def begins(self, part: Part) -> None:
        """Take note whose starts come next."""
        self._part, self._n_begun = part, self._n_begun + 1
        step, before = (_LINES * n // self._of for n in (self._n_begun, self._n_begun - 1))
        if self._of > _LINES and step > before >= 0:
            self._listener.mixtures({"begun": self._n_begun, "of": self._of})

    def warning(self, text: str) -> None:
        """Something about the mixture whose starts are made."""
        self._said.append((self._part, text))

    def end(self) -> None:
        """Hand on what was said."""
        for text in together(self._said, self._names):
            self._listener.warning(text)


class PassListener(SilentListener):
    """Hears every iteration of every mixture, and tells one line of each pass.

    Parameters
    ----------
    listener
        Hears both, and notes.
    names
        Of the classes, by code.
    n_rows
        Rows that a pass reads.
    """

    def __init__(self, listener: Listener, names: Sequence[str], n_rows: int) -> None:
        self._listener, self._names, self._n_rows = listener, names, n_rows
        self._heard: list[Mapping[str, Any]] = []
        self._changed: list[tuple[Part, str]] = []

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._listener.note(text)

    def iteration(self, record: Mapping[str, Any]) -> None:
        """A pass of one mixture has ended."""
        self._heard.append(record)
        self._listener.iteration(record)

    def component(self, record: Mapping[str, Any]) -> None:
        """A component of one mixture has changed."""
        part = Part(int(record.get("class", 0)), record.get("fold"))
        self._changed.append((part, str(record["kind"])))
        self._listener.component(record)

    def passed(self, n_passes: int, candidates: Sequence[FitCandidate]) -> None:
        """All mixtures have taken a pass."""
        heard, self._heard = self._heard, []
        if not heard:
            return
        every = {part_of(c.id) for c in candidates}
        running = {part_of(c.id) for c in candidates if c.outcome is None}
        moved = [abs(r["change"]) for r in heard if not math.isnan(r["change"])]
        record = {"seconds": heard[0]["seconds"], "rows": self._n_rows}
        record |= {"pass": n_passes, "running": len(running), "of": len(every)}
        self._listener.mixtures(record | {"change": max(moved, default=None)})

    def end(self) -> None:
        """Tell what became of components."""
        if self._changed:
            kinds = Counter(kind for _, kind in self._changed)
            how = listed(f"{n:,} {kind}" for kind, n in kinds.items())
            where = which([part for part, _ in self._changed], self._names)
            self._listener.note(f"components: {how} ({where}); component_log in run.json has each")


def part_of(identity: CandidateId) -> Part:
    """The mixture that a candidate is a start of."""
    return Part(identity.label or 0, identity.fold)
