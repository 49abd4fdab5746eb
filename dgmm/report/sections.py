"""The order of the page: which figures, tables and texts stand under which heading."""

from __future__ import annotations

from collections.abc import Callable

from dgmm.data.transforms.asked_step import residual_place
from dgmm.report.anomalies import anomaly_table, flagging_table
from dgmm.report.classes import classes_section
from dgmm.report.comparison import comparison_section
from dgmm.report.component_means import means_table
from dgmm.report.convergence import convergence
from dgmm.report.criteria_curves import selection_figure
from dgmm.report.described import described_tables
from dgmm.report.drawn_rows import drawn_rows
from dgmm.report.drift import anomaly_drift_table, drift_table
from dgmm.report.drift_figure import drift_figures
from dgmm.report.figure import OmittedFigure
from dgmm.report.formatting import yaml_text
from dgmm.report.held_out import held_out_figures, held_out_table
from dgmm.report.histograms import density_histogram, posterior_histogram
from dgmm.report.label_maps import Layout, anomaly_maps, label_maps
from dgmm.report.label_matrix import label_matrix_figure, matched_labels_table
from dgmm.report.merge_tree import merge_tree
from dgmm.report.merging import clusters_table, merges_table, merging_figure
from dgmm.report.noise import noise_table
from dgmm.report.overlap import overlap
from dgmm.report.pair_plot import pair_plot
from dgmm.report.profiles import profile_heatmap, profile_panels
from dgmm.report.projection import loadings_table, projection
from dgmm.report.regularisation import shrinkage_table
from dgmm.report.residuals import residual_histogram
from dgmm.report.run_data import RunRecord
from dgmm.report.section import Section, section_of
from dgmm.report.selection import selection_table
from dgmm.report.stability import stability_tables
from dgmm.report.tables import (
    component_log_table,
    component_table,
    criteria_table,
    output_table,
    repeated_values_table,
    restart_table,
    starts_table,
)
from dgmm.report.timings import timings
from dgmm.report.weights import weights


def sections(record: RunRecord) -> list[Section]:
    """Every section of the report, empty ones included."""
    return [section(record) for section in _SECTIONS]


def _maps(record: RunRecord) -> Section:
    layout = Layout.of(record.section("data"))
    if layout is None:
        return Section("images", "Images")
    title = "Images" if layout.grid is None else "Maps"
    labels, anomaly = record.output("labels"), record.output("anomaly")
    figures = [label_maps(layout, record.components, labels)]
    if anomaly is not None:
        figures.append(anomaly_maps(layout, record.components, labels, anomaly))
    return section_of("images", title, figures)


def _fit(record: RunRecord) -> Section:
    tables = [
        criteria_table(record),
        starts_table(record),
        restart_table(record),
        component_log_table(record),
        shrinkage_table(record.section("shrinkage"), "Components have"),
    ]
    # Lines of classes would be told by their starts alone.
    figures = [] if record.section("classification") else [convergence(record)]
    return section_of("fit", "The fit", figures, tables)


def _selection(record: RunRecord) -> Section:
    if not record.section("selection"):
        return Section("selection", "Selection")
    tables = [selection_table(record), held_out_table(record)]
    figures = [selection_figure(record), *held_out_figures(record)]
    return section_of("selection", "Selection", figures, tables)


def _drift(record: RunRecord) -> Section:
    labels = record.section("drift").get("labels") or {}
    matrix = label_matrix_figure(labels)
    figures = [*drift_figures(record), *([] if matrix is None else [matrix])]
    tables = [drift_table(record), anomaly_drift_table(record), matched_labels_table(labels)]
    return section_of("drift", "Drift", figures, tables)


def _components(record: RunRecord) -> Section:
    components = record.components
    if record.section("classification"):  # a mixture for each class: they are in a table of theirs
        return Section("components", "Components")
    if components is None:
        return _without_model("components", "Components", "Component weights and profiles")
    figures = [weights(components), profile_heatmap(components), profile_panels(components)]
    tables = [component_table(components, _kept(record)), means_table(record), noise_table(record)]
    return section_of("components", "Components", figures, tables)


def _kept(record: RunRecord) -> int | None:
    """Rows that were not dropped: those that the weights are shares of."""
    rows = record.section("rows")
    total, dropped = rows.get("total"), rows.get("dropped")
    if isinstance(total, int) and isinstance(dropped, int):
        return total - dropped
    n_samples = record.section("data").get("n_samples")
    return n_samples if isinstance(n_samples, int) else None


def _separation(record: RunRecord) -> Section:
    components, model = record.components, record.model
    if record.section("classification"):
        return Section("separation", "Separation")
    if components is None or model is None:
        return _without_model("separation", "Separation", "Pair plot and overlap")
    shares = record.sample.get("overlap")
    drawn = drawn_rows(components, model, record.sample.get("rows"))
    figures = [
        projection(components, model, drawn),
        pair_plot(components, model, drawn),
        overlap(components, shares),
        merge_tree(record),
        merging_figure(record),
    ]
    loadings = None if isinstance(drawn, str) else loadings_table(components, model)
    tables = [
        loadings,
        *stability_tables(record),
        clusters_table(record),
        merges_table(record),
    ]
    return section_of("separation", "Separation", figures, tables)


def _without_model(anchor: str, title: str, figures: str) -> Section:
    return Section(
        anchor, title, omitted=[OmittedFigure(figures, "the run directory holds no model")]
    )


def _scores(record: RunRecord) -> Section:
    threshold = record.section("anomaly").get("threshold")
    if threshold is None and record.model is not None:
        threshold = record.model.anomaly_threshold
    k = record.components.n_components if record.components else None
    completed = record.output("completed_log_density")  # what anomalies go by, where it is there
    density = record.output("log_density") if completed is None else completed
    figures = [
        posterior_histogram(record.output("max_posterior"), k),
        density_histogram(density, None if threshold is None else float(threshold)),
    ]
    names = [name for name in record.section("outputs") if residual_place(name) is not None]
    columns = [(column, name) for name in names if (column := record.output(name)) is not None]
    figures += [residual_histogram(*each) for each in columns]
    return section_of("scores", "Scores of the rows", figures)


def _anomalies(record: RunRecord) -> Section:
    tables = [flagging_table(record), anomaly_table(record)]
    return section_of("anomalies", "Anomalies", [], tables)


def _described(record: RunRecord) -> Section:
    return section_of("described", "Described columns", [], described_tables(record))


def _run(record: RunRecord) -> Section:
    figures = [timings(record.section("timings"))]
    tables = [repeated_values_table(record), output_table(record)]
    section = section_of("run", "The run", figures, tables)
    for name, title in (("job", "Resolved job"), ("environment", "Environment and versions")):
        if record.section(name):
            section.texts.append((title, yaml_text(record.section(name))))
    return section


_SECTIONS: tuple[Callable[[RunRecord], Section], ...] = (
    _maps,
    _drift,
    classes_section,
    _selection,
    comparison_section,
    _fit,
    _components,
    _separation,
    _scores,
    _anomalies,
    _described,
    _run,
)
