"""Text of messages: made safe for a terminal, a log or a page, and lists cut short."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def printable(text: str, replacement: str | None = None) -> str:
    r"""One line of text with every control character spelled out, or replaced.

    Names come from files: an escape sequence in one could rewrite the terminal, a newline the log.
    Spaces of any kind stay.

    Examples
    --------
    >>> print(printable("x\x1b[31m\n"))
    x\x1b[31m\n
    >>> print(printable("x\x1b[31m\n", "?"))
    x?[31m?
    """
    return "".join(c if _is_safe(c) else replacement or ascii(c)[1:-1] for c in text)


def _is_safe(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def listed(words: Iterable[str], most: int = 10, separator: str = ", ") -> str:
    """The first of some words and how many more there are.

    Examples
    --------
    >>> listed("abcde", most=3)
    'a, b, c and 2 more'
    """
    every = list(words)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return separator.join(every[:most]) + more
