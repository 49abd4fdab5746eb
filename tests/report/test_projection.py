"""The projection of components and the tree of their merges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricated_runs import mixture, run_directory
from scipy.linalg import eigh

from dgmm.report.components import Components
from dgmm.report.drawn_rows import drawn_rows
from dgmm.report.figure import OmittedFigure, ReportFigure
from dgmm.report.merge_tree import merge_tree
from dgmm.report.merging import merges_table
from dgmm.report.projection import loadings_table, plane_of, projection
from dgmm.report.run_data import RunRecord


def scatter(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Covariance between and within the components, standardised units."""
    fitted = model.parameters
    offsets = fitted.means - model.weights @ fitted.means
    between = np.einsum("k,ki,kj->ij", model.weights, offsets, offsets)
    return between, np.einsum("k,kij->ij", model.weights, fitted.covariances)


def test_the_directions_are_those_of_the_largest_ratio_of_between_to_within() -> None:
    model = mixture(5, 4)
    between, within = scatter(model)
    values, vectors = eigh(between, within)
    plane = plane_of(model)
    assert plane.is_discriminant
    for i in (0, 1):
        axis, expected = plane.axes[:, i], vectors[:, -1 - i]
        np.testing.assert_allclose(axis, expected * np.sign(axis @ within @ expected), atol=1e-7)
        assert axis @ between @ axis == pytest.approx(values[-1 - i], rel=1e-7)
    np.testing.assert_allclose(plane.axes.T @ within @ plane.axes, np.eye(2), atol=1e-7)
    np.testing.assert_allclose(plane.shares, values[[-1, -2]] / values.sum(), rtol=1e-7)


def test_two_components_are_projected_on_the_principal_directions_of_all_rows() -> None:
    model = mixture(2, 4)
    between, within = scatter(model)
    values, vectors = np.linalg.eigh(between + within)
    plane = plane_of(model)
    assert not plane.is_discriminant
    np.testing.assert_allclose(np.abs(plane.axes.T @ vectors[:, [-1, -2]]), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(plane.shares, values[[-1, -2]] / values.sum(), rtol=1e-12)


def test_a_direction_in_which_components_have_no_spread_does_not_end_the_report() -> None:
    model = mixture(4, 3)
    model.parameters.covariances[:, 1, :] = 0.0
    model.parameters.covariances[:, :, 1] = 0.0
    assert np.isfinite(plane_of(model).axes).all()


def test_the_figure_has_centres_and_spreads_of_the_components_as_numbers() -> None:
    model = mixture(3, 3)
    components = Components.of(model)
    rows, _ = model.sample(400, np.random.default_rng(0))
    figure = projection(components, model, drawn_rows(components, model, rows))
    assert isinstance(figure, ReportFigure)
    plane = plane_of(model)
    found = np.array(figure.table.record["rows"])
    order = found[:, 0].astype(int)
    np.testing.assert_allclose(found[:, 2:4], (model.parameters.means @ plane.axes)[order])
    spread = np.einsum("ia,kij,ja->ka", plane.axes, model.parameters.covariances, plane.axes)
    np.testing.assert_allclose(found[:, 4:], np.sqrt(spread)[order], rtol=1e-9)
    loadings = loadings_table(components, model)
    assert loadings is not None
    by_feature = {row[0]: row[1:] for row in loadings.record["rows"]}
    scaled = plane.axes * components.spread[:, None]
    np.testing.assert_allclose([by_feature[f"x{i}"] for i in range(3)], scaled)


def test_one_feature_has_no_plane() -> None:
    model = mixture(3, 1)
    components = Components.of(model)
    rows, _ = model.sample(50, np.random.default_rng(0))
    found = projection(components, model, drawn_rows(components, model, rows))
    assert isinstance(found, OmittedFigure)
    assert loadings_table(components, model) is None


def merging(n_clusters: int) -> dict[str, Any]:
    def merge(left: list[int], right: list[int], gain: float) -> dict[str, Any]:
        return {"left": left, "right": right, "gain": gain, "standard_error": 0.0, "rivals": []}

    merges = [merge([1], [3], 0.3), merge([0], [2], 0.2), merge([0, 2], [1, 3], 0.1)]
    return {
        "merges": merges,
        "entropies": [0.6, 0.3, 0.1, 0.0],
        "n_clusters": n_clusters,
        "clusters": [0, 1, 0, 1],
        "sample_rows": 100,
        "max_entropy": 0.2,
    }


@pytest.mark.parametrize(("n_clusters", "made"), [(4, 0), (3, 1), (2, 2), (1, 3)])
def test_the_tree_has_a_bracket_for_each_merge_and_those_made_are_marked(
    n_clusters: int, made: int
) -> None:
    figure = merge_tree(RunRecord(Path("run"), {"merging": merging(n_clusters)}))
    assert isinstance(figure, ReportFigure)
    body = figure.drawing.body
    assert body.count('class="line accent"') == made
    assert body.count('class="line faint"') == 3 - made
    assert figure.table.record["rows"] == [
        [3, "1", "3", pytest.approx(0.3)],
        [2, "0", "2", pytest.approx(0.5)],
        [1, "0, 2", "1, 3", pytest.approx(0.6)],
    ]
    places = [body.index(f">{label}<") for label in (0, 2, 1, 3)]
    assert places == sorted(places)  # components that are merged stand beside each other


def test_merges_name_ties_where_there_are_any_and_an_entropy_that_is_rounding_is_0() -> None:
    own = merging(2)
    own["merges"] = [one | {"standard_error": 0.01} for one in own["merges"]]
    own["entropies"][-1] = 1.3e-17
    table = merges_table(RunRecord(Path("run"), {"merging": own}))
    assert table is not None
    assert table.header[-1] == "entropy left"
    assert table.record["rows"][-1][-1] == 0.0
    own["merges"][1]["rivals"] = [[0], [1]]
    tied = merges_table(RunRecord(Path("run"), {"merging": own}))
    assert tied is not None
    assert [row[-1] for row in tied.rows] == ["", "0 + 1", ""]


def test_a_run_without_merges_has_no_tree(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", mixture(2, 2), 200, 50)
    assert isinstance(merge_tree(RunRecord.open(run)), OmittedFigure)
