"""The job file of an inspection, as YAML; everything that describes is a comment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dgmm.data.inspection.quick_look import QuickLook
from dgmm.data.inspection.suggestion import Suggestion
from dgmm.terminal_text import listed, printable

#: Text that YAML reads as text without quotes.
_PLAIN = re.compile(r"[A-Za-z_./][\w./-]*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "none"}
_COMPONENTS, _ROWS_A_COMPONENT = 8, 10
#: Rows per free parameter from which on a covariance shape is suggested.
_ROWS_A_PARAMETER = 5
_LONGEST_LIST, _LONGEST_LINE = 8, 100


def comment(lines: Iterable[str]) -> list[str]:
    """Lines as comments, without control characters."""
    return [f"# {printable(line)}".rstrip() for line in lines]


def job_lines(path: str, suggestion: Suggestion, look: QuickLook) -> list[str]:
    """The job: data, model and output, each choice with its reason."""
    n_components = max(1, min(_COMPONENTS, look.n_rows // _ROWS_A_COMPONENT))
    shape, why = _covariance(look, n_components)
    missing, why_missing = _missing(look)
    stem = re.sub(r"[^\w.-]+", "_", Path(path).stem) or "rows"
    return [
        "data:",
        *_keys({"path": path} | dict(suggestion.keys), suggestion.remarks),
        *_keys({"missing": missing}, {"missing": why_missing}),
        "model:",
        *_keys({"n_components": n_components}, {"n_components": "a beginning: try others"}),
        *_keys({"covariance_type": shape}, {"covariance_type": why}),
        "output:",
        *_keys({"path": f"runs/{stem}"}, {}),
    ]


def rows_in_words(look: QuickLook) -> list[str]:
    """What the rows of the job are."""
    names = listed(look.feature_names, _LONGEST_LIST)
    lines = [f"{look.n_rows:,} rows × {look.n_features:,} features ({look.dtype}): {names}"]
    lines += look.notes
    if look.missing:
        counts = listed((f"{name} {n:,}" for name, n in look.missing.items()), _LONGEST_LIST)
        lines.append(
            f"of {look.n_looked:,} rows looked at, {look.n_complete:,} are complete and "
            f"{look.n_empty:,} have no value; missing: {counts}"
        )
    return lines


def quoted(text: str) -> str:
    """Text as YAML reads it back; `$` begins a name of the environment, and is doubled so."""
    text = text.replace("$", "${$}")
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=not text.isprintable())


def _keys(keys: Mapping[str, Any], remarks: Mapping[str, str]) -> Iterator[str]:
    for key, value in keys.items():
        yield from _with_remark(f"  {key}: ", value, remarks.get(key, ""))


def _with_remark(begin: str, value: Any, remark: str) -> list[str]:
    line = begin + _flow(value)
    if len(line) > _LONGEST_LINE and isinstance(value, list):
        head = begin.rstrip() + (f"  # {printable(remark)}" if remark else "")
        return [head, *(f"    - {_flow(each)}" for each in value)]
    return [line + (f"  # {printable(remark)}" if remark else "")]


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return quoted(value) if isinstance(value, str) else str(value)


def _missing(look: QuickLook) -> tuple[str, str]:
    if not look.missing:
        return "error", "no NaN in the rows looked at"
    if not look.n_complete:
        return "marginalise", "no row looked at is complete: the values that there are are fitted"
    return "drop", "rows with NaN are left out (label -1); marginalise keeps those with some values"


def _covariance(look: QuickLook, k: int) -> tuple[str, str]:
    """The most general shape that so many rows determine."""
    d, n = look.n_features, look.n_rows
    shared = k * (d + 1)
    counts = {"full": k * d * (d + 1) // 2 + shared, "tied": d * (d + 1) // 2 + shared}
    for shape, count in counts.items():
        if n >= _ROWS_A_PARAMETER * count:
            return shape, f"{count:,} free parameters"
    return "diag", f"full has {counts['full']:,} free parameters, too many for {n:,} rows"
