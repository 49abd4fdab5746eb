"""Images of labels are held as bytes, one image at a time on their way there."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest

import dgmm
from dgmm.report.components import Components
from dgmm.report.figure import ReportFigure, drawing
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
        with drawing():
            draw()  # fonts and modules are there now
            tracemalloc.start()
            made = draw()
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert isinstance(made, ReportFigure)
        # Bytes of every image, Matplotlib's copy of them and the page; what Matplotlib makes of one
        # image at a time as it draws it.
        assert most < 10 * pixels * len(layout.shown) + 140 * pixels
