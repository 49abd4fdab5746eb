"""What is added to variances because rows are few, and what held-out rows say of each share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgmm.report.formatting import number
from dgmm.report.table import Table


def shrinkage_table(chosen: Any, whose: str) -> Table | None:
    """The shares that were tried; None where none was. `whose` rows are few: "Classes have"."""
    if not isinstance(chosen, Mapping) or not chosen:
        return None
    share = number(chosen.get("share"), 3)
    rows = [
        (number(float(each), 3), number(mean, 6))
        for each, mean in (chosen.get("held_out") or {}).items()
    ]
    note = (
        f"{whose} few rows for their parameters: {share} of each feature's robust variance is "
        "added to all covariances, the share that held-out rows of the sample prefer."
    )
    header = ("share that is added", "mean log-likelihood of held-out rows")
    return Table("Regularisation", header, rows, frozenset({0, 1}), note)
