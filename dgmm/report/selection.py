"""Several models: their criteria, and which model was chosen, by which rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dgmm.report.figure import sentence
from dgmm.report.formatting import number, shortened
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table

_MOST_ROWS = 200

#: Size and family, as run.json names a model.
Key = tuple[Any, Any]


def selection_table(record: RunRecord) -> Table | None:
    """Every model with its criteria, what was chosen, by which rule, and what that may hide."""
    selection, models = record.section("selection"), selected_models(record)
    if not models:
        return None
    n, bics = _rows(selection), [finite(one.get("bic")) for one in models]
    lowest = min((bic for bic in bics if bic is not None), default=None)
    marks = _marks(selection)
    rows = [
        (
            name_of(one) + _left(one) + marks.get(key_of(one), ""),
            number(one.get("n_parameters")),
            number(one.get("mean_log_likelihood"), 7),
            _above(bic, lowest, n),
            *(number(one.get(name), 7) for name in ("bic", "aic", "icl")),
            number(one.get("entropy"), 5),
            number(one.get("n_iter")),
            shortened(str(one.get("outcome")), 40)
            + ("" if one.get("is_sound") else ", not compared"),
        )
        for one, bic in zip(models[:_MOST_ROWS], bics, strict=False)
    ]
    header = (
        *("model", "free parameters", "mean log-likelihood", "BIC / (2 n) above the lowest"),
        *("BIC", "AIC", "ICL", "entropy", "iterations", "outcome"),
    )
    return Table("Models", header, rows, frozenset(range(1, 9)), _note(selection, models))


def _note(selection: Mapping[str, Any], models: list[dict[str, Any]]) -> str:
    chosen, bic = name_of(selection.get("chosen")), name_of(selection.get("lowest_bic"))
    more = len(models) - _MOST_ROWS
    failed = selection.get("failed")
    return sentence(
        f"Chosen: {chosen}{_edge(selection, 'chosen')}, the rule being {selection.get('rule')}.",
        f"BIC alone chooses {bic}{_edge(selection, 'lowest_bic')}.",
        f"{str(selection.get('hidden')).rstrip('.')}." if selection.get("hidden") else "",
        f"{number(selection.get('passes'))} passes of EM over all rows, in place of "
        f"{number(selection.get('passes_alone'))} of the models one by one.",
        "Likelihoods, entropies and criteria are those of each model's last pass, before its last "
        "M-step; every model lies in the run directory below models/.",
        _names(selection.get("refitted"), "Fitted again from a split of a smaller model"),
        _names(selection.get("fallen"), "Less likely than a smaller model of the same family"),
        f"{more:,} more models are in run.json." if more > 0 else "",
        f"Not fitted: {shortened(', '.join(map(str, failed)), 300)}."
        if isinstance(failed, dict) and failed
        else "",
    )


def _edge(selection: Mapping[str, Any], which: str) -> str:
    if selection.get(f"{which}_at_edge"):
        return " (at the edge of the range: more might be better)"
    if selection.get(f"{which}_is_smallest"):
        return " (the smallest that was asked for: fewer might do)"
    return ""


def _names(models: Any, words: str) -> str:
    found = [one for one in models if isinstance(one, dict)] if isinstance(models, list) else []
    named = ", ".join(name_of(one) + _reason(one) for one in found)
    return f"{words}: {shortened(named, 300)}." if named else ""


def _reason(one: Mapping[str, Any]) -> str:
    return f" ({shortened(str(one['reason']), 40)})" if "reason" in one else ""


def selected_models(record: RunRecord) -> list[dict[str, Any]]:
    """The models of run.json's selection."""
    found = record.section("selection").get("models")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _marks(selection: Mapping[str, Any]) -> dict[Key, str]:
    marks: dict[Key, str] = {}
    for name, words in (
        ("chosen", " (chosen)"),
        ("lowest_bic", " (lowest BIC)"),
        ("runner_up", " (runner-up)"),
    ):
        if isinstance(one := selection.get(name), dict):
            marks[key_of(one)] = marks.get(key_of(one), "") + words
    return marks


def key_of(one: Mapping[str, Any]) -> Key:
    """Size and family of a model."""
    return one.get("n_components"), one.get("covariance_type")


def name_of(one: Any) -> str:
    """A model in words: `full 4`."""
    if not isinstance(one, dict):
        return number(None)
    return shortened(f"{one.get('covariance_type')} {number(one.get('n_components'))}", 40)


def _left(one: Mapping[str, Any]) -> str:
    """How many components are left of a model that has lost some."""
    asked, left = one.get("n_components"), one.get("fitted_components")
    has_lost = isinstance(asked, int) and isinstance(left, int) and left < asked
    return f", {number(left)} left" if has_lost else ""


def _rows(selection: Mapping[str, Any]) -> float | None:
    n = finite(selection.get("rows"))
    return n if n is not None and n > 0 else None


def _above(bic: float | None, lowest: float | None, n_rows: float | None) -> str:
    if bic is None or lowest is None or n_rows is None:
        return number(None)
    return number((bic - lowest) / (2.0 * n_rows), 4)


def finite(value: Any) -> float | None:
    """A value if it is a finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None
