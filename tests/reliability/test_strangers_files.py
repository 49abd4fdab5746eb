"""What lies where a file is expected and is none, or is far larger than any: refused in words.

Nothing here may hang, fill the memory, or end with an internal error.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from attempts import Attempt, attempt
from process_growth import HAS_PEAKS, growth_of

from dgmm.checkpoint import CheckpointStore
from dgmm.config import load_job
from dgmm.errors import DataError, InputNotFoundError, JobFileError, OutputExistsError
from dgmm.model.model_files import arrays_digest, load_model
from dgmm.storage.array_files import read_arrays, write_arrays, write_sealed
from dgmm.storage.regular_files import open_regular, read_regular

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs"),
]

needs_peaks = pytest.mark.skipif(not HAS_PEAKS, reason="measures memory as Linux tells it")

JOB = """
data: {path: rows.zarr, absent_chunks: fill}
model: {n_components: 2, max_iter: 2}
cluster: {kind: threads, n_workers: 1}
output: {path: run, report: false}
"""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current directory, with a job and an array of 60 rows in chunks of 20."""
    monkeypatch.chdir(tmp_path)
    write_rows("rows.zarr")
    Path("job.yaml").write_text(JOB)
    return


def write_rows(path: str, zarr_format: Any = 3) -> None:
    X = np.random.default_rng(4).normal(size=(60, 2))
    own = {"config": {"write_empty_chunks": True}}
    zarr.create_array(path, data=X, chunks=(20, 2), zarr_format=zarr_format, **own)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as own:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path may have some hundred bytes only
        try:
            own.bind(path.name)
        finally:
            os.chdir(here)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def terminal(path: Path) -> None:
    path.symlink_to("/dev/tty" if os.path.exists("/dev/tty") else "/dev/null")  # noqa: PTH110


def folder(path: Path) -> None:
    path.mkdir()


THINGS = [fifo, listening, endless, terminal, folder]


def replaced(path: str, thing: Callable[[Path], None]) -> None:
    place = Path(path)
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    thing(place)


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize(
    ("zarr_format", "name"),
    [
        (3, "zarr.json"),
        (3, "c"),
        (3, "c/1"),
        (3, "c/1/0"),
        (2, ".zarray"),
        (2, ".zattrs"),
        (2, "1.0"),
    ],
)
def test_no_file_of_a_store_is_waited_for(
    thing: Callable[[Path], None], zarr_format: int, name: str
) -> None:
    shutil.rmtree("rows.zarr")
    write_rows("rows.zarr", zarr_format)
    replaced(f"rows.zarr/{name}", thing)
    for command in ("plan", "run"):
        tried = attempt(command, "job.yaml")
        is_absent = thing is folder and name not in {"zarr.json", ".zarray", ".zattrs"}
        # A folder, or what is none in place of the chunks' folder, holds no chunk: filled by will.
        allowed = {0} if is_absent or name in {"c", "c/1"} else {65, 66}
        assert tried.exit_code in allowed | {65, 66}, tried.stderr
        assert is_absent or name in {"c", "c/1"} or tried.stderr.count("\n") < 4


@pytest.mark.parametrize("thing", THINGS)
def test_a_chunk_that_becomes_something_else_after_the_listing_is_not_waited_for(
    thing: Callable[[Path], None],
) -> None:
    from dgmm.data.zarr.dataset import open_zarr
    from dgmm.reduction.blocks import BlockRange

    dataset = open_zarr(str(Path("rows.zarr").absolute()))
    replaced("rows.zarr/c/2/0", thing)
    with pytest.raises((DataError, InputNotFoundError), match="c/2/0"):
        list(dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks)))


@pytest.fixture
def model() -> Path:
    assert attempt("run", "job.yaml").exit_code == 0
    return Path("run/model")


