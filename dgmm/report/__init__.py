"""The report: one self-contained page about a run, made from its directory alone.

`write_report(run_directory)` writes `report.html`, the same figures as PNG files in `report/`, and
their numbers and those of all tables in `report.json`.
It is the only package that imports Matplotlib and Jinja2, Matplotlib when a figure is drawn,
never before; without it, `ReportUnavailableError` names the command that installs it.
"""

from __future__ import annotations

from dgmm.report.figure import ReportUnavailableError
from dgmm.report.figure import matplotlib as check_available
from dgmm.report.page import NUMBERS, PAGE, write_report

__all__ = ["NUMBERS", "PAGE", "ReportUnavailableError", "check_available", "write_report"]
