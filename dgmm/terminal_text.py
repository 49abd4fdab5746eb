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


def quoted(name: int | str, most: int = 60) -> str:
    """A name from the data as messages show it: text in quotes, cut where it is long.

    Examples
    --------
    >>> quoted("  "), quoted(7), quoted("abcdef", most=4)
    ("'  '", '7', "'abc…'")
    """
    if not isinstance(name, str):
        return str(name)
    return repr(name if len(name) <= most else name[: most - 1] + "…")


def _is_safe(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def listed(
    words: Iterable[str], most: int = 10, separator: str = ", ", total: int | None = None
) -> str:
    """The first of some words and how many more there are; `total` counts those not at hand too.

    Examples
    --------
    >>> listed("abcde", most=3)
    'a, b, c and 2 more'
    >>> listed("abc", total=5)
    'a, b, c and 2 more'
    """
    every = list(words)
    shown = every[:most]
    rest = (len(every) if total is None else total) - len(shown)
    return separator.join(shown) + (f" and {rest:,} more" if rest > 0 else "")
