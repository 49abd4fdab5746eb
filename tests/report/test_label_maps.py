"""Images of labels are held as bytes, one image at a time on their way there."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest

import dgmm
from dgmm.data.sample_grid import SampleGrid
from dgmm.report.components import Components
from dgmm.report.figure import ReportFigure
from dgmm.report.label_maps import Layout, anomaly_maps, label_maps


class Column:
    """Values in memory, read as those of an output array are."""

    def __init__(self, values):
        self.values, self.shape, self.chunk_rows = values, values.shape, 131_072

    def read(self, start, stop):
        return self.values[start:stop]


@pytest.fixture(scope="module")
def components():
    X = np.random.default_rng(0).normal(size=(300, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Components.of(dgmm.GaussianMixture(3, random_state=0).fit(X).model_)


@pytest.mark.parametrize("shape", [(8, 600, 500), (3, 900, 1100), (1, 2600, 1300)])
def test_a_map_takes_a_few_bytes_for_each_pixel_that_is_shown(components, shape):
    layout = Layout(*shape)
    n = int(np.prod(shape))
    labels = np.random.default_rng(1).integers(-1, 3, n).astype(np.int32)
    flags = np.where(labels < 0, -1, labels == 2).astype(np.int8)
    pixels = -(-shape[1] // layout.stride) * -(-shape[2] // layout.stride)
    for draw in (
        lambda: label_maps(layout, components, Column(labels)),
        lambda: anomaly_maps(layout, components, Column(labels), Column(flags)),
    ):
        draw()  # modules are there now
        tracemalloc.start()
        made = draw()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(made, ReportFigure)
        # Compressed images, flags of each; of one image at a time its labels and its lines.
        assert most < 6 * pixels * len(layout.shown) + 32 * pixels


GRID = SampleGrid(("time", "lat", "lon"), ((0, 1, 3), (0, 2, 5), (0, 4, 7)))


def rows_of_places(grid, values):
    """Values of places as a column of rows."""
    rows = np.empty(grid.n_rows, values.dtype)
    rows[grid.rows_of(np.indices(grid.shape)).ravel()] = values.ravel()
    return Column(rows)


@pytest.mark.parametrize(
    ("coordinates", "shown"),
    [
        ({}, np.s_[:, :, :]),
        ({"lat": [-60.0, 60.0], "lon": [0.0, 350.0]}, np.s_[:, ::-1, :]),
        ({"lat": [60.0, -60.0], "lon": [350.0, 0.0]}, np.s_[:, :, ::-1]),
    ],
)
def test_rows_that_run_chunk_by_chunk_are_drawn_at_their_places(coordinates, shown):
    attributes = GRID.attributes | {"sample_coordinates": coordinates}
    layout = Layout.of({"attributes": attributes, "n_samples": GRID.n_rows})
    number = np.arange(GRID.n_rows).reshape(GRID.shape)
    column = rows_of_places(GRID, number)
    column.chunk_rows = 8
    np.testing.assert_array_equal(np.stack([*layout.read(column)]), number[shown])
    assert layout.titles == ["time 0", "time 1", "time 2"]
    way = "upwards" if coordinates else "downwards"
    assert f"3 images of 7 × 5 places (lon to the right, lat {way})." in layout.description


def test_rows_along_one_dimension_are_no_map():
    grid = SampleGrid(("station",), ((0, 5),))
    assert Layout.of({"attributes": grid.attributes, "n_samples": 5}) is None
    assert Layout.of({"attributes": GRID.attributes, "n_samples": 5}) is None


def test_a_map_of_places_is_painted(components):
    labels = (np.indices(GRID.shape).sum(axis=0) % 4 - 1).astype(np.int32)
    layout = Layout.of({"attributes": GRID.attributes, "n_samples": GRID.n_rows})
    figure = label_maps(layout, components, rows_of_places(GRID, labels))
    assert isinstance(figure, ReportFigure)
    assert "Dropped rows are white." in figure.caption
