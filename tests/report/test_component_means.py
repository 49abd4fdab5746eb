"""The table of where components lie in the data's units."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from fabricated_runs import mixture, run_directory
from page_reading import Page

from dgmm.data.transforms.elementwise import Asinh, Clip, Standardise
from dgmm.data.transforms.fitted_step import ComponentsStep, ElementwiseStep
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.data.transforms.principal_components import PrincipalComponents
from dgmm.model.model_files import load_model, save_model
from dgmm.report import write_report
from dgmm.report.component_means import means_table
from dgmm.report.drawn_rows import drawn_rows
from dgmm.report.figure import ReportFigure
from dgmm.report.pair_plot import pair_plot
from dgmm.report.run_data import RunRecord

NAMES = ("depth", "chlorophyll", "temperature")
MEANS = np.array([[1.0, np.log(2.0), 0.25], [-2.0, np.log(5.0), -0.75]])


def run_of(folder, steps=(), means=MEANS, **changes):
    """A run directory of rows as they were fitted, whose model has steps before them."""
    names = steps[-1].output_names if steps else NAMES
    model = mixture(2, len(names), names=names, means=means)
    directory = run_directory(folder, model, **changes)
    if steps:
        none = ({},) * len(steps)
        own = Preprocessing(NAMES, none, tuple(steps), none)
        save_model(replace(model, preprocess=own), directory / "model")
    return directory


def table_of(folder):
    return means_table(RunRecord.open(folder))


def test_without_steps_it_has_the_means(tmp_path):
    found = table_of(run_of(tmp_path / "run"))
    assert found.header == ("feature", "shown", "component 0", "component 1")
    assert found.rows[0] == ("depth", "mean", "1", "−2")
    assert found.rows[2] == ("temperature", "mean", "0.25", "−0.75")
    assert found.note == ""


STEPS = (
    ElementwiseStep("standardise", NAMES, (0,), Standardise(np.array([10.0]), np.array([3.0]))),
    ElementwiseStep("asinh", NAMES, (1,), Asinh(2.0)),
    ElementwiseStep("clip", NAMES, (2,), Clip(np.array([-1.0]), np.array([1.0]))),
)


def test_behind_steps_it_has_means_medians_and_quantiles_in_the_users_units(tmp_path):
    quantiles = {"shares": [0.05, 0.5, 0.95], "features": ["temperature"],
                 "values": [[[-0.5, 0.25, 1.0]], [None]]}  # fmt: skip
    folder = run_of(tmp_path / "run", STEPS, preprocess={"quantiles": quantiles})
    assert load_model(folder).preprocess is not None
    depth, chlorophyll, temperature = table_of(folder).rows
    assert depth == ("depth", "mean", "13", "4")  # 10 + 3 · 1, 10 − 3 · 2
    assert chlorophyll == ("chlorophyll", "median", "1.5", "4.8")  # 2 sinh(log 2), 2 sinh(log 5)
    assert temperature == ("temperature", "quantiles", "0.25 (−0.5 to 1)", "—")
    note = table_of(folder).note
    assert "median: behind a logarithm" in note
    assert "clipping has no inverse" in note
    write_report(folder)
    assert "Components in the data" in Page(folder / "report.html").text


def test_a_prediction_has_no_quantiles(tmp_path):
    folder = run_of(tmp_path / "run", STEPS)
    assert json.loads((folder / "run.json").read_text()).get("preprocess") is None
    assert table_of(folder).rows[2] == ("temperature", "quantiles", "—", "—")


def test_many_components_and_features_are_cut(tmp_path):
    model = mixture(14, 103)
    found = table_of(run_directory(tmp_path / "run", model))
    assert (len(found.header), len(found.rows)) == (14, 100)
    assert "2 more components" in found.note
    assert "3 more features" in found.note


def test_the_page_of_a_run_behind_components_is_of_rows_as_they_were_fitted(tmp_path):
    axes = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    found = PrincipalComponents(np.array([5.0, 6.0, 7.0]), axes, np.ones(2), 0.9)
    step = ComponentsStep(NAMES, ("pc1", "pc2"), (((0, 1, 2), found),))
    means = np.array([[10.0, 1.0], [-10.0, 2.0]])
    folder = run_of(tmp_path / "run", (step,), means)
    assert [row[1:] for row in table_of(folder).rows] == [
        ("mean of the projection", "11", "−1"),  # 5 ± 0.6 · 10
        ("mean of the projection", "14", "−2"),
        ("mean of the projection", "8", "9"),
    ]
    assert "pca keeps fewer components than columns" in table_of(folder).note
    assert "nearest rows that have these components" in table_of(folder).note
    record = RunRecord.open(folder)
    figure = pair_plot(
        record.components,
        record.model,
        drawn_rows(record.components, record.model, record.sample["rows"]),
    )
    assert isinstance(figure, ReportFigure)
    write_report(folder)
    assert (
        "pca; figures, densities and criteria are of the features"
        in Page(folder / "report.html").text
    )
