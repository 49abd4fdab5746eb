"""What the figures are drawn with: axes, ticks, images, text."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis, integers
from dgmm.report.charts.colour_maps import VIRIDIS, coloured
from dgmm.report.charts.pixels import of_colours, of_palette, scattered
from dgmm.report.charts.svg import Drawing, text_width


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.0, 10.0, ["0", "2", "4", "6", "8", "10"]),
        (-0.31, 0.29, ["−0.3", "−0.2", "−0.1", "0", "0.1", "0.2"]),
        (1e9, 1e9 + 4, ["1,000,000,000", "1,000,000,001", "1,000,000,002", "1,000,000,003",
                        "1,000,000,004"]),
        (-1.7e308, 1.7e308, ["−1×10³⁰⁸", "0", "1×10³⁰⁸"]),
        (3.0, 3.0, []),
    ],
)  # fmt: skip
def test_ticks_are_round_values_that_differ(low: float, high: float, shown: list[str]) -> None:
    assert [text for _, text in Axis(low, high).shown] == shown


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (2e-3, 2e3, ["0.01", "0.1", "1", "10", "100", "1,000"]),
        (2e-8, 2.0, ["10⁻⁷", "10⁻⁵", "10⁻³", "10⁻¹"]),
        (0.5e-5, 2e-3, ["10⁻⁵", "10⁻⁴", "10⁻³"]),
        (0.5, 2e5, ["1", "10", "10²", "10³", "10⁴", "10⁵"]),
        (0.3, 4.0, ["0.5", "1", "2"]),
        (20.0, 300.0, ["20", "50", "100", "200"]),
        (6.1, 7.9, ["6.5", "7", "7.5"]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_written_alike_and_are_more_than_one(
    low: float, high: float, shown: list[str]
) -> None:
    assert [text for _, text in Axis(low, high, scale="log").shown] == shown


def test_a_logarithmic_axis_has_powers_of_ten_and_a_root_axis_square_roots() -> None:
    assert [text for _, text in Axis(0.02, 200.0, scale="log").shown] == ["0.1", "1", "10", "100"]
    np.testing.assert_allclose(Axis(0.01, 100.0, scale="log").places([0.01, 1.0, 100.0]),
                               [0, 0.5, 1], atol=1e-15)  # fmt: skip
    np.testing.assert_allclose(Axis(0.0, 4.0, scale="root").places([0, 1, 4]), [0, 0.5, 1])


def test_values_that_differ_by_rounding_lie_in_the_middle_of_an_axis_with_ticks() -> None:
    values = -15.3 - 2e-15 * np.array([0, 1, 0, 2])
    for least in (0.0, 1e-4):
        axis = Axis.around(values, least=least)
        texts = [text for _, text in axis.shown]
        assert len(set(texts)) == len(texts) >= 3
        np.testing.assert_allclose(axis.places(values), 0.5, atol=1e-3)
    far = Axis.around([0.0, 10.0], least=1e-4)
    assert (far.low, far.high) == (-0.5, 10.5)


def test_places_of_any_value_are_numbers() -> None:
    values = [np.nan, np.inf, -np.inf, 1e308, -1e308]
    for axis in (Axis(0.0, 1.0), Axis(-1.7e308, 1.7e308), Axis(1e-3, 1.0, scale="log")):
        places = axis.places(values)
        assert np.isfinite(places).all()
        assert np.abs(places).max() <= 3
    np.testing.assert_allclose(Axis(-1.6e308, 1.6e308).places([0.0, 0.8e308]), [0.5, 0.75])


def test_whole_numbers_alone_are_ticks_of_counts() -> None:
    assert [value for value, _ in integers(0.5, 4.5)] == [1, 2, 3, 4]
    assert all(value == round(value) for value, _ in integers(1, 1000))


def test_values_lie_where_the_axes_say() -> None:
    drawing = Drawing(200, 100)
    axes = Axes(drawing, Box(0, 0, 200, 100), Axis(0, 10), Axis(0, 1), inner=Box(50, 10, 100, 80))
    x, y = axes.at([0.0, 10.0, 2.5], [0.0, 1.0, 0.25])
    assert x.tolist() == [50, 150, 75]
    assert y.tolist() == [90, 10, 70]


def test_an_ellipse_holds_the_points_at_a_distance() -> None:
    covariance, mean = np.array([[2.0, 1.2], [1.2, 1.0]]), np.array([3.0, 0.4])
    drawing = Drawing(200, 100)
    axes = Axes(drawing, Box(0, 0, 200, 100), Axis(0, 10), Axis(-2, 2), inner=Box(50, 10, 100, 80))
    axes.ellipse(mean, covariance, 1.5, "line")
    found = re.search(r'rx="(.+?)" ry="(.+?)" transform="translate\((.+?) (.+?)\) rotate\((.+?)\)',
                      drawing.body)  # fmt: skip
    assert found is not None
    rx, ry, cx, cy, angle = map(float, found.groups())
    turn = np.linspace(0, 2 * np.pi, 16)
    points = mean[:, None] + 1.5 * np.linalg.cholesky(covariance) @ [np.cos(turn), np.sin(turn)]
    x, y = axes.at(*points)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along, across = c * (x - cx) + s * (y - cy), c * (y - cy) - s * (x - cx)
    np.testing.assert_allclose((along / rx) ** 2 + (across / ry) ** 2, 1.0, atol=2e-3)


def test_text_in_a_drawing_is_text() -> None:
    drawing = Drawing(10, 10)
    drawing.text("</text><script>1 & 2</script>\"'", 0, 0)
    drawing.put("rect", 'a" onload="alert(1)', x=0)
    assert "<script" not in drawing.body
    assert "&lt;/text&gt;&lt;script&gt;1 &amp; 2" in drawing.body
    assert 'onload="' not in drawing.body


def test_wide_letters_take_more_room() -> None:
    assert text_width("日本語") > 1.5 * text_width("abc")
    assert text_width("+++") > text_width("iii")


def test_images_are_png_files_that_others_read() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, size=(7, 5, 4), dtype=np.uint8)
    palette = rng.integers(0, 256, size=(256, 3), dtype=np.uint8)
    indices = rng.integers(0, 256, size=(9, 4))
    for content, expected in (
        (of_colours(image), image),
        (of_colours(image[:, :, :3]), image[:, :, :3]),
        (of_palette(indices, palette), palette[indices]),
    ):
        with Image.open(io.BytesIO(content)) as read:
            mode = "RGBA" if expected.shape[2] == 4 else "RGB"
            np.testing.assert_array_equal(np.asarray(read.convert(mode)), expected)


def test_points_on_each_other_have_their_mean_colour_and_hide_more() -> None:
    x, y = np.array([3.0, 3.0, 8.0, 99.0]), np.array([3.0, 3.0, 8.0, 3.0])
    colours = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0], [1, 1, 1]])
    content = scattered(x, y, colours, (12, 12), opacity=0.5)
    with Image.open(io.BytesIO(content)) as read:
        image = np.asarray(read)
    assert image[3, 3].tolist() == [128, 0, 128, 191]
    assert image[8, 8].tolist() == [0, 255, 0, 128]
    assert image[8, 9].tolist() == [0, 255, 0, 128]
    assert (image[..., 3] > 0).sum() == 10


def test_colours_run_from_one_end_of_a_map_to_the_other() -> None:
    assert np.rint(255 * coloured(VIRIDIS, [-1.0, 0.0, 1.0, 2.0])).astype(int).tolist() == [
        [68, 1, 84], [68, 1, 84], [253, 231, 37], [253, 231, 37],
    ]  # fmt: skip
