"""The report's tables: rows of text taken from run.json, numbers already lettered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dgmm.outcome import Outcome
from dgmm.report.components import Components
from dgmm.report.formatting import MISSING, Shown, number, percent, shortened, size
from dgmm.report.run_data import RunRecord
from dgmm.report.table import Table as Table  # noqa: PLC0414 - sections import it from here

_MOST_ROWS = 100
_WIDEST_CELL = 300
_KINDS = {
    "fill": "the array's fill value",
    "spike": "one value among many",
    "level": "one of a few values",
}


def component_table(components: Components, rows_kept: Any) -> Table:
    """Weights of the components, heaviest first, with the colour that each has in every figure."""
    shown = components.heaviest[:_MOST_ROWS]
    kept = rows_kept if isinstance(rows_kept, int) else None
    rows = [
        (
            number(int(j)),
            percent(float(components.weights[j])),
            MISSING if kept is None else number(round(float(components.weights[j]) * kept)),
            _extremes(components, int(j)),
        )
        for j in shown
    ]
    header = ("component", "weight", "expected rows", "features farthest from the mixture's mean")
    return Table(
        "Components",
        header,
        rows,
        frozenset({0, 1, 2}),
        _left_out(components.n_components, "components, the lightest,"),
        tuple(components.hexadecimal[j] for j in shown),
    )


def _extremes(components: Components, j: int) -> str:
    deviations = components.standardised_means[j]
    most = np.argsort(-np.abs(deviations), kind="stable")[:3]
    parts = [
        f"{shortened(components.names[f], 32)} {'+' if deviations[f] >= 0 else '−'}"
        f"{number(abs(float(deviations[f])), 2)} sd"
        for f in most
    ]
    return ", ".join(parts)


def restart_table(record: RunRecord) -> Table | None:
    """How every restart ended."""
    restarts = record.entries("restarts")
    rows = [
        (
            _model(restart)
            + number(restart.get("restart"))
            + (" (selected)" if restart.get("selected") else ""),
            _words(restart.get("start")),
            _words(restart.get("outcome")),
            number(restart.get("n_iter")),
            number(restart.get("mean_log_likelihood"), 7),
            _own_message(restart),
        )
        for restart in restarts[:_MOST_ROWS]
    ]
    header = ("restart", "start", "outcome", "iterations", "mean log-likelihood", "message")
    note = _left_out(len(restarts), "restarts")
    table = Table("Restarts", header, rows, frozenset({3, 4}), note, n_open=12)
    return table if rows else None


def _own_message(restart: Mapping[str, Any]) -> str:
    """What a restart said beyond its converging: that is explained at the top of the page."""
    message = restart.get("message")
    is_usual = restart.get("outcome") == Outcome.CONVERGED.name
    return MISSING if is_usual and message == Outcome.CONVERGED.value else _words(message)


def _model(entry: Mapping[str, Any]) -> str:
    """The model that an entry is of, where a job has several."""
    if "n_components" not in entry:
        return ""
    named = f"{entry.get('covariance_type')} {number(entry.get('n_components'))}"
    return f"{shortened(named, 40)}, "


def _numbered(entry: Mapping[str, Any]) -> Shown:
    """The restart, and of which model it is where a job has several."""
    restart = entry.get("restart")
    return Shown(_model(entry) + number(restart), restart)


def _extents(shape: Sequence[int]) -> Shown:
    return Shown(" × ".join(number(extent) for extent in shape), list(shape))


_METRICS = (
    "Metric: in which units the start measured distances. units: the data's own; sd: standard "
    "deviations; iqr: interquartile ranges; pooled: standard deviations within clusters of each "
    "feature alone. A restart from a refined start began where EM over the whole sample led."
)


def starts_table(record: RunRecord) -> Table | None:
    """The starts that short EM runs on the sample compared, the likeliest first.

    Of a job of several models there are many: the page folds those that were not selected.
    """
    starts = sorted(record.entries("starts"), key=_rank)
    rows = [
        (
            _numbered(start),
            number(start.get("number")) + (" (selected)" if start.get("selected") else ""),
            _words(start.get("metric")),
            number(start.get("n_iter")),
            number(start.get("mean_log_likelihood"), 7),
            number(start.get("n_rows")) + (", held out" if start.get("held_out") else ""),
        )
        for start in starts
    ]
    header = ("restart", "start", "metric", "iterations", "mean log-likelihood", "of sampled rows")
    n_selected = sum(bool(start.get("selected")) for start in starts)
    n_open = min(max(n_selected, _LEAST_STARTS), _MOST_STARTS)
    if not rows:
        return None
    return Table("Starts on the sample", header, rows, frozenset({3, 4}), _METRICS, n_open=n_open)


#: Starts that the page shows at once: those that were selected, within these numbers.
_LEAST_STARTS, _MOST_STARTS = 6, 20


def _rank(start: Mapping[str, Any]) -> tuple[float, bool, float]:
    """Restart by restart: the selected start, then the others by likelihood."""
    restart, level = start.get("restart"), start.get("mean_log_likelihood")
    return (
        float(restart) if isinstance(restart, int) else math.inf,
        not start.get("selected"),
        -level if isinstance(level, int | float) and math.isfinite(level) else math.inf,
    )


def component_log_table(record: RunRecord) -> Table | None:
    """What happened to single components: re-seeded, dropped, regularised."""
    entries = record.entries("component_log")
    rows = [
        (
            number(entry.get("iteration")),
            _numbered(entry),
            number(entry.get("component")),
            _words(entry.get("kind")),
            _words(entry.get("message")),
        )
        for entry in entries[:_MOST_ROWS]
    ]
    header = ("iteration", "restart", "component", "kind", "message")
    note = _left_out(len(entries), "entries")
    return Table("Component log", header, rows, frozenset({0, 1, 2}), note) if rows else None


def criteria_table(record: RunRecord) -> Table | None:
    """Log-likelihood and information criteria, each explained in a line."""
    facts, criteria = record.facts, record.section("criteria")
    lines = (
        ("mean log-likelihood", facts.get("mean_log_likelihood"), "nats per row; higher is better"),
        (
            "objective",
            record.section("inference").get("objective"),
            "per row, what was maximised: log L and the log prior density",
        ),
        ("log-likelihood", facts.get("log_likelihood"), "log L, the sum over all fitted rows"),
        ("free parameters", facts.get("n_parameters"), "p, the numbers that a fit estimates"),
        ("entropy", facts.get("entropy"), "E, of the posteriors, summed; 0: every row is certain"),
        ("AIC", criteria.get("aic"), "2 p − 2 log L; lower is better"),
        (
            "BIC",
            criteria.get("bic"),
            "p log n − 2 log L; lower is better; stronger penalty per parameter",
        ),
        ("ICL", criteria.get("icl"), "BIC + 2 E; lower is better; prefers separated components"),
    )
    rows = [(name, number(value, 7), words) for name, value, words in lines if value is not None]
    note = "Criteria compare fits of the same rows only, n of them."
    if (weights := record.section("weights")).get("criteria_are_approximate"):
        note += (
            f" They are approximate: the rows have importance weights, which are worth "
            f"{number(weights.get('n_eff'))} rows, (Σw)²/Σw²; n is that, and log L and E are "
            "scaled to it."
        )
    return Table("Criteria", ("", "value", "meaning"), rows, frozenset({1}), note) if rows else None


def repeated_values_table(record: RunRecord) -> Table | None:
    """Values that many rows of a feature share, and cells equal to the array's fill value."""
    entries = [entry for entry in record.entries("repeated_values") if isinstance(entry, dict)]
    rows = [
        (
            shortened(str(entry.get("feature")), 80),
            number(entry.get("value"), 6),
            _KINDS.get(str(entry.get("kind")), MISSING),
            number(entry.get("n_rows")),
            percent(float(entry.get("share", float("nan")))),
        )
        for entry in entries[:_MOST_ROWS]
    ]
    notes = [
        "Rows and shares are those of a sample where not all rows were counted."
        if not all(entry.get("is_exact") for entry in entries)
        else "",
        f"{len(entries) - _MOST_ROWS:,} more are in run.json." if len(entries) > _MOST_ROWS else "",
    ]
    header = ("feature", "value", "what it is", "rows", "share of rows")
    title, note = "Values that many rows share", " ".join(filter(None, notes))
    return Table(title, header, rows, frozenset({1, 3, 4}), note) if rows else None


def output_table(record: RunRecord) -> Table | None:
    """What was written, with sizes and hashes."""
    rows = [
        (
            shortened(str(name), 80),
            _words(entry.get("dtype")),
            _extents(entry.get("shape") or ()),
            size(entry.get("bytes")),
            _words(entry.get("sha256")),
        )
        for name, entry in record.section("outputs").items()
        if isinstance(entry, dict)
    ]
    header = ("array", "type", "shape", "size", "SHA-256")
    return Table("Outputs", header, rows, frozenset({2, 3})) if rows else None


def _words(value: Any) -> str:
    return MISSING if value in (None, "") else shortened(str(value), _WIDEST_CELL)


def _left_out(count: int, what: str) -> str:
    more = count - _MOST_ROWS
    return f"{more:,} more {what} are left out." if more > 0 else ""
