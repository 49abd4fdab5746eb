"""Numbers and names as a reader wants them: digits that mean something, text that stays text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Self

from dgmm.terminal_text import printable

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLAIN_SCALAR = re.compile(r"[A-Za-z_/.][\w ./-]*[\w/]|[A-Za-z_]")
_YAML_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off"})
_LONGEST_STRING = 400
_SIZE_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")

MISSING = "—"


class Shown(str):
    """Text for a reader that keeps the value it was made of, which report.json gives.

    Parameters
    ----------
    text : str
        What the page says.
    value : object
        A number, a text, or None where there is none.
    """

    __slots__ = ("value",)
    value: Any

    def __new__(cls, text: str, value: Any) -> Self:
        """A text with its value."""
        shown = super().__new__(cls, text)
        shown.value = value
        return shown


def value_of(cell: str) -> Any:
    """What a cell of a table was made of: the number behind it, else its text."""
    return cell.value if isinstance(cell, Shown) else str(cell)


def number(value: Any, digits: int = 5) -> Shown:
    """A number with `digits` significant digits and thousands separators; — where there is none."""
    text = _number_text(value, digits)
    return Shown(text, None if text == MISSING else value)


def _number_text(value: Any, digits: int) -> str:
    if value is None or isinstance(value, bool):
        return MISSING
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    try:
        value = float(value)  # run.json holds infinities as strings
    except (TypeError, ValueError):
        return shortened(str(value), 40)
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return _finite(value, digits).replace("-", "−")


def _finite(value: float, digits: int) -> str:
    size = abs(value)
    if size and (size < 1e-4 or size >= 1e15):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}×{power_of_ten(int(exponent))}"
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:,.{digits}g}"


def power_of_ten(exponent: int) -> str:
    """10ⁿ in letters: 10⁻⁵, 10², and 1 and 10 as they are."""
    if exponent in {0, 1}:
        return str(10**exponent)
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def percent(share: float) -> Shown:
    """A share as a percentage with three significant digits; its value is the share."""
    return Shown(f"{number(100 * share, 3)} %", share)


def size(n_bytes: Any) -> Shown:
    """Bytes in decimal units."""
    return Shown(_size_text(n_bytes), n_bytes)


def _size_text(n_bytes: Any) -> str:
    if n_bytes is None:
        return MISSING
    amount = float(n_bytes)
    power = min(int(math.log10(max(amount, 1.0)) // 3), len(_SIZE_UNITS) - 1)
    digits = f"{int(amount):,}" if power == 0 else number(amount / 1000.0**power, 3)
    return f"{digits} {_SIZE_UNITS[power]}"


def duration(seconds: Any) -> Shown:
    """Seconds in the unit a person would say."""
    return Shown(_duration_text(seconds), seconds)


def _duration_text(seconds: Any) -> str:
    if seconds is None or not math.isfinite(float(seconds)):
        return MISSING
    seconds = float(seconds)
    if seconds < 1:
        return f"{number(1000 * seconds, 3)} ms"
    if seconds < 60:
        return f"{number(seconds, 3)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{number(minutes // 60)} h {minutes % 60} min"


def ordinal(count: int) -> str:
    """A count as an ordinal: 1st, 2nd, 3rd, 4th, 11th."""
    suffix = "th" if count % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(count % 10)
    return f"{count:,}{suffix or 'th'}"


def shortened(text: str, width: int) -> str:
    """The text in one line of at most `width` characters, without its middle where it is longer."""
    # Cut before anything else looks at it: a name may have 10⁵ characters.
    if len(text) > width:
        head = (width - 1) * 2 // 3
        text = text[:head] + "…" + text[len(text) - (width - 1 - head) :]
    return printable(text.replace("\n", " "), "\N{REPLACEMENT CHARACTER}")


def yaml_text(value: Any) -> str:
    """A nest of dicts, lists and scalars as YAML 1.2, long strings shortened."""
    return "\n".join(_lines(value, 0)) or "{}"


def _lines(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    entries = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in entries:
        label = "- " if key is None else f"{_scalar(str(key))}: "
        if _is_nested(item):
            yield indent + label.rstrip()
            yield from _lines(item, depth + 1)
        else:
            yield indent + label + _inline(item)


def _is_nested(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(isinstance(item, dict | list | tuple) for item in value)
    return isinstance(value, dict) and bool(value)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | tuple):
        shown = [_scalar(item) for item in value[:50]]
        more = [f'"… {len(value) - 50:,} more"'] if len(value) > 50 else []
        return f"[{', '.join(shown + more)}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value, default=str)
    text = shortened(value, _LONGEST_STRING)
    plain = _PLAIN_SCALAR.fullmatch(text) and text.lower() not in _YAML_WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
