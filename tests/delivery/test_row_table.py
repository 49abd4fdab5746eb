"""Results as a table: one file per part, every id once and in order, whoever wrote it."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from new_york_flights import new_york_flights
from read_source import opened

from dgmm.data.sources.row_source import RowPart, RowSource
from dgmm.data.sources.tables import retried_file
from dgmm.data.zarr.output_store import create_array, create_outputs
from dgmm.delivery.request import DeliveryRequest
from dgmm.delivery.row_table import write_row_table
from dgmm.errors import DataError, OutputFailedError, UnavailableError
from dgmm.execution.dask_cluster import local_cluster
from dgmm.execution.threads import ThreadExecutor
from dgmm.storage.retry import retry_budget

K, CHUNK = 7, 8192
FEATURES = ("dep_delay", "arr_delay", "air_time", "distance")


@cache
def flights() -> pd.DataFrame:
    """The 336,776 flights from New York in 2013, each with an id that begins with zeros."""
    found = new_york_flights()[[*FEATURES, "carrier", "month"]].sort_values("month", kind="stable")
    return found.assign(flight_id=[f"{i:08d}" for i in range(len(found))])


@pytest.fixture(scope="module")
def flights_table(tmp_path_factory) -> Path:
    """A partition a month."""
    folder = tmp_path_factory.mktemp("flights") / "table"
    for month, rows in flights().groupby("month"):
        file = folder / f"month={month}" / "part-0.parquet"
        file.parent.mkdir(parents=True)
        table = pa.Table.from_pandas(rows.drop(columns="month"), preserve_index=False)
        pq.write_table(table, file, row_group_size=10_000)
    (folder / "_SUCCESS").touch()
    return folder


def scores(n: int) -> dict[str, np.ndarray]:
    """Row arrays by a formula of the row; every 50th row was dropped."""
    rows = np.arange(n)
    dropped = rows % 50 == 49
    return {
        "labels": np.where(dropped, -1, rows * 31 % K).astype(np.int32),
        "max_posterior": np.where(dropped, np.nan, 1 / (1 + rows % 3)).astype(np.float32),
        "log_density": np.where(dropped, np.nan, -rows / 7),
        "anomaly": np.where(dropped, -1, rows % 100 == 0).astype(np.int8),
    }


def run_of(folder: Path, n: int, names: tuple[str, ...] = ()) -> DeliveryRequest:
    """A run directory with finished row arrays, and one array of a value per component."""
    arrays = {name: values for name, values in scores(n).items() if not names or name in names}
    folder.mkdir()
    group = folder / "outputs.zarr"
    create_outputs(group, {})
    for name, values in arrays.items():
        array = create_array(
            group,
            name,
            shape=(n,),
            chunks=(CHUNK,),
            dtype=values.dtype,
            dimension_names=["row"],
            fill_value=-1,
        )
        array.write(0, values)
    posteriors = np.full((n, 2), 0.5, np.float32)
    create_array(
        group,
        "responsibilities",
        shape=(n, 2),
        chunks=(CHUNK, 2),
        dtype="float32",
        dimension_names=["row", "component"],
        fill_value=0,
    ).write(0, posteriors)
    return DeliveryRequest(str(group), str(folder), (*arrays, "responsibilities"), K)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "rows").iterdir())}


@dataclass(frozen=True)
class Deadly:
    """A source that ends the process that has first read, and written, rows of one of its parts."""

    source: RowSource
    part: int
    marker: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Deadly, (self.source, self.part, self.marker)

    def read_carried(self, part: RowPart) -> Iterator[Mapping[str, Any]]:
        for columns in self.source.read_carried(part):
            yield columns
            if part.index == self.part and not Path(self.marker).exists():
                Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.timeout(90)
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers")
def test_every_id_of_336_776_rows_is_there_once_and_in_order(flights_table, tmp_path):
    expected = flights()
    source = opened(flights_table, columns=FEATURES, ids=("flight_id",), described=("carrier",))
    runs = {n: run_of(tmp_path / f"run{n}", len(expected)) for n in (1, 3)}
    with ThreadExecutor(1) as executor:
        record = write_row_table(source, runs[1], executor)
    marker = tmp_path / "killed"
    with local_cluster(3) as executor:
        write_row_table(Deadly(source, 5, str(marker)), runs[3], executor)
    assert marker.exists()
    assert files(tmp_path / "run1") == files(tmp_path / "run3")

    assert record["files"] == 12
    assert record["rows"] == len(expected) == 336_776
    assert list(files(tmp_path / "run1")) == [f"part-{i:05d}.parquet" for i in range(12)]
    months = [pd.read_parquet(tmp_path / "run1/rows" / name) for name in files(tmp_path / "run1")]
    assert [len(month) for month in months] == expected.groupby("month").size().tolist()
    found = pd.concat(months, ignore_index=True)
    assert found["flight_id"].tolist() == expected["flight_id"].tolist()
    joined = expected.merge(found, on="flight_id", how="outer", indicator=True, validate="1:1")
    assert set(joined["_merge"]) == {"both"}
    written = scores(len(expected))
    np.testing.assert_array_equal(joined["label"], written["labels"])
    for name in ("max_posterior", "log_density", "anomaly"):
        np.testing.assert_array_equal(joined[name], written[name])

    counts = pd.crosstab(expected["carrier"].to_numpy(), written["labels"] % (K + 1))
    listed = dict(
        zip(*(record["described"]["carrier"][k] for k in ("values", "counts")), strict=True)
    )
    assert listed == dict(zip(counts.index, counts.to_numpy().tolist(), strict=True))
    assert next(iter(listed)) == "UA", "the most frequent one is first"


def table(tmp_path: Path, n_parts: int = 3, **columns: list[Any]) -> Path:
    """A folder with a file for each part: x is the row."""
    folder = tmp_path / "table"
    folder.mkdir()
    n = 0
    for i in range(n_parts):
        rows = 100 * i  # the first part has none
        own = {name: values[n : n + rows] for name, values in columns.items()}
        types = pa.schema([("x", pa.float64()), *((name, pa.string()) for name in columns)])
        own["x"] = np.arange(n, n + rows, dtype=float)
        pq.write_table(pa.table(own, schema=types), folder / f"{i}.parquet")
        n += rows
    return folder


def test_dropped_rows_have_label_minus_one_and_null_scores(tmp_path):
    source = opened(table(tmp_path))
    with ThreadExecutor(1) as executor:
        record = write_row_table(source, run_of(tmp_path / "run", 300), executor)
    parts = [pq.read_table(tmp_path / "run/rows" / f"part-0000{i}.parquet") for i in range(3)]
    assert [part.num_rows for part in parts] == [0, 100, 200]
    assert parts[0].schema == parts[1].schema == parts[2].schema
    assert parts[1].column_names == ["label", "max_posterior", "log_density", "anomaly"]
    assert record["columns"] == parts[1].column_names
    found = pa.concat_tables(parts).take([48, 49]).to_pylist()
    assert found[0]["log_density"] == -48 / 7
    assert found[1] == {"label": -1, "max_posterior": None, "log_density": None, "anomaly": -1}


def test_outputs_that_the_job_did_not_write_are_no_columns(tmp_path):
    source = opened(table(tmp_path))
    with ThreadExecutor(1) as executor:
        write_row_table(source, run_of(tmp_path / "run", 300, ("labels",)), executor)
    assert pq.read_schema(tmp_path / "run/rows/part-00001.parquet").names == ["label"]


def test_a_carried_column_keeps_its_name_and_the_result_gets_another(tmp_path):
    labels = [f"true{i % 2}" for i in range(300)]
    source = opened(table(tmp_path, label=labels), described=("label",))
    with ThreadExecutor(1) as executor:
        record = write_row_table(source, run_of(tmp_path / "run", 300), executor)
    part = pq.read_table(tmp_path / "run/rows/part-00001.parquet")
    assert part["label"].to_pylist() == labels[:100]
    assert part["dgmm_label"].to_pylist() == scores(100)["labels"].tolist()
    assert record["columns"][:2] == ["label", "dgmm_label"]


def test_a_second_call_gives_the_same_files_and_leaves_no_others(tmp_path):
    source = opened(table(tmp_path), ids=())
    request = run_of(tmp_path / "run", 300)
    with ThreadExecutor(2) as executor:
        first = write_row_table(source, request, executor)
        before = files(tmp_path / "run")
        for name in (".part-00001.parquet.0123456789abcdef.tmp", "part-00003.parquet", "notes.txt"):
            (tmp_path / "run/rows" / name).write_text("left")
        assert write_row_table(source, request, executor) == first
    assert files(tmp_path / "run") == before | {"notes.txt": b"left"}


def test_reads_of_the_source_that_fail_for_a_while_are_tried_again(tmp_path, monkeypatch):
    source = opened(table(tmp_path, id=[f"r{i}" for i in range(400)]), ids=("id",))
    request = run_of(tmp_path / "run", 300)
    read, n_reads = retried_file._read_at, itertools.count(1)

    def failing(*where):
        if next(n_reads) % 3 == 0:
            raise OSError(errno.EIO, "no answer")
        return read(*where)

    monkeypatch.setattr(retried_file, "_read_at", failing)
    monkeypatch.setattr("dgmm.storage.retry._FIRST_WAIT_S", 0.001)
    with ThreadExecutor(2) as executor, retry_budget(20.0):
        with pytest.raises(UnavailableError, match="no answer"):
            write_row_table(source, request, executor)
        found = write_row_table(source, replace(request, retry_s=20.0), executor)
    assert found["rows"] == 300
    assert pq.read_table(tmp_path / "run/rows")["id"].to_pylist() == [f"r{i}" for i in range(300)]


@pytest.mark.parametrize(("n", "found"), [(101, "more"), (99, "99")])
def test_rows_that_changed_since_they_were_read_are_refused(tmp_path, n, found):
    ids = [f"r{i}" for i in range(400)]
    folder = table(tmp_path, id=ids)
    source = opened(folder, ids=("id",))
    request = run_of(tmp_path / "run", 300)
    pq.write_table(pa.table({"x": np.zeros(n), "id": ids[:n]}), folder / "1.parquet")
    with (
        ThreadExecutor(1) as executor,
        pytest.raises(DataError, match=rf"1\.parquet gave {found} rows"),
    ):
        write_row_table(source, request, executor)
    assert not list((tmp_path / "run/rows").glob("part-00001*")), "no part of a file is left"


def test_other_ids_in_as_many_rows_are_refused(tmp_path):
    ids = [f"r{i}" for i in range(400)]
    folder = table(tmp_path, id=ids)
    source = opened(folder, ids=("id",))
    request = run_of(tmp_path / "run", 300)
    pq.write_table(pa.table({"x": np.zeros(100), "id": ids[300:]}), folder / "1.parquet")
    with ThreadExecutor(1) as executor, pytest.raises(DataError, match=r"1\.parquet changed since"):
        write_row_table(source, request, executor)


def test_a_damaged_row_array_is_named(tmp_path):
    source, request = opened(table(tmp_path)), run_of(tmp_path / "run", 300)
    chunk = next(p for p in (tmp_path / "run/outputs.zarr/log_density/c").rglob("*") if p.is_file())
    chunk.unlink()
    with ThreadExecutor(1) as executor, pytest.raises(OutputFailedError, match="log_density"):
        write_row_table(source, request, executor)


@pytest.mark.parametrize("n_values", [60, 10_001])
def test_described_values_are_counted_up_to_a_limit(tmp_path, n_values):
    n = 30_000
    values = [f"v{i % n_values:05d}" for i in range(n - 1)] + [None]
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": np.arange(float(n)), "v": values}), file)
    source = opened(file, described=("v",))
    with ThreadExecutor(1) as executor:
        record = write_row_table(source, run_of(tmp_path / "run", n), executor)["described"]["v"]
    if n_values > 10_000:
        assert record == {"too_many_values": 10_000}
        return
    assert record["values"][0] == "v00000"
    assert len(record["values"]) == 50
    assert record["other_values"] == 11, "60 and null"
    assert np.sum(record["counts"]) + np.sum(record["other_counts"]) == n
    labels = scores(n)["labels"][::60]
    assert record["counts"][0] == np.bincount(labels % (K + 1), minlength=K + 1).tolist()


def test_a_source_with_plain_arrays_to_carry_is_written_too(tmp_path):
    @dataclass(frozen=True)
    class Named:
        source: RowSource

        @property
        def description(self) -> Any:
            return replace(self.source.description, carried=("obs",), described=("obs",))

        def parts(self) -> tuple[RowPart, ...]:
            return self.source.parts()

        def check_unchanged(self) -> None:
            self.source.check_unchanged()

        def read_carried(self, part: RowPart) -> Iterator[Mapping[str, Any]]:
            yield {"obs": np.array([f"c{i % 2}" for i in range(part.n_rows)], object)}

    source: Any = Named(opened(table(tmp_path)))
    with ThreadExecutor(1) as executor:
        record = write_row_table(source, run_of(tmp_path / "run", 300), executor)
    found = pq.read_table(tmp_path / "run/rows/part-00002.parquet")
    assert found["obs"].to_pylist()[:3] == ["c0", "c1", "c0"]
    assert record["described"]["obs"]["values"] == ["c0", "c1"]
