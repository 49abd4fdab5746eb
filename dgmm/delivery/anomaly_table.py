"""The most anomalous rows as a table: `anomalies/rows.csv`, and the same as Parquet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dgmm.data.sources.tables.written_parts import carried_types, write_part
from dgmm.errors import UnavailableError
from dgmm.storage.atomic_files import encoded, output_errors, written_aside
from dgmm.storage.csv_text import csv_text
from dgmm.storage.folders import Folder

#: The folder in a run directory, and the files in it.
ANOMALIES = "anomalies"
CSV, PARQUET = "rows.csv", "rows.parquet"
FILES = (CSV, PARQUET)

Columns = Mapping[str, Sequence[Any]]


def write_anomaly_table(folder: Folder, columns: Columns) -> dict[str, Any]:
    """Write the folder, whole or not at all; what stands in run.json of it is returned.

    The same columns give the same bytes.

    Parameters
    ----------
    folder
        The run directory.
    columns
        By name, of one length: numbers, text, dates; None or NaN where there is none.

    Raises
    ------
    OutputFailedError
        If the disk refuses.
    """
    place = folder / ANOMALIES
    with output_errors(place), place.folder_aside() as made:
        with written_aside(made / CSV) as file:
            file.write(encoded(_csv(columns)))
        has_parquet = _write_parquet(made, columns)
    files = FILES if has_parquet else (CSV,)
    return {
        "path": ANOMALIES,
        "files": list(files),
        "rows": len(next(iter(columns.values()))),
        "bytes": sum((Path(folder.path) / ANOMALIES / name).stat().st_size for name in files),
        "columns": list(columns),
    }


def _write_parquet(made: Folder, columns: Columns) -> bool:
    """Whether it could be written: that needs pyarrow."""
    own = {name: [_or_none(value) for value in values] for name, values in columns.items()}
    try:
        types = carried_types(own)
    except UnavailableError:
        return False
    write_part(made / PARQUET, types, iter([own]))
    return True


def _csv(columns: Columns) -> str:
    """RFC 4180 with a header; numbers read back bit-identical, an absent value is empty."""
    rows = zip(*columns.values(), strict=True)
    shown = (["" if _or_none(value) is None else value for value in row] for row in rows)
    return csv_text([list(columns), *shown])


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
