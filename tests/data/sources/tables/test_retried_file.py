"""Reads that fail for a while are tried again, also in the middle of a file."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from read_source import opened, rows_of

from dgmm.data.sources.tables import retried_file
from dgmm.data.sources.tables.retried_file import RetriedFile
from dgmm.errors import UnavailableError
from dgmm.storage.retry import retry_budget


class Failing:
    """Reads of a file, of which each third fails once."""

    def __init__(self) -> None:
        self.calls, self.failures = 0, 0
        self._read = retried_file._read_at

    def __call__(self, descriptor: int, size: int, at: int) -> bytes:
        self.calls += 1
        if self.calls % 3 == 0:
            self.failures += 1
            raise OSError(errno.EIO, "Input/output error")
        return self._read(descriptor, size, at)


@pytest.fixture
def failing(monkeypatch) -> Failing:
    reads = Failing()
    monkeypatch.setattr(retried_file, "_read_at", reads)
    monkeypatch.setattr("dgmm.storage.retry._FIRST_WAIT_S", 0.001)
    return reads


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_a_read_that_fails_for_a_while_changes_no_row(tmp_path, failing, name):
    table = pa.table({"x": np.arange(300_000) / 8, "y": np.arange(300_000.0)})
    write = pq.write_table if name.endswith("parquet") else pyarrow.csv.write_csv
    write(table, tmp_path / name)
    with retry_budget(5):
        rows = rows_of(opened(tmp_path / name))
    assert failing.failures > 2
    np.testing.assert_array_equal(rows[:, 0], table["x"].to_numpy())
    with pytest.raises(UnavailableError, match=rf"{name} cannot be read: .*storage\.retry_s"):
        rows_of(opened(tmp_path / name))


def test_a_file_is_read_by_place(tmp_path: Path):
    (tmp_path / "f").write_bytes(bytes(range(100)))
    with RetriedFile(str(tmp_path / "f")) as file:
        assert file.read(3) == bytes([0, 1, 2])
        assert file.seek(-2, io.SEEK_END) == 98
        assert file.read(10) == bytes([98, 99])
        assert file.read(10) == b""
        file.seek(10)
        file.seek(5, io.SEEK_CUR)
        buffer = bytearray(4)
        assert (file.readinto(buffer), buffer[0], file.tell()) == (4, 15, 19)
        assert len(file.read()) == 81
    assert file.closed
