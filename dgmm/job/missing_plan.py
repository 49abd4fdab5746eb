"""What a plan tells of missing values: what an earlier attempt at the job has counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgmm.config import Job
from dgmm.data.summary.missing_patterns import MOST_PATTERNS
from dgmm.errors import DgmmError
from dgmm.fitting.missing_cost import MOST_COST
from dgmm.run_record import read
from dgmm.storage.atomic_files import read_json


def missing_values(job: Job) -> str:
    """What is known before rows are read; empty where missing values are not marginalised over."""
    if job.data.missing != "marginalise":
        return ""
    if job.command == "predict":
        return "marginalised over, each pattern prepared when it is met"
    found = _recorded(job)
    if found is None:
        return (
            "marginalised over; patterns are counted when the rows are read. If they make passes "
            f"take more than {MOST_COST:.0f} times as long, the run stops there and asks for "
            "--accept-cost"
        )
    n_patterns, cost = found.get("patterns"), float(found["cost"])
    several = f"more than {MOST_PATTERNS:,}" if n_patterns is None else f"{n_patterns:,}"
    asks = " (--accept-cost)" if cost > MOST_COST else ""
    return (
        f"marginalised over: {several} patterns, a pass takes about {cost:.2g} times as long as "
        f"one over complete rows{asks}"
    )


def _recorded(job: Job) -> dict[str, Any] | None:
    """What a run of the same data in the run directory has counted."""
    path = Path(job.output.path) / "run.json"
    try:
        record = read(read_json(path)) if path.is_file() else {}
    except DgmmError:
        return None  # whether the directory can be used is for the run to say
    is_same = record.get("job", {}).get("data") == job.resolved()["data"]
    found = record.get("missing")
    return found if is_same and isinstance(found, dict) and "cost" in found else None