def predicted() -> Attempt:
    Path("predict.yaml").write_text(
        JOB.replace("model: {n_components: 2, max_iter: 2}", "model: {path: run/model}").replace(
            "path: run,", "path: told,"
        )
    )
    return attempt("predict", "predict.yaml")


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("name", ["model.json", "arrays.npz"])
def test_no_file_of_a_model_is_waited_for(
    model: Path, thing: Callable[[Path], None], name: str
) -> None:
    replaced(str(model / name), thing)
    assert predicted().exit_code in {65, 66}
    assert not Path("told").exists() or not any(Path("told").glob("outputs*"))


@pytest.mark.parametrize("thing", THINGS)
def test_no_job_file_is_waited_for(thing: Callable[[Path], None]) -> None:
    replaced("job.yaml", thing)
    tried = attempt("validate", "job.yaml")
    assert tried.exit_code in {66, 78}, tried.stderr
    assert "job.yaml" in tried.stderr


def test_a_job_may_come_through_a_pipe(tmp_path: Path) -> None:
    replaced("job.yaml", fifo)
    keeper = os.open("job.yaml", os.O_RDWR)  # a shell's pipe has a writer too
    writer = threading.Timer(0.3, lambda: (os.write(keeper, JOB.encode()), os.close(keeper)))
    writer.start()
    assert load_job("job.yaml").model.n_components == 2
    writer.join()


@pytest.mark.parametrize("thing", THINGS)
def test_a_state_that_is_no_file_is_taken_for_a_damaged_one(thing: Callable[[Path], None]) -> None:
    warned: list[str] = []
    store = CheckpointStore(Path("state").absolute(), "a run", warned.append)
    store.save("em", {"n": 1})
    store.save("em", {"n": 2})
    replaced("state/em.2.checkpoint", thing)
    assert store.load("em") == {"n": 1}
    assert "em.2.checkpoint is damaged" in warned[0]


@pytest.mark.parametrize("thing", THINGS)
def test_a_record_that_is_no_file_makes_no_run_directory(thing: Callable[[Path], None]) -> None:
    assert attempt("run", "job.yaml").exit_code == 0
    replaced("run/run.json", thing)
    assert attempt("run", "job.yaml").exit_code == 73
    assert attempt("report", "run").exit_code in {65, 66}


# Metadata without end


@needs_peaks
def test_metadata_of_brackets_are_refused_within_bounded_memory() -> None:
    for content in (b"[" * 60_000_000, b'{"a":' * 90_000 + b"1" + b"}" * 90_000):
        Path("rows.zarr/zarr.json").write_bytes(content)
        assert attempt("plan", "job.yaml").exit_code in {65, 66}
    Path("rows.zarr/zarr.json").write_bytes(b'{"a": [' + b"[]," * 5_000_000 + b"[]]}")
    write_rows("good.zarr")
    warm = (
        "from dgmm.cli.entry_point import run\n"
        "run(['plan', 'job.yaml', '--set', 'data.path=good.zarr'])"
    )
    assert growth_of("assert run(['plan', 'job.yaml']) == 65", warm) < 200 * 1024**2


def test_a_sparse_file_of_terabytes_is_refused_by_its_size() -> None:
    for name in ("rows.zarr/zarr.json", "job.yaml"):
        with Path(name).open("r+b") as file:
            file.truncate(2**42)
        assert attempt("plan", "job.yaml").exit_code in {65, 66, 78}


@pytest.mark.parametrize("depth", [70, 500, 900, 5000])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_nested_deep_are_refused_by_name(depth: int, zarr_format: int) -> None:
    shutil.rmtree("rows.zarr")
    write_rows("rows.zarr", zarr_format)
    nested = '{"a":' * depth + "1" + "}" * depth
    if zarr_format == 2:
        Path("rows.zarr/.zattrs").write_text(nested)
    else:
        text = Path("rows.zarr/zarr.json").read_text()
        told = json.loads(text) | {"attributes": "HERE"}
        Path("rows.zarr/zarr.json").write_text(json.dumps(told).replace('"HERE"', nested))
    tried = attempt("run", "job.yaml")
    assert tried.exit_code == 65, tried.stderr
    assert "is damaged: not valid JSON" in tried.stderr


