"""The figure of timings reads the stage names of earlier versions."""

from __future__ import annotations

from dgmm.report.figure import ReportFigure
from dgmm.report.timings import timings


def test_the_scoring_stage_of_an_earlier_version_counts_as_scoring() -> None:
    figure = timings({"em": 1.0, "last walk": 2.0, "scoring": 3.0})
    assert isinstance(figure, ReportFigure)
    assert figure.alt == "Bars of stage times; the longest is scoring with 5 s."
