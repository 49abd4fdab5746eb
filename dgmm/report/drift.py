"""Drift: an earlier run's model on the rows of this run, component by component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgmm.report.figure import sentence
from dgmm.report.formatting import MISSING, number, percent, shortened
from dgmm.report.run_data import RunRecord
from dgmm.report.selection import finite
from dgmm.report.table import Table

_MOST_ROWS = 200
_KINDS = {"component": "place or shape", "weight": "weight"}


def drift_table(record: RunRecord) -> Table | None:
    """Size, significance and alarms of every component; None where drift was not looked at."""
    drift = record.section("drift")
    if not drift:
        return None
    found = drift.get("components")
    components = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    rows = [
        (
            number(one.get("component")),
            _share(one.get("weight")),
            _share(one.get("new_weight")),
            number(one.get("weight_errors"), 3),
            number(one.get("rows")),
            number(one.get("shift"), 3),
            number(one.get("hellinger"), 3),
            number(one.get("significance"), 3),
            number(one.get("significance_needed"), 3),
            _alarms(one.get("alarms")),
            _features(one),
        )
        for one in components[:_MOST_ROWS]
    ]
    header = (
        *("component", "weight before", "weight now", "change of weight, standard errors"),
        *("rows now", "mean moved, sd", "Hellinger distance", "significance"),
        *("significance needed", "alarm", "features that changed most"),
    )
    return Table("Drift by component", header, rows, frozenset(range(9)), _note(drift, components))


def anomaly_drift_table(record: RunRecord) -> Table | None:
    """The rate of anomalies against the expected one, where the earlier model has a threshold."""
    found = record.section("drift").get("anomalies")
    if not isinstance(found, dict):
        return None
    row = (
        _share(found.get("rate")),
        _share(found.get("new_rate")),
        number(found.get("standard_errors"), 3),
        "yes" if found.get("is_alarm") else "no",
    )
    header = ("expected", "now", "beyond chance, standard errors", "alarm")
    return Table("Rows below the anomaly threshold", header, [row], frozenset({0, 1, 2}))


def _share(value: Any) -> str:
    return percent(value) if isinstance(value, int | float) else MISSING


def _alarms(kinds: Any) -> str:
    known = [_KINDS[kind] for kind in kinds if kind in _KINDS] if isinstance(kinds, list) else []
    return " and ".join(known) or "no"


def _features(one: Mapping[str, Any]) -> str:
    """What has changed in a component with an alarm; in others it is mostly chance."""
    found = one.get("features")
    if not one.get("alarms") or not isinstance(found, list):
        return MISSING
    known = [each for each in found if isinstance(each, dict)]
    return "; ".join(map(_feature, known)) or MISSING


def _feature(each: Mapping[str, Any]) -> str:
    shift = finite(each.get("shift"))
    sign = "+" if shift is not None and shift > 0 else ""
    name = shortened(str(each.get("feature")), 40)
    return f"{name}: mean {sign}{number(shift, 2)} sd, sd × {number(each.get('scale'), 3)}"


def _note(drift: Mapping[str, Any], components: list[dict[str, Any]]) -> str:
    if drift.get("against") is None:
        return f"Drift was not measured: {shortened(str(drift.get('reason')), 300)}."
    alarms = drift.get("alarms")
    n_alarms = len(alarms) if isinstance(alarms, list) else 0
    limits = drift.get("thresholds")
    limits = limits if isinstance(limits, dict) else {}
    more = len(components) - _MOST_ROWS
    return sentence(
        f"The model of {shortened(str(drift.get('against')), 200)}, fitted to "
        f"{number(drift.get('fitted_rows'))} rows, and one step of EM from it on "
        f"{number(drift.get('rows'))} rows of this run.",
        ("1 alarm." if n_alarms == 1 else f"{n_alarms} alarms.") if n_alarms else "No alarm.",
        f"An alarm has a Hellinger distance above {number(limits.get('hellinger'))} and a "
        "significance, 8·B·n/p, above the one needed, or a change of weight above "
        f"{number(limits.get('weight'))} and {number(limits.get('standard_errors'), 3)} standard "
        f"errors, or {number(limits.get('anomaly_ratio'))} times the rate of anomalies and as many "
        "standard errors.",
        "Distances are missing where a component has too few rows now.",
        f"{more:,} more components are in run.json." if more > 0 else "",
    )
