"""The top of the page: what was run and how it ended, in words and a few large numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dgmm.outcome import Outcome
from dgmm.report.formatting import MISSING, Shown, duration, number, percent, shortened
from dgmm.report.run_data import RunRecord

_STATUS_WORDS = {
    "failed": "The run failed",
    "stopped": "The run was stopped before its end",
    "running": "The run has not ended",
}
_OUTCOME_WORDS = {
    "CONVERGED": "Converged",
    "MAX_ITER_REACHED": "Not converged",
    "LOG_LIKELIHOOD_DECREASED": "The log-likelihood decreased",
    "COMPONENT_COLLAPSED": "The components collapsed",
    "NON_FINITE": "The log-likelihood is not finite",
    "DEGENERATE_START": "Degenerate start",
    "INITIALISED": "Initialised only",
    "PREDICTED": "Predicted",
}
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Overview:
    """What a reader should know who reads nothing else.

    Parameters
    ----------
    title : str
        The data set.
    verdict, remedy, message : str
        The outcome in words, what it means and what to do, and the run's own last words.
    tone : str
        `good`, `caution` or `bad`; colours the verdict.
    figures : list of (str, str)
        Large numbers with their labels.
    facts : list of (str, str)
        Small print: paths, times, versions.
    warnings : list of str
    """

    title: str
    verdict: str
    remedy: str
    message: str
    tone: str
    figures: list[tuple[str, str]]
    facts: list[tuple[str, str]]
    warnings: list[str]


def overview(record: RunRecord) -> Overview:
    """The overview of a run; every value may be missing."""
    verdict, remedy, tone = _verdict(record)
    message = shortened(_message(record), _LONGEST_MESSAGE)
    return Overview(
        title=_title(record),
        verdict=verdict,
        remedy=remedy,
        message="" if message in {verdict, remedy} else message,
        tone=tone,
        figures=_figures(record),
        facts=_facts(record),
        warnings=[shortened(str(text), _LONGEST_MESSAGE) for text in record.entries("warnings")],
    )


def _message(record: RunRecord) -> str:
    """The run's last words; alarms of drift, which are among the warnings, are left out."""
    message = str(record.facts.get("message") or "")
    return message.partition("; drift: ")[0] if _has_drifted(record) else message


def _has_drifted(record: RunRecord) -> bool:
    return bool(record.section("drift").get("alarms"))


def _title(record: RunRecord) -> str:
    data = record.section("data")
    path = data.get("path") or record.section("job").get("data", {}).get("path")
    name = str(path or record.directory.name).rstrip("/").rpartition("/")[2]
    return shortened(name + (f" / {data['array']}" if data.get("array") else ""), 100)


def _verdict(record: RunRecord) -> tuple[str, str, str]:
    status, outcome = record.facts.get("status"), str(record.facts.get("outcome") or "")
    # A run that a policy declared failed may have a usable model: its outcome is more specific.
    if status in _STATUS_WORDS and outcome not in Outcome.__members__:
        tone = "bad" if status == "failed" else "caution"
        return _STATUS_WORDS[str(status)], "", tone
    words = _OUTCOME_WORDS.get(outcome, shortened(outcome, 60) or "Outcome unknown")
    if outcome == "PREDICTED":
        return words, "labels and scores of a saved model were written; nothing was fitted", "good"
    if outcome not in Outcome.__members__:
        return words, "", "caution"
    end = Outcome[outcome]
    tone = "good" if end.has_converged else "caution" if end.is_usable else "bad"
    if _has_drifted(record):
        return f"{words}; the rows have changed", end.value, "caution" if tone == "good" else tone
    return words, end.value, tone


