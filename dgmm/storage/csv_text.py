"""Rows as CSV that any reader takes apart as they were."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_END = "\r\n"


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    r"""Lines that end in `\n`, with RFC 4180's quotes.

    Of line ends within a value `csv.writer` quotes those alone that it ends lines with: of `\r\n`
    it quotes both characters. With `\n` a lone `\r` would end a line for every reader.

    Examples
    --------
    >>> csv_text([["a", "b\rc"], ["d,e", 1.5]])
    'a,"b\rc"\n"d,e",1.5\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=_END)
    for row in rows:
        writer.writerow(row)
        text.seek(text.tell() - len(_END))
        text.write("\n")
        text.truncate()
    return text.getvalue()
