"""Text made safe for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""One line of text with every control character spelled out.

    Names come from files: an escape sequence in one could rewrite the terminal, a newline the log.

    Examples
    --------
    >>> print(printable("x\x1b[31m\n"))
    x\x1b[31m\n
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
