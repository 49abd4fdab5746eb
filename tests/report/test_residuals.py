"""The figure of residuals."""

from __future__ import annotations

import numpy as np
import pytest
from fabricated_runs import mixture, run_directory

from dgmm.data.zarr.output_store import OutputArray, create_array
from dgmm.report.figure import OmittedFigure, ReportFigure
from dgmm.report.residuals import residual_histogram
from dgmm.report.run_data import RunRecord
from dgmm.report.sections import sections

N = 10_000


def with_residuals(folder, values, name="residual"):
    directory = run_directory(folder, mixture(2, 2), N, outputs={name: {}})
    path = str(directory / "outputs.zarr")
    create_array(
        path, name, shape=(N,), chunks=(N,), dtype="float64", dimension_names=("row",),
        fill_value=np.nan,
    )  # fmt: skip
    OutputArray(path, name).write(0, values)
    return RunRecord.open(directory)


@pytest.mark.parametrize("name", ["residual", "residual_2"])
def test_it_names_what_most_rows_lie_below_and_what_is_not_drawn(tmp_path, name):
    values = np.arange(N) / 10.0
    values[:3] = np.nan
    values[-1] = 5e6
    record = with_residuals(tmp_path / "run", values, name)
    figure = residual_histogram(record.output(name), name)
    assert isinstance(figure, ReportFigure)
    assert "Half of the rows lie below 500.1" in figure.caption
    assert "99 % below 989.9, 99.9 % below 998.9" in figure.caption
    assert "up to 5,000,000" in figure.caption
    scores = next(section for section in sections(record) if section.anchor == "scores")
    assert any(name in found.title for found in scores.figures)


def test_rows_without_residuals_have_no_figure(tmp_path):
    record = with_residuals(tmp_path / "run", np.full(N, np.nan))
    assert isinstance(residual_histogram(record.output("residual"), "residual"), OmittedFigure)
