"""What run.json holds when a run begins or resumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dgmm.config import Job
from dgmm.job.identity import fingerprint
from dgmm.job.metrics_and_events import now
from dgmm.run_record import SCHEMA_VERSION, Attempt, RunRecord
from dgmm.version import __version__


def first_record(
    command: Literal["run", "predict"],
    job: Job,
    identity: Mapping[str, Any],
    attempts: Sequence[Attempt],
    before: Mapping[str, Any],
    warnings: Sequence[str],
) -> RunRecord:
    """The record of a run that begins, or resumes what `before` records."""
    record: RunRecord = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "status": "running",
        "exit_code": None,
        "outcome": None,
        "message": "running",
        "started": now(),
        "ended": None,
        "attempts": list(attempts),
        "dgmm_version": __version__,
        "job": job.resolved(),
        "job_identity": dict(identity),
        "job_fingerprint": fingerprint(identity),
        "data": before.get("data"),  # what the state is of, until it is looked at again
        "rows": {"total": None, "read": 0, "dropped": 0},
        "mean_log_likelihood": None,
        "warnings": list(warnings),
        "component_log": [],
        "outputs": {},
        "anomaly": None,
        "timings": dict(before.get("timings", {})),
        "environment": before.get("environment"),
        "seed": job.seed,
    }
    if "earlier_run" in before:  # it stays the same, whatever has finished since
        record["earlier_run"] = before["earlier_run"]
    return record
