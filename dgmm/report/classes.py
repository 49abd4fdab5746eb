"""Classes: how often predictions are right, which classes are confused, and how sure is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dgmm.report.class_figures import calibration_figure, confusion_figure
from dgmm.report.formatting import MISSING, number, percent, shortened
from dgmm.report.regularisation import shrinkage_table
from dgmm.report.run_data import RunRecord
from dgmm.report.section import Section, section_of
from dgmm.report.table import Table

_MOST_ROWS = 200
_EVALUATIONS = (
    ("held_out", "held-out rows", ()),
    ("all_rows", "all rows, fitted ones included", ()),
    ("held_out", "held-out groups", ("groups",)),
    ("all_rows", "all groups, fitted ones included", ("groups",)),
)


def classes_section(record: RunRecord) -> Section:
    """Figures and tables of a run that classifies; empty for others."""
    own = record.section("classification")
    if not own:
        return Section("classes", "Classes")
    drawn = _first_of_each(own)
    figures = [confusion_figure(*one) for one in drawn] + [
        calibration_figure(*one) for one in drawn
    ]
    tables = [
        *(_evaluation(own), _classes(own)),
        shrinkage_table(own.get("shrinkage"), "Classes have"),
    ]
    return section_of("classes", "Classes", figures, tables)


def _found(own: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Evaluations that there are, with what they are of."""
    for key, words, path in _EVALUATIONS:
        place: Any = own
        for name in (*path, key):
            place = place.get(name) if isinstance(place, Mapping) else None
        if isinstance(place, Mapping) and place.get("rows"):
            yield words, place


def _evaluation(own: Mapping[str, Any]) -> Table | None:
    rows = [
        (
            words,
            number(one.get("rows")),
            number(one.get("accuracy"), 4),
            number(one.get("log_loss"), 4),
            number(one.get("calibration_error"), 3),
        )
        for words, one in _found(own)
    ]
    unknown = own.get("rows_without_class")
    note = (
        "Log loss is −log posterior of the right class, nats; the calibration error is the mean "
        "gap between posterior and accuracy in the figure of calibration. "
    )
    if "held_out" not in own:
        note += "Rows that were fitted are predicted too well: classes.folds holds rows out. "
    if unknown:
        note += f"{number(unknown)} rows of no known class were predicted, and not fitted."
    header = ("of", "compared", "accuracy", "log loss", "calibration error")
    return Table("Evaluation", header, rows, frozenset({1, 2, 3, 4}), note) if rows else None


def _classes(own: Mapping[str, Any]) -> Table | None:
    listed = own.get("classes")
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    evaluation = next((one for _, one in _found(own)), {})
    recalls = dict(zip(map(str, evaluation.get("names") or ()), _recall(evaluation), strict=False))
    rows = [
        (
            shortened(str(one.get("name")), 60),
            number(one.get("rows")),
            percent(float(one.get("prior", 0.0))),
            number(one.get("n_components")),
            shortened(str(one.get("outcome")), 40),
            number(one.get("n_iter")),
            number(one.get("mean_log_likelihood"), 6),
            recalls.get(str(one.get("name")), MISSING),
        )
        for one in entries[:_MOST_ROWS]
    ]
    header = (
        *("class", "rows", "prior", "components", "outcome", "iterations"),
        *("mean log-likelihood", "predicted right"),
    )
    more = len(entries) - _MOST_ROWS
    note = f"{more:,} more classes are in run.json." if more > 0 else ""
    return Table("Classes", header, rows, frozenset({1, 2, 3, 5, 6, 7}), note) if rows else None


def _recall(evaluation: Mapping[str, Any]) -> list[str]:
    shares = evaluation.get("recall") or ()
    return [MISSING if share is None else percent(float(share)) for share in shares]


def _first_of_each(own: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Of rows, and of groups, those that were held out where there are any."""
    found = list(_found(own))
    rows = [one for one in found if one[0].endswith("rows") or "rows," in one[0]]
    groups = [one for one in found if one not in rows]
    return [*rows[:1], *groups[:1]]
