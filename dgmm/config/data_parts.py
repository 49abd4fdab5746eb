"""Sections within a job's `data`: how CSV is written, and weights of rows."""

from __future__ import annotations

from typing import Literal

from dgmm.config.settings import Settings
from dgmm.config.values import ArrayName, Character, Name, Names


class CsvSettings(Settings):
    """How the cells of a CSV file are written."""

    delimiter: Character | None = None
    """What stands between two cells; null takes a tab for `.tsv` files and a comma for others."""
    decimal: Character | None = None
    """The decimal sign; null is a point."""
    null_values: Names | None = None
    """Text that stands for a missing number, besides an empty cell, NA, NaN and null."""
    encoding: Name | None = None
    """As Python calls it; null is utf-8."""


class WeightSettings(Settings):
    """A weight for each row: where it stands, and what it means."""

    array: ArrayName | None = None
    """Name of the array (n,) of weights, beside the rows in a Zarr group or an HDF5 file."""
    column: Name | None = None
    """Column of a table, or variable of labelled arrays, that holds the weights; no feature."""
    cos: Name | None = None
    """Latitude of labelled arrays, in degrees or radians as its units say (degrees without):
    weights are its cosine, as areas of grid cells."""
    kind: Literal["counts", "importance"] | None = None
    """`counts`: whole numbers, how many equal rows a row stands for; `importance`: only ratios
    matter, and criteria are approximate. Required where there are weights."""
