"""Cases 29 to 53: paths, arrays and metadata that are not rows of numbers, or only look unusual."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import zarr
from bad_input import Cases, Desk, bits, edit, output, parts_in_two, two_clusters

from dgmm.data.zarr import dataset as zarr_dataset

CASES = Cases()


@CASES.case(29, "a path where nothing is", 66)
def _(desk: Desk) -> None:
    said = f"data.path {Path('none.zarr').absolute()} does not exist"
    desk.job(66, said, data={"path": "none.zarr"})


@CASES.case(30, "a group where an array is expected", 65)
def _(desk: Desk) -> None:
    desk.write_rows(path="group/temperature")
    desk.write_rows(path="group/deep/salinity")
    said = ("name one of its arrays in data.array", "temperature, deep/salinity")
    desk.job(65, *said, data={"path": "group"})


@CASES.case(31, "a group without an array of that name", 65)
def _(desk: Desk) -> None:
    desk.write_rows(path="group/temperature")
    data = {"path": "group", "array": "temprature"}
    said = ("has no array 'temprature'", "Did you mean 'temperature'?", "Its arrays: temperature")
    desk.job(65, *said, data=data)


@CASES.case(32, "one dimension", 65, 78)
def _(desk: Desk) -> None:
    zarr.create_array("rows.zarr", data=np.arange(9.0))
    desk.job(65, "rows.zarr: found shape (9,)", "write it with shape (9, 1)")
    said = "data.feature_dim: no such key: the key is data.feature_dims"
    desk.job(78, said, data={"feature_dim": "x"})


@CASES.case(33, "three dimensions", 65)
def _(desk: Desk) -> None:
    desk.write_rows(np.zeros((3, 4, 5)), chunks=(3, 4, 5))
    desk.job(65, "rows.zarr: found shape (3, 4, 5), expected rows × features", "Reshape it to two")
    desk.job(65, "cannot be opened as labelled arrays", data={"sample_dims": ["x", "y"]})


@CASES.case(34, "no rows", 65)
def _(desk: Desk) -> None:
    desk.write_rows(np.zeros((0, 3)), chunks=(1, 3))
    desk.job(65, "rows.zarr: found shape (0, 3), expected rows × features; it has no rows")


@CASES.case(35, "no features", 65)
def _(desk: Desk) -> None:
    desk.write_rows(np.zeros((3, 0)), chunks=(3, 1))
    desk.job(65, "rows.zarr: found shape (3, 0), expected rows × features; it has no features")


@CASES.case(36, "fewer rows than components", 65)
def _(desk: Desk) -> None:
    desk.write_rows(two_clusters(4))
    said = ("4 rows cannot be parted into 5 components", "lower model.n_components")
    desk.job(65, *said, model={"n_components": 5})


@CASES.case(37, "fewer than five rows for each free parameter", 0)
def _(desk: Desk) -> None:
    # 1 weight, 2·5 means and 2·15 covariances.
    said = "rows are too few for the 41 free parameters of a mixture of 2 full covariances"
    desk.fits(two_clusters(204, 5), f"204 {said}", "at least 205, 5 for each. ")
    desk.fits(two_clusters(11, 5), f"11 {said}", "below 12 regularisation alone", name="fewer")
    desk.fits(two_clusters(205, 5), name="enough")
    desk.fits(two_clusters(204, 5), name="diag", model={"covariance_type": "diag"})
    for name in ("enough", "diag"):
        assert "too few" not in Path(f"runs/{name}/run.json").read_text()


@CASES.case(38, "one row", 65)
def _(desk: Desk) -> None:
    desk.write_rows(np.ones((1, 3)))
    desk.job(65, "one row has no variance", "expected at least 2 rows", model={"n_components": 1})


@CASES.case(39, "values that are no real numbers", 65)
def _(desk: Desk) -> None:
    desk.write_rows(two_clusters().astype(complex))
    desk.job(65, "rows.zarr: values are complex128 (complex numbers)", "Convert the array to float")
    desk.write_rows(path="old.zarr", zarr_format=2)
    others = {"<U3": "strings", "|S4": "byte strings", "|O": "Python objects", "<M8[s]": "dates"}
    for dtype, words in others.items():
        edit("old.zarr/.zarray", dtype=dtype)
        said = f"old.zarr: values are {np.dtype(dtype)} ({words}); expected"
        desk.job(65, said, name="old", data={"path": "old.zarr"})
    edit("old.zarr/.zarray", dtype=[["a", "<f8"], ["b", "<f8"]])
    desk.job(65, "(structured records)", name="old", data={"path": "old.zarr"})


@CASES.case(40, "other real types", 0)
def _(desk: Desk) -> None:
    X = np.rint(8 * two_clusters())
    X -= X.min()
    plain = desk.fits(X, name="plain")
    for dtype in ("float16", "int16", "uint8", "uint64"):
        assert bits(desk.fits(X.astype(dtype), name=dtype)) == bits(plain)
    flags = np.random.default_rng(0).random((200, 3)) < 0.5
    assert bits(desk.fits(flags, name="bool")) == bits(desk.fits(flags.astype(float), name="0or1"))
    beyond = X.astype(np.int64) + 2**60
    desk.fits(
        beyond, "features x0, x1: integers beyond 2^53 are rounded", "subtract an", name="large"
    )


def same_result(desk: Desk, *said: str, n: int = 120, **options: object) -> None:
    """Rows stored with these options are fitted to the bits of rows stored plainly."""
    X = two_clusters(n, 6)
    plain = desk.fits(X, name="plain")
    desk.write_rows(X, **options)
    assert bits(desk.job(0, *said)) == bits(plain)
    assert parts_in_two(plain, n, 6)


@CASES.case(41, "big-endian values", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    plain = desk.fits(X, name="plain")
    for zarr_format in (2, 3):
        name = f"v{zarr_format}"
        desk.write_rows(X.astype(">f8"), f"{name}-big.zarr", zarr_format=zarr_format)
        data = {"path": f"{name}-big.zarr"}
        assert bits(desk.job(0, name=name, data=data)) == bits(plain)
    assert json.loads(Path("v2-big.zarr/.zarray").read_text())["dtype"] == ">f8"


@CASES.case(42, "columns before rows in a chunk", 0)
def _(desk: Desk) -> None:
    X = two_clusters()
    plain = desk.fits(X, name="plain")
    desk.write_rows(X, "old.zarr", zarr_format=2, order="F")
    assert json.loads(Path("old.zarr/.zarray").read_text())["order"] == "F"
    assert bits(desk.job(0, name="old", data={"path": "old.zarr"})) == bits(plain)
    turned = zarr.codecs.TransposeCodec(order=(1, 0))
    desk.write_rows(X, "turned.zarr", filters=[turned])
    assert bits(desk.job(0, name="turned", data={"path": "turned.zarr"})) == bits(plain)


@CASES.case(43, "chunks that part the features", 0)
def _(desk: Desk) -> None:
    same_result(desk, chunks=(50, 4))


@CASES.case(44, "a giant chunk", 0, 65)
def _(desk: Desk) -> None:
    with desk.monkeypatch.context() as patched:  # no chunk of a GiB has to be written
        patched.setattr(zarr_dataset, "_WARNED_READ_BYTES", 1000)
        same_result(desk, "chunks of (120, 6) make one read", "chunks of about", chunks=(120, 6))
    desk.write_rows(path="giant.zarr")
    grid = {"name": "regular", "configuration": {"chunk_shape": [10**14, 2]}}
    edit("giant.zarr/zarr.json", shape=[10**14, 2], chunk_grid=grid)
    said = ("make one read 1.6e+15 bytes", "Rewrite it in chunks of about")
    desk.job(65, *said, name="giant", data={"path": "giant.zarr", "absent_chunks": "fill"})


@CASES.case(45, "very many tiny chunks", 0)
def _(desk: Desk) -> None:
    with desk.monkeypatch.context() as patched:  # no million files have to be written
        patched.setattr(zarr_dataset, "_MANY_CHUNKS", 100)
        said = "120 chunks of 48 bytes; opening them takes longer than computing"
        same_result(desk, said, chunks=(1, 6))


@CASES.case(46, "a ragged last chunk", 0)
def _(desk: Desk) -> None:
    same_result(desk, n=121, chunks=(40, 6))


@CASES.case(47, "a block of which no row is left", 0)
def _(desk: Desk) -> None:
    X = two_clusters(3 * 4096, 64)
    X[:4096] = np.nan
    model = {"covariance_type": "diag", "max_iter": 5}
    said = "4,096 of 12,288 rows have no value at all and are left out"
    directory = desk.fits(X, said, model=model, data={"missing": "drop"})
    labels = output(directory, "labels")
    assert (labels[:4096] == -1).all()
    assert (labels[4096:] >= 0).all()


@CASES.case(48, "shards", 0)
def _(desk: Desk) -> None:
    same_result(desk, n=150, chunks=(20, 3), shards=(60, 6))


@CASES.case(49, "chunks of many sizes", 65)
def _(desk: Desk) -> None:
    desk.write_rows()
    grid = {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[9], [2]]}}
    edit("rows.zarr/zarr.json", chunk_grid=grid)
    desk.job(65, "rows.zarr: chunk grid 'rectilinear'; only regular", "chunks of one size")


@CASES.case(50, "both versions of Zarr", 0)
def _(desk: Desk) -> None:
    same_result(desk, zarr_format=2)


@CASES.case(51, "an unknown codec", 65)
def _(desk: Desk) -> None:
    desk.write_rows()
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "acme.zip"}]
    edit("rows.zarr/zarr.json", codecs=codecs)
    desk.job(65, "rows.zarr: ", "acme.zip")
    desk.write_rows(path="old.zarr", zarr_format=2)
    edit("old.zarr/.zarray", compressor={"id": "acme.zip"})
    desk.job(65, "old.zarr: ", "acme.zip", name="old", data={"path": "old.zarr"})


@CASES.case(52, "metadata cut short or overwritten", 65)
def _(desk: Desk) -> None:
    metadata = desk.write_rows() / "zarr.json"
    whole = metadata.read_bytes()
    for content in (b"", whole[:50], b"\xff\xfe", b"[]", b"[" * 9999):
        metadata.write_bytes(content)
        desk.job(65, "rows.zarr/zarr.json is damaged: ")
    metadata.write_bytes(b'{"zarr_format": 3}')
    desk.job(
        65, "rows.zarr/zarr.json: expected zarr_format 3 and node_type array, found 3 and None"
    )


@CASES.case(53, "impossible shapes", 65)
def _(desk: Desk) -> None:
    metadata = desk.write_rows() / "zarr.json"
    claims = {
        (-1, 2): "shape is [-1, 2]; expected integers of at least 0",
        (2**70, 2): f"shape is [{2**70}, 2]; expected",
        (2**61, 2**61): f"metadata claim {2**61} × {2**61} values, more than 2^62",
        (2**47, 2): "metadata claim 140737488355328 × 2 float64 (2.25e+15 bytes)",
    }
    for shape, said in claims.items():
        edit(metadata, shape=shape)
        desk.job(65, "rows.zarr: ", said)
