"""Random Zarr arrays: values, storage and damage, each with a small valid job; and what must hold.

An array is described by few numbers and a seed, so that a failing one is short to write down.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from hypothesis import strategies as st
from numpy.typing import NDArray

Values = NDArray[Any]

REAL = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "float32", "float64",
)  # fmt: skip
REFUSED = ("complex64", "complex128", "<U3", "S4", "datetime64[s]")
#: What may be done to a feature, a row or some values.
TWISTS = (
    "constant feature", "equal features", "dependent features", "duplicate rows", "all rows equal",
    "two distinct rows", "some NaN", "many NaN", "all NaN", "feature of NaN", "some infinite",
    "denormals", "huge values", "one outlier", "whole numbers", "signed zeros", "sorted rows",
    "mostly fill value",
)  # fmt: skip
DAMAGES = (
    "delete chunk", "truncate chunk", "random chunk", "empty chunk", "flip byte", "longer chunk",
    "chunk is a folder", "flip metadata", "cut metadata", "delete all chunks",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArrayCase:
    """One array on disk and the job that meets it.

    Attributes
    ----------
    n, d, dtype, order, rank
        Rows, features, type, byte order, and number of dimensions (2 unless to be refused).
    zarr_format, chunks, per_shard, fill, codec, all_written
        How it is stored; `per_shard` counts inner chunks of a shard, None for no shards.
    offset, scale, twists, seed
        What its values are.
    damages
        What becomes of the files: (what, a number that says where, new metadata).
    job
        Sections of the job file.
    """

    n: int
    d: int
    dtype: str
    order: str
    rank: int
    zarr_format: int
    chunks: tuple[int, int]
    per_shard: tuple[int, int] | None
    fill: float | None
    codec: str
    all_written: bool
    offset: float
    scale: tuple[float, float]
    twists: tuple[str, ...]
    seed: int
    damages: tuple[tuple[str, int, Any], ...] = ()
    job: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether what was written is what is read."""
        return not self.damages

    def values(self) -> Values:
        """The rows as stored."""
        return _values(self)

    def write(self, folder: Path) -> None:
        """Store the array below `folder`, damage it, and write `job.yaml` beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr on types without a specification
            _store(self, folder / "rows.zarr")
        rng = np.random.default_rng(self.seed)
        for what, where, value in self.damages:
            _damage(folder / "rows.zarr", what, where, value, rng)
        (folder / "job.yaml").write_text(json.dumps(self.job))


@st.composite
def array_cases(draw: st.DrawFn) -> ArrayCase:
    """An array; about half are undamaged."""
    n = draw(st.integers(8, 60) | st.sampled_from([0, 1, 2, 3, 7, 100, 200, 500, 1000, 5000]))
    d = draw(st.sampled_from([1, 1, 2, 2, 3, 3, 4, 5, 8, 40] * 2 + [0] if n < 5000 else [1, 3, 40]))
    dtype = draw(st.sampled_from(REAL * 4 + ("float64", "float32") * 12 + REFUSED[:: 1 + n % 2]))
    zarr_format = draw(st.sampled_from([2, 3]))
    chunks = (draw(_parts(n)), draw(st.just(max(d, 1)) | _parts(d)))
    has_shards = zarr_format == 3 and draw(st.integers(0, 3)) == 0
    damages = draw(
        st.sampled_from([0, 0, 0, 0, 1, 1, 2]).flatmap(lambda m: st.tuples(*[_damages()] * m))
    )
    return ArrayCase(
        n=n,
        d=d,
        dtype=dtype,
        order=draw(st.sampled_from("<<<>")),
        rank=draw(st.sampled_from([2] * 20 + [1, 3])),
        zarr_format=zarr_format,
        chunks=chunks,
        per_shard=(draw(st.integers(1, 4)), draw(st.integers(1, 3))) if has_shards else None,
        fill=draw(st.sampled_from([0, None, float("nan"), 7, -1e300])),
        codec=draw(st.sampled_from(["auto", "none", "gzip"])),
        all_written=draw(st.booleans()),
        offset=draw(st.sampled_from([0.0, 0.0, 1.0, 1e3, 1e8, 1e12, 1e15, -1e15])),
        scale=(10.0 ** draw(st.integers(-12, 12)), 10.0 ** draw(st.sampled_from([0, 0, 3, 6, 12]))),
        twists=tuple(draw(st.lists(st.sampled_from(TWISTS), max_size=2, unique=True))),
        seed=draw(st.integers(0, 10**6)),
        damages=damages,
        job=draw(jobs()),
    )


def _parts(size: int) -> st.SearchStrategy[int]:
    whole = max(size, 1)
    return st.sampled_from(
        [whole, max(whole // 2, 1), -(-whole // 3), whole + 3, max(whole // 50, 1)]
    )


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """A small valid job on threads."""
    chosen: dict[str, dict[str, Any]] = {
        "data": {
            "path": "rows.zarr",
            "missing": draw(st.sampled_from(["drop", "drop", "error"])),
            "absent_chunks": draw(st.sampled_from(["fill", "fill", "error"])),
        },
        "model": {
            "n_components": draw(st.sampled_from([1, 1, 2, 2, 3, 4, 6])),
            "covariance_type": draw(st.sampled_from(["full", "tied", "diag", "spherical"])),
            "tol": draw(st.sampled_from([0, 1e-12, 1e-4, 0.1, 1e300])),
            "max_iter": draw(st.integers(0, 5)),
            "n_init": draw(st.sampled_from([1, 1, 1, 2])),
            "reg_covar": draw(st.sampled_from([0, 0, 0, 1e-6, 1.0, 1e-300, 1e300])),
            "reg_covar_relative": draw(st.sampled_from([0, 1e-6, 1e-6, 1e-6, 1.0])),
            "acceleration": draw(st.sampled_from(["squarem", "none"])),
            "on_collapse": draw(st.sampled_from(["reseed", "drop"])),
        },
        "initialisation": {
            "method": draw(
                st.sampled_from(
                    [
                        "kmeans", "kmeans", "k-means++", "random_from_data", "random",
                        "hierarchical",
                        "kmeans_parallel",
                    ]
                )
            ),
            "sample_rows": draw(st.sampled_from(["auto", "auto", 1, 7, 100])),
            "n_sample_starts": draw(st.sampled_from(["auto", 0, 2])),
        },
        "cluster": {"kind": "threads", "n_workers": draw(st.sampled_from([1, 2]))},
        "output": {
            "path": "run",
            "report": False,
            "anomaly_quantile": draw(st.sampled_from([None, None, 0.01, 0.5, 0.999, 1e-300])),
            "responsibilities": draw(st.booleans()),
        },
    }  # fmt: skip
    return chosen


_NUMBERS = st.sampled_from(
    [-1, 0, 1, 3, 2**31, 10**9, 10**12, 2**62, 2**63, 2**70, 1.5, True, None]
)
_EDITS = st.one_of(
    st.tuples(st.just("shape"), st.lists(_NUMBERS, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["chunks", "chunk_shape"]), st.lists(_NUMBERS, min_size=2,
    max_size=2)),
    st.tuples(
        st.sampled_from(["dtype", "data_type"]),
        st.sampled_from(["float32", "<f4", "|b1", "int64", "|O", "<M8[ns]", "string", "", 7, None,
        ["a"]]),
    ),
    st.tuples(
        st.sampled_from(["codecs", "compressor", "filters", "chunk_grid", "chunk_key_encoding"]),
        st.sampled_from(
            [
                [], None, {}, "x", [{"name": "acme"}], [{"name": "bytes"}], {"id": "acme"},
                {"name": 1},
                {"name": "regular"}, {"name": "v2", "configuration": {"separator": "/"}}, [7],
                {"name": "rectilinear", "configuration": {}}, {"id": "zlib", "level": 1}, [{}],
                [{"id": "delta", "dtype": "<f8"}], {"id": "pickle"}, [{"id": "json2"}],
                [{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 1], "codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}}]}}],
            ]
        ),
    ),
    st.tuples(
        st.sampled_from(["fill_value", "order", "zarr_format", "node_type", "dimension_names"]),
        st.sampled_from(["NaN", "Infinity", "x", None, 1e400, -1, 4, [], {}, "\ud800", ["\ud800",
        "b"]]),
    ),
    st.tuples(
        st.just("attributes"),
        st.sampled_from(
            [
                {"feature_names": ["\ud800", "b"]}, {"feature_names": ["</script>", "\x1b[31m"]},
                {"feature_names": "ab"}, {"feature_names": [1, 2]}, {"feature_names": ["a", "a"]},
                {"sample_dims": "\ud800"}, {"sample_shape": [1e400, None]},
                {"sample_dims": {"a": [[]]}},
                {"sample_shape": [-1, 2**70]}, {"scale_factor": 2}, [], "x", {"a": None},
            ]
        ),
    ),
)  # fmt: skip


def _damages() -> st.SearchStrategy[tuple[str, int, Any]]:
    where = st.integers(0, 10**6)
    plain = st.tuples(st.sampled_from(DAMAGES), where, st.none())
    return plain | plain | st.tuples(st.just("edit metadata"), where, _EDITS)


def _values(case: ArrayCase) -> Values:
    rng = np.random.default_rng(case.seed)
    n, d = case.n, case.d
    X = rng.normal(size=(n, d)) + 4.0 * rng.integers(0, 3, (n, 1))
    low, ratio = case.scale
    with np.errstate(all="ignore"):
        X = X * low * ratio ** np.linspace(0, 1, d)[None, :] + case.offset
        for twist in case.twists:
            if n and d:
                X = _twisted(X, twist, rng)
        return _cast(X, case.dtype).astype(_ordered(case), copy=False)


def _ordered(case: ArrayCase) -> np.dtype[Any]:
    return np.dtype(case.dtype).newbyteorder(case.order)  # type: ignore[arg-type]


def _twisted(  # noqa: C901, PLR0912 - a table of twists
    X: Values, twist: str, rng: np.random.Generator
) -> Values:
    n, d = X.shape
    some = rng.random((n, d))
    match twist:
        case "constant feature":
            X[:, rng.integers(d)] = X[0, 0]
        case "equal features":
            X[:, -1] = X[:, 0]
        case "dependent features":
            X[:, -1] = X[:, :-1].sum(axis=1) if d > 1 else X[:, -1]
        case "duplicate rows":
            X = X[rng.integers(0, max(n // 4, 1), n)]
        case "all rows equal":
            X[:] = X[0]
        case "two distinct rows":
            X = X[rng.integers(0, min(n, 2), n)]
        case "some NaN":
            X[some < 0.05] = np.nan
        case "many NaN":
            X[some < 0.7] = np.nan
        case "all NaN":
            X[:] = np.nan
        case "feature of NaN":
            X[:, rng.integers(d)] = np.nan
        case "some infinite":
            X[some < 0.05] = np.inf
            X[some > 0.97] = -np.inf
        case "denormals":
            X = X / (np.abs(X).max() + 1e-300) * 1e-310
        case "huge values":
            X = X / (np.abs(X).max() + 1e-300) * 1.7e308
        case "one outlier":
            X[rng.integers(n), rng.integers(d)] = 1e12 * (
                1 + np.abs(X[np.isfinite(X)]).max(initial=1)
            )
        case "whole numbers":
            X = np.round(X / (np.abs(X).max() + 1e-300) * 3)
        case "signed zeros":
            X = np.where(some < 0.5, 0.0, -0.0)
        case "sorted rows":
            X = X[np.argsort(X[:, 0])]
        case "mostly fill value":
            X[n // 3 :] = 0.0
    return X


def _cast(X: Values, dtype: str) -> Values:
    kind = np.dtype(dtype).kind
    if kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(
            np.nan_to_num(X), float(limits.min), float(limits.max) * (1 - 2**-52)
        ).astype(dtype)
    if kind == "M":
        return np.nan_to_num(X).astype("int64").clip(0, 10**9).astype(dtype)
    if kind in "US":
        return np.full(X.shape, "ab").astype(dtype)
    return X.astype(dtype)


def _store(case: ArrayCase, path: Path) -> None:
    X = case.values()
    shape: tuple[int, ...] = X.shape
    chunks: tuple[int, ...] = case.chunks
    if case.rank != 2:
        shape = (X.size,) if case.rank == 1 else (*X.shape, 1)
        chunks = (max(X.size, 1),) if case.rank == 1 else (*case.chunks, 1)
    options: dict[str, Any] = {"shape": shape, "dtype": X.dtype, "chunks": chunks}
    if case.per_shard is not None and case.rank == 2:
        options["shards"] = tuple(c * s for c, s in zip(chunks, case.per_shard, strict=True))
    if case.codec != "auto":
        options["compressors"] = None if case.codec == "none" else _gzip(case.zarr_format)
    kind = X.dtype.kind
    if case.fill is not None and (kind == "f" or (kind in "iu" and case.fill in {0, 7})):
        options["fill_value"] = (
            X.dtype.type(case.fill) if abs(case.fill) < 6e4 or kind != "f" else 0
        )
    array = zarr.create_array(
        str(path),
        zarr_format=case.zarr_format,  # type: ignore[arg-type]
        config={"write_empty_chunks": case.all_written},
        **options,
    )
    if X.size:
        array[...] = X.reshape(shape)


def _gzip(zarr_format: int) -> Any:
    import numcodecs

    return zarr.codecs.GzipCodec() if zarr_format == 3 else numcodecs.GZip()


def _chunk_files(path: Path) -> list[Path]:
    return sorted(
        p for p in path.rglob("*") if p.is_file() and not p.name.startswith((".z", "zarr."))
    )


def _damage(path: Path, what: str, where: int, value: Any, rng: np.random.Generator) -> None:
    metadata = next(p for p in (path / "zarr.json", path / ".zarray") if p.exists())
    if what == "edit metadata":
        _edit(metadata, *value)
        return
    files = [metadata] if "metadata" in what else _chunk_files(path)
    if what == "delete all chunks":
        for file in files:
            file.unlink()
    elif files:
        _damage_file(files[where % len(files)], what, where, rng)


def _damage_file(file: Path, what: str, where: int, rng: np.random.Generator) -> None:
    data = file.read_bytes()
    place = where % max(len(data), 1)
    match what.partition(" ")[0]:
        case "delete":
            file.unlink()
        case "chunk":
            file.unlink()
            file.mkdir()
        case "truncate" | "cut":
            file.write_bytes(data[:place])
        case "random":
            file.write_bytes(data[:place] + rng.bytes(len(data) - place))
        case "empty":
            file.write_bytes(b"")
        case "flip" if data:
            file.write_bytes(
                data[:place] + bytes([data[place] ^ (1 << where % 8)]) + data[place + 1 :]
            )
        case "longer":
            file.write_bytes(data + rng.bytes(where % 50))


def _edit(metadata: Path, key: str, value: Any) -> None:
    """Replace one key of the metadata, also where it stands deeper."""
    try:
        document = json.loads(metadata.read_text())
    except ValueError:
        return
    if not isinstance(document, dict):
        return
    if key == "chunk_shape":
        grid = document.get("chunk_grid")
        if isinstance(grid, dict):
            grid["configuration"] = {"chunk_shape": value}
    elif key == "attributes" and metadata.name == ".zarray":
        (metadata.parent / ".zattrs").write_text(json.dumps(value))
    else:
        document[key] = value
    metadata.write_text(json.dumps(document))
