"""CPU time of preparing rows, × that of decoding them and of writing them, each alone.

Decoding alone makes rows in memory as a plain script does: xarray's values of each place's chunks,
or pyarrow's of each batch, put side by side, and nothing checked or kept. Writing alone is Zarr's,
from memory, in the chunks and with the codecs of prepared rows. All
sides run alternately, in this process, and CPU times of all its threads are taken: a disk that
others use changes wall times and not these.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from benchmarks.measuring import N_THREADS, alternate
from benchmarks.results import Results
from dgmm.data.data_source import DataSource
from dgmm.data.formats import open_stored
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.zarr.format_versions import creation_options
from dgmm.execution.threads import ThreadExecutor
from dgmm.ingest.prepare import PreparedTarget, prepare
from dgmm.storage.folders import Folder

_BUDGET_S = 10.0
_GOAL = 1.5
_DIMS = ("time", "depth", "lat", "lon")
_VARIABLES = ("SR", "dSA")
_COLUMNS = 12


class Case(Protocol):
    """An input that is made by formula, and how it is decoded alone."""

    part: str

    def write(self, path: Path, *, is_trial: bool) -> None:
        """Make the input."""

    def source(self, path: Path) -> DataSource:
        """What dgmm opens."""

    def decoded(self, path: Path) -> Iterator[NDArray[Any]]:
        """Yield all rows of it, in any order."""


@dataclass(frozen=True, slots=True)
class PackedArrays:
    """Two variables of int16 with gaps over land, in Zarr chunks of some share of each dimension.

    `shares` are into how many chunks time, depth, lat and lon are cut; 0 is one chunk a place.
    """

    shares: tuple[int, int, int, int]
    part: str = "packed labelled array"

    def __str__(self) -> str:
        named = zip(_DIMS, self.shares, strict=True)
        return "chunks of " + ", ".join(
            f"one {name}" if n == 0 else f"1/{n} of {name}" if n > 1 else f"all {name}"
            for name, n in named
        )

    def write(self, path: Path, *, is_trial: bool) -> None:
        """Make the input."""
        import xarray  # noqa: PLC0415 - an extra of dgmm

        sizes = (2, 3, 20, 20) if is_trial else (24, 20, 160, 160)
        pairs = zip(sizes, self.shares, strict=True)
        chunks = tuple(-(-size // n) if n else 1 for size, n in pairs)
        t, z, y, x = np.indices(sizes, dtype=np.float32)
        wave = np.sin(0.7 * t + 0.3 * z) + np.cos(0.5 * y) * np.sin(0.9 * x)
        wave[(y // 8 + x // 8) % 7 == 0] = np.nan
        wave[(z > sizes[1] // 2) & ((y // 4 + x // 16) % 5 == 0)] = np.nan
        packed = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 30.0, "chunks": chunks}
        own = packed | {"_FillValue": -32768}
        places = {name: np.arange(n) * 1.0 for name, n in zip(_DIMS, sizes, strict=True)}
        data = xarray.Dataset(
            {name: (_DIMS, wave + i) for i, name in enumerate(_VARIABLES)}, places
        )
        options: dict[str, Any] = {"zarr_format": 3, "consolidated": False}
        data.to_zarr(path, encoding=dict.fromkeys(_VARIABLES, own), **options)

    def source(self, path: Path) -> DataSource:
        """What dgmm opens."""
        dims = ("time", "lat", "lon")
        name = str(path)
        return DataSource(name, paths=(name,), variables=_VARIABLES, sample_dims=dims)

    def decoded(self, path: Path) -> Iterator[NDArray[Any]]:
        """Yield the rows of each place's chunks, of all depths and both variables."""
        import xarray  # noqa: PLC0415 - as above

        data = xarray.open_zarr(path, chunks=None, decode_times=False, consolidated=False)
        n_time, _, n_lat, n_lon = data["SR"].encoding["chunks"]
        for t in range(0, data.sizes["time"], n_time):
            for y in range(0, data.sizes["lat"], n_lat):
                for x in range(0, data.sizes["lon"], n_lon):
                    place = (
                        *(slice(t, t + n_time), slice(None)),
                        *(slice(y, y + n_lat), slice(x, x + n_lon)),
                    )
                    columns = (np.moveaxis(data[name][place].values, 1, 3) for name in _VARIABLES)
                    rows = np.concatenate(list(columns), axis=3)
                    yield rows.reshape(-1, rows.shape[3])


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """Numbers in columns with gaps, in files of several row groups."""

    part: str = "Parquet table"

    def __str__(self) -> str:
        return f"{_COLUMNS} columns, 8 files"

    def write(self, path: Path, *, is_trial: bool) -> None:
        """Make the input."""
        import pyarrow as pa  # noqa: PLC0415 - an extra of dgmm
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        n = 1000 if is_trial else 150_000
        path.mkdir()
        rng = np.random.default_rng(0)
        for i in range(8):
            rows = rng.normal(size=(n, _COLUMNS))
            missing = rng.random((n, 3)) < 0.1
            columns = {f"x{j}": pa.array(rows[:, j]) for j in range(3, _COLUMNS)}
            for j in range(3):
                columns[f"x{j}"] = pa.array(rows[:, j], mask=missing[:, j])
            table = pa.table(columns)
            pq.write_table(table, path / f"part-{i}.parquet", row_group_size=max(n // 3, 1))

    def source(self, path: Path) -> DataSource:
        """What dgmm opens."""
        return DataSource(str(path), paths=(str(path),))

    def decoded(self, path: Path) -> Iterator[NDArray[Any]]:
        """Yield the rows of each batch."""
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        for file in sorted(path.iterdir()):
            for batch in pq.ParquetFile(file).iter_batches(65_536):
                yield np.column_stack([c.to_numpy(zero_copy_only=False) for c in batch.columns])


CASES: tuple[Case, ...] = (
    PackedArrays((0, 1, 1, 1)),
    PackedArrays((1, 1, 10, 10)),
    PackedArrays((1, 0, 1, 1)),
    ParquetTable(),
)


def run(results: Results) -> None:
    """Every case."""
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="dgmm-preparing-") as folder:
            _measure(case, Path(folder), results)


def _measure(case: Case, folder: Path, results: Results) -> None:
    case.write(folder / "source", is_trial=results.is_trial)
    sides = _sides(case, folder)
    for side in sides:
        side()
    budget, least = (0.0, 1) if results.is_trial else (_BUDGET_S, 3)
    found = alternate([_timed(side) for side in sides], budget=budget, least=least)
    ratios = [a / (b + c) for a, b, c in zip(*found, strict=True)]
    ours, decoding, writing = map(median, found)
    results.measured(
        *(case.part, str(case), median(ratios), "×"),
        goal=_GOAL,
        at_least=False,
        note=f"{ours:.2f} s of CPU; decoding alone {decoding:.2f}, writing alone {writing:.2f}",
        detail={"prepare_s": ours, "decoding_s": decoding, "writing_s": writing},
    )


def _sides(case: Case, folder: Path) -> list[Callable[[], object]]:
    """Preparing, decoding alone and writing alone."""
    source = case.source(folder / "source")
    chunk = _prepared(source, folder)
    rows: NDArray[Any] = np.asarray(zarr.open_group(folder / "rows.zarr", mode="r")["rows"])

    def decode() -> None:
        for _ in case.decoded(folder / "source"):
            pass

    return [lambda: _prepared(source, folder), decode, lambda: _write(rows, chunk, folder)]


def _prepared(source: DataSource, folder: Path) -> int:
    """Prepare the rows anew; how many are in a chunk of them."""
    dataset = open_stored("auto", source)
    if not isinstance(dataset, SourceDataset):
        raise TypeError(f"{source.path} is read in place")
    shutil.rmtree(folder / "rows.zarr", ignore_errors=True)
    with Folder(folder) as held, ThreadExecutor(N_THREADS) as executor:
        prepare(dataset, executor, PreparedTarget(held, "rows.zarr", "a" * 64))
    return dataset.chunk_rows


def _write(rows: NDArray[Any], chunk: int, folder: Path) -> None:
    array = zarr.create_array(
        str(folder / "alone.zarr"),
        shape=rows.shape,
        chunks=(min(chunk, len(rows)), rows.shape[1]),
        dtype=rows.dtype,
        overwrite=True,
        **creation_options(3, rows.dtype, ("row", "feature"), float("nan"), {}),
    )
    for start in range(0, len(rows), chunk):
        array[start : start + chunk] = rows[start : start + chunk]


def _timed(side: Callable[[], object]) -> Callable[[], list[float]]:
    def timed() -> list[float]:
        begun = time.process_time()
        side()
        return [time.process_time() - begun]

    return timed