def test_attributes_as_deep_as_people_write_them_are_read() -> None:
    shutil.rmtree("rows.zarr")
    write_rows("rows.zarr")
    text = json.loads(Path("rows.zarr/zarr.json").read_text())
    nested: Any = 1
    for _ in range(40):
        nested = {"a": [nested]} if _ % 2 else {"b": nested}
    text["attributes"] = {"deep": nested}
    Path("rows.zarr/zarr.json").write_text(json.dumps(text))
    tried = attempt("run", "job.yaml")
    assert tried.exit_code == 0, tried.stderr


def test_only_regular_files_are_opened_and_no_more_than_is_due_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with open_regular(path) as file:
        assert file.read() == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(path, 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 4)
    assert read_regular("/proc/self/status", 1_000_000)  # of no size as the system tells it


# Models


def resealed(model: Path, **changed: Any) -> None:
    """A model with other arrays, whose checksum is right."""
    arrays = read_arrays(model / "arrays.npz") | changed
    np.savez(model / "arrays.npz", **arrays)
    described = json.loads((model / "model.json").read_text())
    described["sha256"] = arrays_digest(arrays)
    (model / "model.json").write_text(json.dumps(described))


KINDS = ["U5", "S3", "f2", "f4", "longdouble", "c8", "c16", "i8", "u1", "M8[s]", "m8[s]", "?"]


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_other_types_make_no_model(model: Path, kind: str) -> None:
    original = read_arrays(model / "arrays.npz")
    for name in original:
        if (name, kind) == ("is_constant", "?"):
            continue
        other = np.zeros(original[name].shape, dtype=kind)
        resealed(model, **original | {name: other})
        with pytest.raises(DataError, match=name):
            load_model(model)
    assert predicted().exit_code == 65


def test_records_and_further_arrays_make_no_model(model: Path) -> None:
    original = read_arrays(model / "arrays.npz")
    records = np.zeros(2, dtype=[("a", "f8"), ("b", "f8")])
    for changed in ({"weights": records}, {"extra": np.zeros(3)}, {"means": np.zeros((2, 2, 1))}):
        resealed(model, **original | changed)
        with pytest.raises(DataError, match=next(iter(changed))):
            load_model(model)
        (model / "arrays.npz").unlink()
        write_arrays(model / "arrays.npz", **original)


@pytest.mark.parametrize(
    "changed",
    [
        {"n_components": True},
        {"n_components": 0},
        {"n_components": -2},
        {"n_components": 10**30},
        {"n_components": 2.0},
        {"n_features": 10**9},
        {"covariance_type": "fulll"},
        {"covariance_type": None},
        {"feature_names": None},
        {"feature_names": [1, 2]},
        {"schema_version": "1"},
        {"anomaly_threshold": "high"},
    ],
    ids=str,
)
def test_descriptions_of_other_kinds_make_no_model(model: Path, changed: dict[str, Any]) -> None:
    described = json.loads((model / "model.json").read_text()) | changed
    (model / "model.json").write_text(json.dumps(described))
    assert predicted().exit_code == 65


def npy(shape: tuple[int, ...], content: bytes) -> bytes:
    """An array file whose header claims a shape whatever follows."""
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


def refused_model(words: str) -> tuple[str, str]:
    """A program that finds the model of `run` refused in such words, and what it loads before."""
    measured = (
        "try:\n    load_model('run/model')\n"
        f"except DataError as error:\n    assert {words!r} in str(error), error\n"
        "else:\n    raise AssertionError('it was read')"
    )
    return (
        measured,
        "from dgmm.errors import DataError\nfrom dgmm.model.model_files import load_model",
    )


@needs_peaks
def test_memory_that_grows_is_seen() -> None:
    assert 70_000_000 < growth_of("x = bytearray(b'x' * 40_000_000)") < 120_000_000
    assert growth_of("x = bytearray(b'x' * 30_000)") < 5_000_000
    assert growth_of("x = b'x' * 30_000_000", "x = b'x' * 60_000_000; del x") < 5_000_000


