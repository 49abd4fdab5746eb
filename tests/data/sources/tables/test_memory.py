"""Reading a part holds a bounded number of bytes, whatever the number of its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from read_source import opened

from dgmm.data.sources.row_source import RowSource

D = 6


def written(path: Path, n: int) -> Path:
    """n rows of D columns in one row group, or one CSV file."""
    rows = np.random.default_rng(0).normal(size=(D, n)).round(3)
    table = pa.table({f"x{i}": column for i, column in enumerate(rows)})
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path, row_group_size=n, use_dictionary=False)
    return path


def most_held(source: RowSource) -> int:
    """Bytes that Arrow holds at most while a part is read, looked at after each batch."""
    before, held = pa.total_allocated_bytes(), 0
    for part in source.parts():
        for _ in source.read(part):
            held = max(held, pa.total_allocated_bytes() - before)
    return held


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_four_times_the_rows_take_no_more_memory(tmp_path, name, monkeypatch):
    monkeypatch.setattr("dgmm.data.sources.tables.csv_files._BLOCK_BYTES", 65_536)
    few, many = 100_000, 400_000
    source = opened(written(tmp_path / name, few))
    held = most_held(source)
    larger = opened(written(tmp_path / f"many-{name}", many))
    assert len(larger.parts()) == 1
    # How far Arrow has read ahead, of at most 32 blocks of CSV, follows its threads.
    assert most_held(larger) <= 1.1 * held + 16 * 65_536
    assert held <= larger.read_bytes
