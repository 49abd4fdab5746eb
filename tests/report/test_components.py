from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from fabricated_runs import CHANNELS_OF_3X3, mixture, run_directory

from dgmm.report.charts.svg import PLAIN, text_width
from dgmm.report.component_colours import centre_pixel, component_colours
from dgmm.report.components import Components
from dgmm.report.feature_choice import chosen_features
from dgmm.report.profiles import profile_heatmap, profile_panels
from dgmm.report.run_data import RunRecord
from dgmm.report.sections import sections


def made(means: object, sd: object = 1.0, names: tuple[str, ...] | None = None) -> Components:
    centres = np.asarray(means, dtype=float)
    k, d = centres.shape
    deviations = np.broadcast_to(np.asarray(sd, dtype=float), (k, d)).copy()
    return Components(np.full(k, 1 / k), centres, deviations, names or tuple(map(str, range(d))))


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
def test_components_are_ordered_along_the_first_principal_axis_of_their_means(
    scale: float,
) -> None:
    places = np.array([3.0, -2.0, 0.0, 5.0, 1.0])
    means = scale * (places[:, None] * [1.0, 2.0, 0.5] + [[0.1, 0.0, -0.1]])
    components = made(means, scale)
    assert components.along_axis.tolist() == [1, 2, 4, 0, 3]


@pytest.mark.parametrize(
    ("names", "is_turned"), [(("width", "height", "u"), False), (("a long name",) * 40, True)]
)
def test_names_of_features_stand_upright_only_where_they_would_overlap(
    names: tuple[str, ...], is_turned: bool
) -> None:
    units = np.geomspace(1.0, 1e6, len(names))
    components = made(np.arange(4.0)[:, None] * units, units, names)
    for figure in (profile_heatmap(components), profile_panels(components)):
        upright = re.findall(r"rotate\(-90[^>]*>([^<]*)<", figure.drawing.body)
        assert (names[0] in upright) is is_turned
    # A map is wider than a panel: there long names of few features fit.
    wide = profile_heatmap(made(np.arange(8.0).reshape(4, 2), 1.0, ("oxygen saturation", "v")))
    assert ">oxygen saturation<" in wide.drawing.body
    assert "oxygen" not in "".join(re.findall(r"rotate\(-90[^>]*>([^<]*)<", wide.drawing.body))
    # The panels' own label fits one of them, 128 px high.
    assert "deviation [sd]" in upright
    assert text_width("deviation [sd]", PLAIN) < 128
    assert "standard deviations, as features have units of their own" in figure.caption


def test_the_order_does_not_depend_on_units() -> None:
    rng = np.random.default_rng(0)
    means, sd = rng.normal(size=(7, 4)), rng.uniform(0.5, 2, size=4)
    units = np.array([1.0, 1024.0, 2.0**-20, 1.0])
    assert np.array_equal(made(means, sd).along_axis, made(means * units, sd * units).along_axis)


@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 5), (40, 3), (3, 40)])
def test_every_component_has_its_own_colour(k: int, d: int) -> None:
    components = Components.of(mixture(k, d))
    assert np.unique(components.colours.round(6), axis=0).shape == (k, 3)
    assert sorted(components.along_axis) == list(range(k))
    luminance = components.colours[components.along_axis] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()


def test_spread_and_separation_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    means, sd = rng.normal(size=(5, 3)), rng.uniform(0.5, 2, size=(5, 3))
    components = made(means, sd)
    within, between = (sd**2).mean(axis=0), means.var(axis=0)
    eps = 100 * np.finfo(float).eps
    assert np.allclose(components.within, np.sqrt(within), rtol=eps, atol=0)
    assert np.allclose(components.spread, np.sqrt(within + between), rtol=eps, atol=0)
    assert np.allclose(components.separation, between / within, rtol=1e3 * eps, atol=0)


def test_the_pair_plot_takes_the_features_that_separate_best() -> None:
    rng = np.random.default_rng(2)
    means = rng.normal(size=(12, 9)) * np.array([1, 9, 2, 8, 3, 7, 4, 6, 5])
    assert chosen_features(made(means)).tolist() == [1, 3, 5, 6, 7, 8]


def test_features_parallel_to_a_better_one_make_room_for_others() -> None:
    rng = np.random.default_rng(3)
    own = rng.normal(size=(10, 3))
    means = np.repeat(own, 5, axis=1) * np.linspace(2, 3, 15)
    assert sorted(f // 5 for f in chosen_features(made(means))) == [0, 1, 2]


def test_constant_features_are_chosen_only_where_there_are_no_others() -> None:
    assert chosen_features(made([[0, 1, 0], [0, 2, 0]], [0.0, 1.0, 0.0])).tolist() == [1]
    assert chosen_features(made([[7.0, 7.0]], 0.0)).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("names", "centre"),
    [
        (CHANNELS_OF_3X3, (12, 13, 14)),
        (("r", "g", "b"), (0, 1, 2)),
        (("b_0", "g_0", "r_0", "b_1", "g_1", "r_1", "b_2", "g_2", "r_2"), (5, 4, 3)),
        (("0_0_r", "0_0_g", "0_0_b"), (0, 1, 2)),
        (("R", "G", "B"), (0, 1, 2)),
        (("r1", "g1", "depth"), None),
        (("r1", "g2", "b1"), None),
        (("r1", "r1", "g1"), None),
        (("red", "green", "blue"), None),
        (("r", "g"), None),
        (("x0", "x1", "x2"), None),
    ],
)
def test_the_centre_pixel_is_read_off_the_names(
    names: tuple[str, ...], centre: tuple[int, int, int] | None
) -> None:
    assert centre_pixel(names) == centre


@pytest.mark.parametrize("full", [1.0, 255.0, 65535.0])
def test_a_component_has_the_mean_colour_on_the_scale_of_the_images(full: float) -> None:
    colours = np.array([[0.1, 0.2, 0.9], [0.95, 0.5, 0.0]])
    shades = component_colours(made(full * colours, names=("r", "g", "b")))
    assert np.allclose(shades.colours, colours, rtol=0, atol=4 * np.finfo(float).eps)
    assert "r, g, b" in shades.description


def test_colours_on_no_known_scale_is_stretched_and_says_so() -> None:
    shades = component_colours(made([[-50.0, 0.0, 5.0], [0.0, 5.0, 150.0]], names=("r", "g", "b")))
    assert shades.colours.min() == 0.0
    assert shades.colours.max() == 1.0
    assert "stretched" in shades.description


def test_other_data_are_shown_in_the_colours_of_every_other_figure() -> None:
    components = made([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    assert np.array_equal(component_colours(components).colours, components.colours)


def test_expected_rows_are_shares_of_the_rows_that_were_not_dropped(tmp_path: Path) -> None:
    rows = {"total": 700, "read": 450, "dropped": 250}
    directory = run_directory(tmp_path, mixture(3, 2), 700, 200, rows=rows)
    tables = [table for part in sections(RunRecord.open(directory)) for table in part.tables]
    (shown,) = (table for table in tables if table.title == "Components")
    expected = [int(cells[shown.header.index("expected rows")]) for cells in shown.rows]
    assert abs(sum(expected) - 450) <= len(expected) / 2  # each is rounded
