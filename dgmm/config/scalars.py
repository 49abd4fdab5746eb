"""What a bare word in YAML means: the core schema of YAML 1.2, and nothing more.

Own code, because no loader at hand keeps to it: PyYAML reads `no` as false and `1e-6` as text,
ruamel.yaml reads `012` as 12. (YAML 1.2.2, section 10.3.2.)
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_MOST_DIGITS = 400  # more than any float has; int() of 10⁶ digits would take minutes or raise


class AmbiguousScalarError(ValueError):
    """A bare word that loaders read differently."""


def resolve_scalar(text: str) -> Scalar:
    """The value of a bare word.

    Raises
    ------
    AmbiguousScalarError
        For integers with a leading zero (decimal here, octal there) and numbers beyond any use.
    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _LEADING_ZERO.fullmatch(text):
        raise AmbiguousScalarError("a number with a leading zero (octal or decimal?)")
    number = _number(text)
    return text if number is None else number


def _number(text: str) -> int | float | None:
    if _INFINITE.fullmatch(text) or text in _NOT_A_NUMBER:
        return float(text.replace(".", ""))
    if _FLOAT.fullmatch(text) and len(text) > _MOST_DIGITS:
        raise AmbiguousScalarError(f"a number of {len(text)} characters")
    for pattern, base in ((_INTEGER, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            return int(text, base)
    return float(text) if _FLOAT.fullmatch(text) else None
