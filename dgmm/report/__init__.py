"""The report: one self-contained page about a run, made from its directory alone.

`write_report(run_directory)` writes `report.html`, its figures as SVG files in `report/`, and the
numbers of all figures and tables in `report.json`. The figures are drawn by `charts`; Jinja2 fills
the page, and this is the only package that imports it.
"""

from __future__ import annotations

from dgmm.report.page import NUMBERS, PAGE, write_report

__all__ = ["NUMBERS", "PAGE", "write_report"]
