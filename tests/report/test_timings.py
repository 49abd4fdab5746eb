"""The figure of timings."""

from __future__ import annotations

from dgmm.report.figure import ReportFigure
from dgmm.report.timings import timings


def test_the_longest_stage_is_named() -> None:
    figure = timings({"em": 1.0, "scoring": 5.0, "report": None})
    assert isinstance(figure, ReportFigure)
    assert figure.alt == "Bars of stage times; the longest is scoring with 5 s."


def test_stages_of_em_are_named_by_their_rows() -> None:
    figure = timings({"sample": 5.0, "em": 1.0})
    assert isinstance(figure, ReportFigure)
    assert figure.alt == "Bars of stage times; the longest is EM on a sample with 5 s."