def _figures(record: RunRecord) -> list[tuple[str, str]]:
    data, rows, job = record.section("data"), record.section("rows"), record.section("job")
    model = record.model
    k = model.n_components if model else job.get("model", {}).get("n_components")
    family = model.covariance_type if model else job.get("model", {}).get("covariance_type")
    of_each = " of each class" * bool(record.section("classification"))
    found = [
        ("rows", number(rows.get("total", data.get("n_samples")))),
        ("rows dropped", _dropped(rows)),
        ("rows without any value", number(rows.get("empty") or None)),
        ("incomplete rows", number(rows.get("incomplete") or None)),
        ("effective rows", number(record.section("weights").get("n_eff"))),
        ("features", number(data.get("n_features"))),
        (f"components{of_each}", number(k)),
        ("noise", _noise(record)),
        ("covariance", shortened(str(family or MISSING), 20)),
        ("accuracy", number(_evaluation(record).get("accuracy"), 4)),
        ("log loss", number(_evaluation(record).get("log_loss"), 4)),
        ("mean log-likelihood", number(record.facts.get("mean_log_likelihood"), 6)),
        ("inference", _words_of(record.section("inference").get("name"))),
        ("iterations", number(record.facts.get("n_iter"))),
        ("anomalies", number(record.section("anomaly").get("n_anomalies"))),
        ("time", _elapsed(record.facts)),
    ]
    return [(label, value) for label, value in found if value != MISSING]


def _evaluation(record: RunRecord) -> dict[str, Any]:
    """Of a run that classifies: of the rows that were held out, where there are any."""
    own = record.section("classification")
    found = own.get("held_out") or own.get("all_rows")
    return found if isinstance(found, dict) else {}


def _noise(record: RunRecord) -> str:
    """The weight of the noise, where there is one."""
    weight = record.section("noise").get("weight")
    return percent(weight) if isinstance(weight, int | float) else MISSING


def _words_of(inference: object) -> str:
    """An inference's name, where it is not maximum likelihood."""
    return MISSING if inference is None else shortened(str(inference), 20)


def _dropped(rows: dict[str, Any]) -> str:
    dropped, total = rows.get("dropped"), rows.get("total")
    if not isinstance(dropped, int) or not dropped or not total:
        return number(dropped)
    return f"{number(dropped)} ({percent(dropped / total)})"


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    facts, data = record.facts, record.section("data")
    pairs = [
        ("command", f"dgmm {facts['command']}" if facts.get("command") else None),
        ("data", data.get("path")),
        ("array", data.get("array")),
        ("read as", data.get("dtype")),
        ("preprocess", _steps(record)),
        ("weights", _weights(record.section("weights"))),
        ("seed", facts.get("seed")),
        ("started", _moment(facts.get("started"))),
        ("ended", _moment(facts.get("ended"))),
        ("status", facts.get("status")),
        ("exit code", facts.get("exit_code")),
        ("dgmm", facts.get("dgmm_version")),
        ("job fingerprint", facts.get("job_fingerprint")),
    ]
    return [(label, shortened(str(v), 300)) for label, v in pairs if v not in (None, "")]


def _steps(record: RunRecord) -> str | None:
    steps = None if record.model is None else record.model.preprocess
    if steps is None:
        return None
    kinds = ", ".join(step.kind for step in steps.steps)
    return f"{kinds}; figures, densities and criteria are of the features behind these steps"


def _weights(weights: dict[str, Any]) -> str | None:
    if not weights:
        return None
    total, largest = number(weights.get("sum"), 6), number(weights.get("max"), 6)
    return (
        f"{weights.get('kind')}: sum {total}, largest {largest}, effective rows "
        f"{number(weights.get('n_eff'))}; {number(weights.get('zeros'))} rows of weight 0 are "
        "labelled but not fitted"
    )


def _moment(text: Any) -> str | None:
    moment = _parsed(text)
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}".strip() if moment else None


def _parsed(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _elapsed(facts: dict[str, Any]) -> str:
    start, end = _parsed(facts.get("started")), _parsed(facts.get("ended"))
    if start is None or end is None or (start.tzinfo is None) != (end.tzinfo is None):
        return MISSING
    seconds = (end - start).total_seconds()
    return duration(seconds) if seconds else Shown("under 1 s", seconds)
