"""How a job ended, and the exit code that this stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgmm.config import Job
from dgmm.drift_record import Drift as DriftRecord
from dgmm.exit_codes import ExitCode
from dgmm.outcome import Outcome

#: Alarms that a run's last message names.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a job ended; `was_finished` where it had before, and there was nothing to do."""

    exit_code: int
    status: str
    outcome: str
    message: str
    directory: Path
    was_finished: bool = False


def exit_code_of(record: Mapping[str, Any], job: Job) -> ExitCode:
    """What a run with that record returns, by the job's `monitor.on_drift` and `on_not_converged`.

    An alarm goes before an end without convergence: rows of another kind may be its cause.
    """
    alarms = (record.get("drift") or {}).get("alarms")
    if alarms and job.monitor.on_drift == "error":
        return ExitCode.DRIFT
    outcome = str(record.get("outcome"))
    ends = outcome in Outcome.__members__ and not Outcome[outcome].has_converged
    if ends and job.on_not_converged == "error":
        return ExitCode.NOT_CONVERGED
    return ExitCode.DONE


def alarm_message(record: DriftRecord | None) -> str:
    """What a run's last message says of its alarms; empty without any."""
    alarms = [] if record is None else record["alarms"]
    if not alarms:
        return ""
    more = f"; and {len(alarms) - _SHOWN} more" if len(alarms) > _SHOWN else ""
    return f"; drift: {'; '.join(alarms[:_SHOWN])}{more}"