def archive(path: Path, compression: int, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)


@needs_peaks
def test_members_that_unpack_to_more_than_the_file_are_refused(model: Path) -> None:
    bomb = npy((25_000_000,), bytes(200_000_000))
    for name in ("weights", "unknown"):
        archive(model / "arrays.npz", zipfile.ZIP_DEFLATED, **{name: bomb})
        assert (model / "arrays.npz").stat().st_size < 1_000_000
        assert growth_of(*refused_model("compressed")) < 50 * 1024**2
    archive(model / "arrays.npz", zipfile.ZIP_STORED, weights=npy((10**12,), b"abc"))
    with pytest.raises(DataError, match="claims more numbers"):
        load_model(model)
    archive(model / "arrays.npz", zipfile.ZIP_STORED, weights=b"\x93NUMPY\x01\x00\xff\xff{")
    with pytest.raises(DataError, match="not an intact npz"):
        load_model(model)


@needs_peaks
def test_a_sparse_model_of_terabytes_is_refused_by_its_header(model: Path) -> None:
    described = json.loads((model / "model.json").read_text())
    with zipfile.ZipFile(model / "arrays.npz", "w") as file, file.open("weights.npy", "w") as one:
        one.write(npy((50_000_000,), b""))
        for _ in range(40):
            one.write(bytes(10_000_000))
    assert described["n_components"] == 2
    refused = refused_model("weights is not a finite array of shape")
    assert growth_of(*refused) < 50 * 1024**2


def test_a_sealed_state_of_nonsense_is_refused_and_stays(tmp_path: Path) -> None:
    deep = np.frombuffer(b"[" * 100_000, np.uint8)
    for number, arrays in enumerate(({"tree": deep}, {"other": deep}, {"tree": deep[:0]}), 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_sealed(folder / "em.1.checkpoint", **arrays)
        with pytest.raises(OutputExistsError, match=r"em\.1\.checkpoint is whole, but"):
            CheckpointStore(folder, "a run", pytest.fail).load("em")
        assert (folder / "em.1.checkpoint").exists()


# Outputs inside inputs, through links


@pytest.mark.parametrize(
    ("output", "array"),
    [
        ("real/run", "deep/rows"),
        ("real", "deep/rows"),
        ("real/c/x", "/deep//rows"),
        (".", "deep/rows"),
    ],
)
def test_an_output_inside_an_array_that_is_a_link_elsewhere_is_refused(
    output: str, array: str
) -> None:
    write_rows("real")
    zarr.open_group("group.zarr", mode="w").create_group("deep")
    Path("group.zarr/deep/rows").symlink_to(Path("real").absolute())
    Path("job.yaml").write_text(JOB)
    before = sorted(Path("real").rglob("*"))
    options = ["data.path=group.zarr", f"data.array={array}", f"output.path={output}"]
    tried = attempt("run", "job.yaml", *(word for o in options for word in ("--set", o)))
    assert tried.exit_code == 78, tried.stderr
    assert "lies at, in or around data.path" in tried.stderr
    assert sorted(Path("real").rglob("*")) == before


def test_an_output_inside_chunks_or_a_model_that_are_links_elsewhere_is_refused(
    model: Path,
) -> None:
    shutil.move("rows.zarr/c", "chunks")
    Path("rows.zarr/c").symlink_to("../chunks")
    with pytest.raises(JobFileError, match=r"lies at, in or around data\.path"):
        load_job("job.yaml", ["output.path=chunks/run"])
    shutil.move("run/model", "elsewhere")
    Path("run/model").symlink_to("../elsewhere")
    Path("predict.yaml").write_text(
        "data: {path: rows.zarr}\nmodel: {path: run}\noutput: {path: elsewhere/told}\n"
    )
    with pytest.raises(JobFileError, match=r"lies at, in or around model\.path"):
        load_job("predict.yaml", kind="predict")


def test_a_job_through_process_substitution_is_read() -> None:
    command = ["/bin/bash", "-c", f"{sys.executable} -m dgmm validate <(cat job.yaml)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
