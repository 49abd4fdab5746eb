"""Mixtures of classes and folds in words: many that have the same to say become one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dgmm.fitting.classes.class_preparation import Part
from dgmm.terminal_text import listed

#: Classes that are named of the saved classifier, and of a fold; folds that are named.
_CLASSES, _OF_FOLD, _FOLDS = 12, 6, 10


def which(parts: Sequence[Part], names: Sequence[str]) -> str:
    """Some mixtures: their classes, and without which fold.

    Examples
    --------
    >>> which([Part(0), Part(2)], ["a", "b", "c"])
    'classes a, c'
    >>> which([Part(1), Part(0, 3), Part(1, 3), Part(1, 4)], ["a", "b"])
    'class b; without fold 3: a, b; without fold 4: b'
    """
    found = []
    for fold, labels in _by_fold(parts).items():
        if fold is None:
            of = "class" if len(labels) == 1 else "classes"
            found.append(f"{of} {listed((names[i] for i in labels), _CLASSES)}")
        else:
            own = listed((names[i] for i in labels), _OF_FOLD)
            found.append(f"without fold {fold}: {own}")
    rest = len(found) - _FOLDS
    more = f"; and of {rest} more folds" if rest > 0 else ""
    return "; ".join(found[:_FOLDS]) + more


def together(said: Sequence[tuple[Part, str]], names: Sequence[str]) -> list[str]:
    """A line for each text, with all mixtures that it was said of.

    Examples
    --------
    >>> together([(Part(0), "is slow"), (Part(1), "is fast"), (Part(0, 1), "is slow")], ["a", "b"])
    ['class a; without fold 1: a: is slow', 'class b: is fast']
    """
    by_text: dict[str, list[Part]] = {}
    for part, text in said:
        by_text.setdefault(text, []).append(part)
    return [f"{which(parts, names)}: {text}" for text, parts in by_text.items()]


def _by_fold(parts: Sequence[Part]) -> Mapping[int | None, list[int]]:
    found: dict[int | None, list[int]] = {}
    for part in sorted(set(parts), key=lambda p: (p.held_out is not None, p.held_out, p.label)):
        found.setdefault(part.held_out, []).append(part.label)
    return found
