"""Cases 54 to 69: chunks that are absent or damaged, storage that refuses, places to write."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from bad_input import SECRET, Cases, Desk, bits, parts_in_two, record, tree, two_clusters

CASES = Cases()


@CASES.case(54, "a chunk that is not there", 0, 65)
def _(desk: Desk) -> None:
    X = two_clusters()
    (desk.write_rows(X) / "c/1/0").unlink()
    said = ("rows.zarr: 1 of 3 chunks do not exist (c/1/0)", "set data.absent_chunks to fill")
    desk.job(65, *said)
    said = ("rows.zarr: 1 of 3 chunks do not exist and are read as fill values",)
    filled = desk.job(0, *said, name="filled", data={"absent_chunks": "fill"})
    X[40:80] = 0
    assert bits(filled) == bits(desk.fits(X, name="zeros"))


@CASES.case(55, "an inner chunk that is not in its shard", 0, 65)
def _(desk: Desk) -> None:
    X = two_clusters()
    X[40:60] = 0
    chunked = {"chunks": (20, 2), "shards": (60, 2), "dtype": X.dtype, "shape": X.shape}
    zarr.create_array("rows.zarr", **chunked)[...] = X
    desk.job(65, "1 of 6 chunks do not exist (inner chunk (2, 0) of shard c/0/0)", "absent_chunks")
    said = "rows.zarr: 1 of 6 chunks do not exist and are read as fill values"
    filled = desk.job(0, said, name="filled", data={"absent_chunks": "fill"})
    assert bits(filled) == bits(desk.fits(X, name="zeros"))


@CASES.case(56, "a chunk cut short", 65)
def _(desk: Desk) -> None:
    chunk = desk.write_rows() / "c/1/0"
    chunk.write_bytes(chunk.read_bytes()[:50])
    desk.job(65, "chunk c/1/0 of", "rows.zarr is damaged: ", "Restore it, or write the array again")


@CASES.case(57, "a flipped bit", 65, 78)
def _(desk: Desk) -> None:
    chunk = desk.write_rows(compressors=[zarr.codecs.Crc32cCodec()]) / "c/2/0"
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(content)
    desk.job(65, "chunk c/2/0 of", "rows.zarr is damaged: ", "checksum", "Restore it")
    said = "data.verify: checking data against a manifest is not built yet; remove this key"
    desk.job(78, said, data={"verify": "sha256-manifest"})


@CASES.case(58, "an empty file for a chunk", 65)
def _(desk: Desk) -> None:
    (desk.write_rows() / "c/0/0").write_bytes(b"")
    desk.job(65, "rows.zarr: chunk c/0/0 is damaged: its file is empty (0 bytes). Write it again")


@CASES.case(59, "packed integers", 0)
def _(desk: Desk) -> None:
    packed = np.rint(100 * two_clusters()).astype(np.int16)
    desk.write_rows(packed, attributes={"scale_factor": 0.01, "add_offset": 273.15})
    assert bits(desk.job(0)) == bits(desk.fits(packed.astype("f8") * 0.01 + 273.15, name="decoded"))


@CASES.case(60, "numbers that stand for missing values", 0, 65)
def _(desk: Desk) -> None:
    gaps, drop = two_clusters(), {"missing": "drop"}
    gaps[5, 0] = np.nan
    dropped = desk.fits(gaps, name="dropped", data=drop)
    gaps[5, 0] = -999.0
    for name in ("_FillValue", "missing_value"):
        desk.write_rows(gaps, path=f"{name}.zarr", attributes={name: -999.0})
        data = {"path": f"{name}.zarr"}
        desk.job(65, "1 of ", "x0: 1 NaN", name=f"{name}-refused", data=data)
        found = desk.job(0, name=name, data=data | drop)
        assert bits(found) == bits(dropped)


@CASES.case(61, "a sparse matrix", 65)
def _(desk: Desk) -> None:
    root = zarr.open_group("cells.zarr", mode="w")
    root.create_group("X", attributes={"encoding-type": "csr_matrix", "shape": [3, 4]})
    root.create_array("X/data", shape=(3,), dtype="f4", chunks=(3,))
    said = ("cells.zarr/X is an AnnData sparse matrix (csr_matrix)", "for instance obsm/X_pca")
    desk.job(65, *said, data={"path": "cells.zarr", "array": "X"})


@CASES.case(62, "several variables as columns, of arrays without dimensions", 65)
def _(desk: Desk) -> None:
    zarr.create_group("ocean.zarr")
    desk.write_rows(path="ocean.zarr/temperature")
    data = {"path": "ocean.zarr", "variables": ["temperature", "salinity"]}
    desk.job(65, "missing the `dimension_names` metadata", data=data | {"sample_dims": ["x"]})


@CASES.case(63, "rows that change while they are read", 65)
def _(desk: Desk) -> None:
    from dgmm.job import fit_job as fitting

    rows, real = desk.write_rows(), fitting.fit

    def fit_and_change(*operands: Any, **settings: Any) -> Any:
        result = real(*operands, **settings)
        os.utime(rows / "c/1/0", (1e9, 1e9))
        return result

    with desk.monkeypatch.context() as patched:
        patched.setattr(fitting, "fit", fit_and_change)
        directory = desk.job(65, "rows.zarr changed during the run: ", "when nothing writes to it")
    assert not (directory / "outputs.zarr").exists()


@CASES.case(64, "permission denied is not missing", 66)
def _(desk: Desk) -> None:
    desk.write_rows()
    desk.job(66, "none.zarr does not exist", name="none", data={"path": "none.zarr"})
    real = os.open

    def refusing(path: object, *arguments: int, **options: int) -> int:
        if str(path).endswith("zarr.json"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    with desk.monkeypatch.context() as patched:  # an administrator may read everything
        patched.setattr(os, "open", refusing)
        desk.job(66, "rows.zarr/zarr.json: permission denied; it exists but is not yours to read")


@CASES.case(65, "object storage that cannot be reached", 78)
def _(desk: Desk) -> None:
    url = f"https://me:{SECRET}@storage.example/bucket/rows.zarr"
    said = ("data.path: ", "reading and writing by URL is not built yet")
    desk.job(78, *said, data={"path": url})
    said = "data.storage_options: object storage is not built yet; remove this key"
    options = {"endpoint_url": "http://127.0.0.1:1", "secret": SECRET}
    desk.job(78, said, data={"storage_options": options})


@CASES.case(66, "URLs that are none", 66, 78)
def _(desk: Desk) -> None:
    desk.job(78, 'found "s3://b"; expected a local path', data={"path": "s3://b"})
    said = 'found "file://host/rows.zarr"; expected a plain local path: leave out file://'
    desk.job(78, said, data={"path": "file://host/rows.zarr"})
    desk.job(66, "bucket/rows.zarr does not exist", data={"path": "bucket/rows.zarr"})


@CASES.case(67, "unusual paths", 0, 66)
def _(desk: Desk) -> None:
    X = two_clusters()
    plain = desk.fits(X, name="plain")
    folder = Path("ü ñ/a%2Fb #1")
    desk.write_rows(X, str(folder / "rows.zarr"))
    (folder / "rows.zarr" / "around").symlink_to(folder.absolute())
    Path("link").symlink_to(folder)
    assert bits(desk.job(0, data={"path": "link/rows.zarr"}, name="ö %2F/new")) == bits(plain)
    Path("loop").symlink_to("loop")
    desk.job(66, f"data.path {Path('loop').absolute()}: cannot be read: ", data={"path": "loop"})


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """The system refuses to let any file grow beyond that, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@CASES.case(68, "places that cannot be written", 0, 73, 74)
def _(desk: Desk) -> None:
    X = two_clusters(20_000)
    desk.write_rows(X)
    Path("file").write_text("")
    said = "cannot create the run directory file/new: Not a directory"
    desk.job(73, said, output={"path": "file/new"})

    def refusing(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with desk.monkeypatch.context() as patched:  # an administrator may write everywhere
        patched.setattr(Path, "mkdir", refusing)
        desk.job(73, "cannot create the run directory runs/new: Read-only file system")
    with files_of_at_most(50_000):
        directory = desk.job(74, "runs/new/", "File too large")
    assert record(directory)["exit_code"] == 74
    assert not (directory / "outputs.zarr").exists()
    assert bits(desk.job(0)) == bits(desk.fits(X, name="plain"))


@CASES.case(69, "an output that exists", 0, 73)
def _(desk: Desk) -> None:
    desk.write_rows()
    first = desk.job(0)
    before = tree(first)
    desk.job(0, "finished before", "nothing to do")
    desk.job(73, "runs/new exists and output.if_exists is error", output={"if_exists": "error"})
    said = ("runs/new holds another job: seed is 0 there, 1 here. Choose another output.path",)
    desk.job(73, *said, seed=1)
    assert tree(first) == before
    Path("runs/notes").mkdir()
    Path("runs/notes/plan.txt").write_text("")
    said = ("runs/notes holds files but no readable run.json (plan.txt)", "Choose another")
    desk.job(73, *said, name="notes")
    assert [p.name for p in Path("runs/notes").iterdir()] == ["plan.txt"]
    assert parts_in_two(first)
