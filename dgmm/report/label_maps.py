"""Label maps: where rows are pixels or places of a grid, the labels as images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sample_grid import SampleGrid
from dgmm.report.charts.pixels import of_colours, of_palette
from dgmm.report.charts.svg import hexadecimal
from dgmm.report.component_colours import component_colours
from dgmm.report.components import NOISE_COLOUR, Components, Floats
from dgmm.report.figure import OmittedFigure, ReportFigure, sentence
from dgmm.report.formatting import Shown, number, ordinal, percent
from dgmm.report.image_grid import ImageGrid
from dgmm.report.subsampling import CELL_LIMIT, StoredColumn, read_at
from dgmm.report.table import Table

_LABELS = "Label maps"
_ANOMALIES = "Anomaly map"
_MOST_IMAGES = 8
_LONGEST_SIDE = 1200
_LONGEST_LEGEND = 64
_MOST_COUNTED = 256
_LARGEST_PALETTE = 256
_DROPPED = np.array([1.0, 1.0, 1.0])
#: Grey levels as they are, but that one below white is the red of flagged pixels.
_FLAG_INDEX = 254
_GREYS_AND_RED = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
_GREYS_AND_RED[_FLAG_INDEX] = (219, 26, 26)
#: Dilation by one pixel each way: a single flagged pixel would be lost on a page.
_MARK_RADIUS = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Which pixels of which images are shown.

    Parameters
    ----------
    n_images, height, width : int
        Of the data.
    grid : SampleGrid or None
        The places that rows are, where they run over a grid chunk by chunk; its last two dimensions
        are lines and pixels, those before them images. None: rows are pixels in order.
    from_last : (bool, bool)
        Whether lines, and pixels of a line, are shown from the last to the first: larger
        coordinates stand above and to the right.
    is_upwards : bool
        Whether lines have a coordinate, which grows upwards.
    """

    n_images: int
    height: int
    width: int
    grid: SampleGrid | None = None
    from_last: tuple[bool, bool] = (False, False)
    is_upwards: bool = False

    @classmethod
    def of(cls, data: dict[str, Any]) -> Layout | None:
        """The layout that `sample_dims` and `sample_shape` declare; None where they do not fit."""
        attributes = data.get("attributes") or {}
        if "sample_chunks" in attributes:
            return cls._of_grid(SampleGrid.of(attributes), attributes, data.get("n_samples"))
        dims, shape = attributes.get("sample_dims"), attributes.get("sample_shape")
        if not isinstance(shape, list | tuple) or not all(type(s) is int and s > 0 for s in shape):
            return None
        if dims == ["row", "column"] and len(shape) == 2:
            shape = [1, *shape]
        elif dims != ["image", "row", "column"] or len(shape) != 3:
            return None
        return cls(*shape) if math.prod(shape) == data.get("n_samples") else None

    @classmethod
    def _of_grid(
        cls, grid: SampleGrid | None, attributes: dict[str, Any], n_samples: object
    ) -> Layout | None:
        if grid is None or grid.n_rows != n_samples or len(grid.dims) < 2:
            return None
        *images, height, width = grid.shape
        ends = attributes.get("sample_coordinates")
        ranges = [ends.get(dim) if isinstance(ends, dict) else None for dim in grid.dims[-2:]]
        vertical, horizontal = (_compared(r) for r in ranges)
        from_last = vertical < 0, horizontal > 0
        return cls(math.prod(images), height, width, grid, from_last, vertical != 0)

    @property
    def noun(self) -> str:
        """What a row is, for captions."""
        return "pixels" if self.grid is None else "places"

    @property
    def shown(self) -> NDArray[np.int64]:
        """The images that are shown, evenly spread."""
        stride = -(-self.n_images // _MOST_IMAGES)
        return np.arange(0, self.n_images, stride)

    @property
    def stride(self) -> int:
        """Every how many lines and pixels of a line are shown."""
        budget = CELL_LIMIT // self.shown.size
        stride = max(1, -(-max(self.height, self.width) // _LONGEST_SIDE))
        while -(-self.height // stride) * -(-self.width // stride) > budget:
            stride += 1
        return stride

    def read(self, column: StoredColumn) -> Iterator[NDArray[Any]]:
        """Yield one array (lines, pixels) an image shown."""
        lines = np.arange(0, self.height, self.stride)
        pixels = np.arange(0, self.width, self.stride)
        if self.grid is not None:
            steps = (-1 if from_last else 1 for from_last in self.from_last)
            lines, pixels = lines[:: next(steps), None], pixels[:: next(steps)]
            for place in self._places(self.grid):
                yield _read_anywhere(column, self.grid.rows_of([*place, lines, pixels]))
            return
        offsets = (lines[:, None] * self.width + pixels).ravel()
        size = self.height * self.width
        for image in self.shown:
            yield read_at(column, image * size + offsets).reshape(lines.size, pixels.size)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of an image shown, pixels."""
        return -(-self.width // self.stride), -(-self.height // self.stride)

    @property
    def titles(self) -> list[str]:
        """One an image shown; none where there is one image."""
        if self.n_images == 1:
            return []
        if self.grid is None:
            return [f"image {i}" for i in self.shown]
        dims = self.grid.dims[:-2]
        return [
            ", ".join(f"{dim} {i}" for dim, i in zip(dims, place, strict=True))
            for place in self._places(self.grid)
        ]

    def _places(self, grid: SampleGrid) -> Iterator[tuple[int, ...]]:
        """For each image shown, the indices along the dimensions before the last two."""
        shape = grid.shape[:-2]
        for image in self.shown:
            yield tuple(map(int, np.unravel_index(image, shape))) if shape else ()

    @property
    def description(self) -> str:
        """What is shown and what is not, for a caption."""
        parts = []
        if self.shown.size < self.n_images:
            step = ordinal(int(self.shown[1]))
            parts.append(f"Every {step} of {self.n_images:,} images is shown.")
        if self.stride > 1:
            parts.append(f"Every {ordinal(self.stride)} line and pixel is shown.")
        size = f"{self.width:,} × {self.height:,} {self.noun}"
        if self.grid is not None:
            vertical, horizontal = self.grid.dims[-2:]
            way = "upwards" if self.is_upwards else "downwards"
            size += f" ({horizontal} to the right, {vertical} {way})"
        whole = f"{self.n_images:,} images of {size}." if self.n_images > 1 else f"{size}."
        return sentence(whole, *parts)


def label_maps(
    layout: Layout | None, components: Components | None, column: StoredColumn | None
) -> ReportFigure | OmittedFigure:
    """The labels of every pixel, in component colours."""
    if layout is None or components is None or column is None:
        return OmittedFigure(
            _LABELS, "they need labels and rows that are pixels or places of a grid"
        )
    shades = component_colours(components)
    noise = [NOISE_COLOUR] if components.has_noise else []
    table = _bytes(np.vstack([shades.colours, *noise, _DROPPED]))
    k = components.n_components + len(noise)
    images, counts = [], []
    for image in layout.read(column):
        labels = _valid(image, k)
        images.append(_png(labels, table))
        counts.append(np.bincount(labels.ravel(), minlength=k + 1))
    dropped = any(own[k] for own in counts)
    legend = (
        [(str(j), hexadecimal(shades.colours[j])) for j in components.along_axis]
        if _legible(components.n_components)
        else []
    )
    if legend and noise:
        legend.append(("noise", hexadecimal(NOISE_COLOUR)))
    caption = sentence(
        shades.description,
        "Dropped rows are white." if dropped else "",
        "Numbers below are component indices." if legend else "",
        "Rows of the noise are dark grey." if noise else "",
        layout.description,
    )
    alt = f"{len(images)} images coloured by component."
    drawing = ImageGrid(images, layout.size, layout.titles, legend).draw()
    shares = _shares(layout, components, counts)
    return ReportFigure("label-maps", _LABELS, caption, alt, drawing, shares)


def _png(labels: NDArray[np.int32], table: NDArray[np.uint8]) -> bytes:
    if len(table) <= _LARGEST_PALETTE:
        return of_palette(labels, table)
    return of_colours(table[labels])


def _shares(layout: Layout, components: Components, counts: list[NDArray[np.int64]]) -> Table:
    """Of each image, the share of each component among the pixels that are shown."""
    titles = layout.titles or ["share"]
    header = ("component", *titles)
    shown = components.along_axis[:_MOST_COUNTED]
    rows = [
        (number(int(j)), *(percent(float(own[j] / max(own.sum(), 1))) for own in counts))
        for j in shown
    ]
    if components.has_noise:
        k = components.n_components
        rows.append((Shown("noise", k), *(percent(float(own[k] / own.sum())) for own in counts)))
    title = f"Shares of the {layout.noun} that are shown"
    return Table(title, header, rows, frozenset(range(len(header))))


def anomaly_maps(
    layout: Layout | None,
    components: Components | None,
    labels: StoredColumn | None,
    column: StoredColumn | None,
) -> ReportFigure | OmittedFigure:
    """Flagged pixels in red over the grey label map."""
    if layout is None or column is None:
        return OmittedFigure(
            _ANOMALIES,
            "it needs a rule of anomalies (anomalies.quantile) and data that declare images",
        )
    flags = [np.asarray(image) == 1 for image in layout.read(column)]
    grounds = _greys(layout, components, labels, flags)
    images = []
    for flag, ground in zip(flags, grounds, strict=True):
        marked = np.where(_widened(flag), np.uint8(_FLAG_INDEX), ground)
        images.append(of_palette(marked, _GREYS_AND_RED))
    counts = [int(flag.sum()) for flag in flags]
    count = sum(counts)
    caption = sentence(
        f"{count:,} {layout.noun} below the anomaly threshold in red, one pixel wider on each side "
        "than they are, over the labels in grey.",
        layout.description,
    )
    alt = f"{len(images)} images with {count:,} anomalous pixels marked."
    rows = [
        (title, number(own)) for title, own in zip(layout.titles or ["all"], counts, strict=True)
    ]
    table = Table("Anomalies that are shown", ("image", layout.noun), rows, frozenset({1}))
    drawing = ImageGrid(images, layout.size, layout.titles).draw()
    return ReportFigure("anomaly-map", _ANOMALIES, caption, alt, drawing, table)


def _compared(ends: object) -> int:
    """1 where a coordinate's first value is larger than its last, -1 where smaller, else 0."""
    if isinstance(ends, list | tuple) and len(ends) == 2:
        return int(ends[0] > ends[1]) - int(ends[0] < ends[1])
    return 0


def _read_anywhere(column: StoredColumn, rows: NDArray[np.int64]) -> NDArray[Any]:
    """The values of rows in any order, in the array's shape."""
    order = np.argsort(rows, axis=None)
    found = read_at(column, rows.ravel()[order])
    values = np.empty_like(found)
    values[order] = found
    return values.reshape(rows.shape)


def _legible(k: int) -> bool:
    return 1 < k <= _LONGEST_LEGEND


def _valid(image: NDArray[Any], k: int) -> NDArray[np.int32]:
    # The table's last entry is the colour of dropped rows.
    return np.where((image >= 0) & (image < k), image, k).astype(np.int32)


def _bytes(colours: Floats) -> NDArray[np.uint8]:
    """Colours in [0, 1] as bytes: a picture of floats takes eight times the memory."""
    return np.rint(255 * colours).astype(np.uint8)


def _greys(
    layout: Layout, components: Components | None, labels: StoredColumn | None, flags: list[Any]
) -> Iterator[NDArray[np.uint8]]:
    if components is None or labels is None:
        yield from (np.full(flag.shape, round(255 * 0.88), np.uint8) for flag in flags)
        return
    noise = [NOISE_COLOUR] if components.has_noise else []
    shades = np.vstack([component_colours(components).colours, *noise])
    luminance = shades @ np.array([0.299, 0.587, 0.114])
    # Light greys only, so that red stands out.
    table = _bytes(np.append(0.5 + 0.42 * luminance, 1.0))
    for image in layout.read(labels):
        yield table[_valid(image, len(luminance))]


def _widened(flag: NDArray[np.bool_]) -> NDArray[np.bool_]:
    r = _MARK_RADIUS
    padded = np.pad(flag, r)
    height, width = flag.shape
    shifts = [(i, j) for i in range(2 * r + 1) for j in range(2 * r + 1)]
    widened = np.logical_or.reduce([padded[i : i + height, j : j + width] for i, j in shifts])
    return np.asarray(widened, dtype=np.bool_)
