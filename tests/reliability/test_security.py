"""What a job file, an array or a cluster from somebody else cannot do to whoever runs it."""

from __future__ import annotations

import ast
import contextlib
import json
import resource
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from attempts import Attempt, attempt, command_options

import dgmm
from dgmm.errors import UnavailableError
from dgmm.execution import dask_cluster, local_processes
from dgmm.execution.dask_cluster import existing_cluster
from dgmm.execution.scheduler_address import exposure, read_address
from dgmm.execution.threads import ThreadExecutor
from dgmm.job import stages
from dgmm.reduction.executor import Executor

JOB = """
data: {path: rows.zarr}
model: {n_components: 2, max_iter: 2}
cluster: {kind: threads, n_workers: 1}
output: {path: run, report: false}
"""
SECRET = "hunter2"  # noqa: S105 - it must not come back


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch) -> Iterator[None]:
    """The current directory, with an array of 10 rows of 2 features."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    write_rows()
    return


def write_rows(zarr_format: Any = 3) -> None:
    zarr.create_array(
        "rows.zarr",
        shape=(10, 2),
        chunks=(10, 2),
        dtype="f8",
        zarr_format=zarr_format,
        overwrite=True,
    )[...] = np.random.default_rng(0).normal(size=(10, 2))


def try_job(command: str, content: str, *overrides: str) -> Attempt:
    Path("job.yaml").write_text(content)
    tried = attempt(command, "job.yaml", *command_options(overrides))
    assert not tried.faults(Path("run") if command == "run" else None), tried.stderr
    return tried


# YAML


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("#" * (1 << 20) + "\n" + JOB, "larger than 1,048,576 bytes"),
        ("a: " + "[" * 51 + "]" * 51, "nested more than 50 deep"),
        ("a: " + "{b: " * 5000, "nested more than 50 deep"),
        ("a: [" + "1," * 10_001 + "]", "more than 10,000 values"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in ("ab", "bc", "cd")),
            "more than 10,000 values, aliases included",
        ),
    ],
    ids=["bytes", "depth", "unclosed depth", "values", "aliases"],
)
def test_size_depth_and_aliases_of_a_job_file_are_bounded(content, word):
    begun = time.perf_counter()
    tried = try_job("validate", content)
    assert tried.exit_code == 78
    assert word in tried.stderr
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch hacked']",
        "!!python/object/new:subprocess.Popen [[touch, hacked]]",
        "!!python/name:os.system",
        "!!python/module:antigravity",
        "!!binary gASV",
        "\"__import__('os').system('touch hacked')\"",
    ],
)
@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_nothing_in_a_job_file_is_imported_evaluated_or_unpickled(command, value):
    tried = try_job(command, JOB + f"seed: {value}\n")
    assert tried.exit_code == 78
    assert not Path("hacked").exists()


#: Where the package unpickles or evaluates, and what: never bytes or words from a file.
KNOWN = {
    ("execution/task_transfer.py", "loads"): "what the driver sent to its own workers",
    ("execution/dask_cluster.py", "eval"): "a constant, asked of the scheduler",
    ("execution/preflight.py", "eval"): "a constant, asked of the workers",
}
DANGEROUS = {"eval", "exec", "__import__", "loads", "Unpickler", "system", "popen"}


def test_the_package_evaluates_and_unpickles_in_known_places_alone():
    root = Path(dgmm.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        tree = ast.parse(path.read_text())
        json_alone = "pickle" not in {
            part
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in [getattr(node, "module", None) or "", *(a.name for a in node.names)]
            for part in name.split(".")
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in DANGEROUS:
                found.add((path.relative_to(root).as_posix(), node.id))
            elif isinstance(node, ast.Attribute) and node.attr in DANGEROUS:
                of_json = isinstance(node.value, ast.Name) and node.value.id == "json"
                if not (of_json and json_alone):
                    found.add((path.relative_to(root).as_posix(), node.attr))
    assert found == set(KNOWN)


def test_objects_that_an_array_holds_as_pickle_are_refused_unread():
    write_rows(2)
    document = json.loads(Path("rows.zarr/.zarray").read_text())
    document |= {"dtype": "|O", "filters": [{"id": "pickle"}], "fill_value": None}
    Path("rows.zarr/.zarray").write_text(json.dumps(document))
    Path("rows.zarr/0.0").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    tried = try_job("run", JOB)
    assert tried.exit_code == 65
    assert "pickle" in tried.stderr
    assert not Path("hacked").exists()


PICKLE = {"id": "pickle", "name": "numcodecs.pickle", "protocol": 4}
DELTA = {"id": "delta", "dtype": "<f8"}


@pytest.mark.parametrize(
    ("zarr_format", "encoding"),
    [
        (2, {"filters": [PICKLE], "compressor": None}),
        (2, {"filters": [DELTA, PICKLE], "compressor": None}),
        (2, {"filters": None, "compressor": PICKLE}),
        (3, {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, PICKLE]}),
    ],
)
def test_a_pickle_codec_is_refused_by_name_and_never_decoded(zarr_format, encoding):
    write_rows(zarr_format)
    metadata = Path("rows.zarr", "zarr.json" if zarr_format == 3 else ".zarray")
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | encoding))
    chunk = Path("rows.zarr", "c/0/0" if zarr_format == 3 else "0.0")
    chunk.write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    tried = try_job("run", JOB)
    assert tried.exit_code == 65
    assert "encoded as pickle" in tried.stderr
    assert not Path("hacked").exists()


# Paths


@pytest.mark.parametrize("output", ["run", "a/../run", "./b/./run", "runs/deep/er"])
def test_a_run_writes_in_its_directory_and_nowhere_else(output):
    Path("job.yaml").write_text(JOB)
    tried = attempt("run", "job.yaml", "--set", f"output.path={output}")
    assert tried.exit_code == 0, tried.stderr
    assert not tried.faults(Path(output))
    assert len(tried.written) > 10
    made = {p.name for p in Path().iterdir()} - {"job.yaml", "rows.zarr"}
    assert made == {Path(output).resolve().relative_to(Path.cwd()).parts[0]}


@pytest.mark.parametrize("output", ["link", "link/run", "rows.zarr/run", "x/../rows.zarr", "."])
def test_an_output_that_lies_in_or_around_the_input_is_refused_through_links_too(output):
    Path("link").symlink_to("rows.zarr")
    before = sorted(Path("rows.zarr").rglob("*"))
    tried = try_job("run", JOB, f"output.path={output}")
    assert tried.exit_code == 78
    assert "lies at, in or around data.path" in tried.stderr
    assert sorted(Path("rows.zarr").rglob("*")) == before


def test_what_a_link_in_the_run_directory_leads_to_is_not_removed():
    assert try_job("run", JOB).exit_code == 0
    record = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps(record | {"status": "failed"}))
    Path("precious").mkdir()
    Path("precious/thesis.txt").write_text("mine")
    Path("run/report").symlink_to("../precious")
    assert attempt("run", "job.yaml").exit_code == 0
    assert Path("run/report").is_symlink()
    assert Path("precious/thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("array", ["../rows.zarr", "a/../../rows.zarr", "..", "/../rows.zarr"])
def test_the_name_of_an_array_does_not_lead_out_of_its_group(array):
    zarr.open_group("group.zarr", mode="w")
    tried = try_job("run", JOB, "data.path=group.zarr", f"data.array={array}")
    assert tried.exit_code == 65
    assert "has no array" in tried.stderr


URLS = [
    "s3://bucket/x", "gs://b/x", "http://h/x", "https://h/x", "ftp://h/x", "memory://x", "file:///x",
    "simplecache::s3://b/x", "zip::x.zip", "filecache::file:///x", "a::b", "S3://b/x", "s3a://b",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    "key",
    ["data.path", "output.path", "model.path", "initialisation.model", "cluster.scheduler_file"],
)
def test_no_scheme_and_no_chain_of_file_systems_is_opened(key, url):
    tried = try_job("plan", JOB, f"{key}={url}")
    assert tried.exit_code == 78
    assert f"{key}: " in tried.stderr
    assert {p.name for p in Path().iterdir()} == {"job.yaml", "rows.zarr"}


# Secrets

SECRETS = {
    "a key": f"password: {SECRET}",
    "a key with a hyphen": f"api-key: {SECRET}",
    "a key within": f"storage: {{aws_secret_access_key: {SECRET}}}",
    "a tag": f"password: !{SECRET} x",
    "an alias": f"password: *{SECRET}",
    "a missing space": f"{{password:{SECRET}: 1}}",
    "a missing space in a text": f"seed: password:{SECRET}",
    "an equals sign": f"seed: my_token = {SECRET}",
    "a URL's user": f"seed: https://me:{SECRET}@host/x",
    "a URL's query": f"seed: https://host/x?X-Amz-Signature={SECRET}&a=b",
    "a URL's fragment": f"seed: https://host/x#access={SECRET}",
    "an address": f"cluster: {{address: 'tcp://me:{SECRET}@host:8786'}}",
    "the environment": "seed: ${TAKEN}",
    "a broken line": f"token: '{SECRET}",
    "a list": f"credentials: [{SECRET}]",
}


@pytest.mark.parametrize("line", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_a_secret_is_told_neither_by_messages_nor_by_files(command, line, monkeypatch):
    monkeypatch.setenv("TAKEN", SECRET)
    content = JOB if line.startswith("{") else JOB.replace("cluster:", "#") + f"{line}\n"
    tried = try_job(command, line if line.startswith("{") else content)
    assert tried.exit_code == 78
    assert SECRET not in tried.stderr + tried.stdout
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("override", "code"),
    [
        (f"password={SECRET}", 2),
        (f"data.secret:{SECRET}", 2),
        (f"data.token={SECRET}", 2),
        (f"data.path=https://me:{SECRET}@h/x?sig={SECRET}", 78),
        (f"seed=password={SECRET}", 78),
        (f"data.password:{SECRET}=1", 2),
    ],
)
def test_a_secret_on_the_command_line_is_not_echoed(override, code):
    tried = try_job("run", JOB, override)
    assert tried.exit_code == code
    assert SECRET not in tried.stderr + tried.stdout


def test_run_json_and_report_hold_neither_environment_nor_secrets(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("DASK_TOKEN", SECRET)
    array = zarr.open_array("rows.zarr", mode="a")
    array.attrs["api_token"] = SECRET
    tried = try_job("run", JOB, "output.report=true")
    assert tried.exit_code == 0
    assert Path("run/report.html").exists()
    holders = [
        p for p in Path("run").rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()
    ]
    assert not holders
    assert SECRET not in tried.stderr + tried.stdout


# Claims


def claim(**values: Any) -> None:
    path = Path("rows.zarr/zarr.json")
    document = json.loads(path.read_text())
    if (chunk := values.pop("chunk", None)) is not None:
        document["chunk_grid"]["configuration"]["chunk_shape"] = chunk
    if (inner := values.pop("inner", None)) is not None:
        codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
        sharding = {"chunk_shape": inner, "codecs": codecs}
        document["codecs"] = [{"name": "sharding_indexed", "configuration": sharding}]
    path.write_text(json.dumps(document | values))


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "petabytes": ({"shape": [10**13, 16], "chunk": [10**6, 16]}, "(1.28e+15 bytes)"),
    "petabytes in tiny chunks": (
        {"shape": [10**14, 2], "chunk": [1, 2]},
        "99,999,999,999,999 of 100,000,000,000,000 chunks do not exist",
    ),
    "a chunk of 64 TB": ({"chunk": [4 * 10**12, 2]}, "make one read 6.4e+13 bytes"),
    "a wide chunk of 64 TB": ({"chunk": [10, 8 * 10**11]}, "make one read 6.4e+13 bytes"),
    "a shard of 10^12 rows": (
        {"chunk": [10**12, 2], "inner": [1, 2]},
        "takes 16,000,000,000,000 bytes for 1,000,000,000,000 × 1 inner chunks",
    ),
    "10^15 features": (
        {"shape": [10, 10**15], "chunk": [10, 1000]},
        "1,000,000,000,000,000 make one block of 4,096 rows 3.28e+19 bytes",
    ),
    "more than 2^62 values": (
        {"shape": [2**60, 8]},
        "metadata claim 1152921504606846976 × 8 values, more than 2^62",
    ),
}


@pytest.mark.parametrize(("values", "words"), CLAIMS.values(), ids=CLAIMS)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_claim_beyond_all_machines_is_refused_at_once_with_numbers(command, values, words):
    claim(**values)
    begun = time.perf_counter()
    tried = try_job(command, JOB)
    assert tried.exit_code == 65
    assert words in tried.stderr
    assert time.perf_counter() - begun < 5


def test_petabytes_of_fill_values_in_tiny_chunks_are_refused_with_numbers():
    claim(shape=[10**14, 2], chunk=[1, 2])
    tried = try_job("plan", JOB, "data.absent_chunks=fill")
    assert tried.exit_code == 65
    assert "(1.6e+15 bytes) in 100,000,000,000,000 chunks" in tried.stderr
    assert "at most 134,217,728 chunks can be checked" in tried.stderr


def test_a_chunk_within_the_limit_that_does_not_fit_is_refused_with_the_plan():
    claim(chunk=[10**10, 2])
    tried = try_job("run", JOB, "cluster.memory_limit=8GiB")
    assert tried.exit_code == 78
    assert "decoded chunks" in tried.stderr
    assert "does NOT fit" in tried.stderr


@contextlib.contextmanager
def address_space(n_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_that_unpacks_to_terabytes_is_named_as_damaged(zarr_format):
    write_rows(zarr_format)
    # A Zstandard frame whose header says that its content takes 32 TiB.
    frame = bytes.fromhex("28b52ffde0") + struct.pack("<Q", 2**45) + b"\1\0\0"
    Path("rows.zarr", "c/0/0" if zarr_format == 3 else "0.0").write_bytes(frame)
    with address_space(64 * 2**30):  # else a system that promises all memory would try
        tried = try_job("run", JOB)
    assert tried.exit_code == 65
    assert "where its metadata make a chunk 160 bytes" in tried.stderr


@pytest.mark.parametrize(
    "override",
    [f"cluster.n_workers={'9' * 390}", f"model.n_init={'9' * 390}",
     f"initialisation.n_sample_starts={'9' * 390}", f"cluster.memory_limit={'9' * 390}TiB",
     f"cluster.memory_limit={'9' * 390}", "cluster.threads_per_worker=1000000001"],
)  # fmt: skip
def test_counts_beyond_any_use_are_refused_and_never_reckoned_with(override):
    tried = try_job("plan", JOB, override)
    assert tried.exit_code == 78
    assert f"--set: {override.partition('=')[0]}: found " in tried.stderr


# Cluster


def test_scheduler_and_dashboard_of_a_local_cluster_are_told_to_stay_on_loopback(monkeypatch):
    """That they do is measured in tests/execution/test_faults.py."""
    asked: dict[str, Any] = {}

    def local_cluster(**options: Any) -> None:
        asked.update(options)
        raise OSError("not now")

    monkeypatch.setattr(local_processes, "LocalCluster", local_cluster)
    with pytest.raises(UnavailableError):
        dask_cluster.local_cluster(1)
    assert asked["host"] == "127.0.0.1"
    assert asked["dashboard_address"] == "127.0.0.1:0"
    assert asked["security"].require_encryption


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:8786", "127.0.0.1:1", "tcp://127.8.8.8:1", "tcp://[::1]:1", "localhost:1"],
)
def test_a_scheduler_on_loopback_needs_no_warning(address):
    assert exposure(address) is None


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "head-node:8786", "tcp://[2001:db8::1]:1", "tcp://0.0.0.0:1"]
)
def test_a_scheduler_beyond_loopback_is_warned_of_before_it_is_called(address, monkeypatch):
    @contextlib.contextmanager
    def opened(_: object) -> Iterator[Executor]:
        with ThreadExecutor(1) as executor:
            yield executor

    monkeypatch.setattr(stages, "open_executor", opened)
    tried = try_job(
        "run", JOB.replace("{kind: threads, n_workers: 1}", f"{{address: '{address}'}}")
    )
    assert tried.exit_code == 0
    warning = f"the scheduler at {address} is reached over a network without encryption"
    assert f"warning: {warning}" in tried.stderr
    assert any(warning in text for text in json.loads(Path("run/run.json").read_text())["warnings"])


def test_a_scheduler_file_that_leads_beyond_loopback_is_warned_of(monkeypatch):
    Path("scheduler.json").write_text('{"address": "tcp://10.0.0.1:8786"}')
    told = []
    monkeypatch.setattr(dask_cluster, "_connect", lambda *_: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(dask_cluster, "require_scheduler", lambda _: None)
    monkeypatch.setattr(dask_cluster, "_foreign_dashboard", lambda _: None)
    monkeypatch.setattr(dask_cluster, "_open", lambda *arguments: told.append(arguments[-1]))
    existing_cluster(scheduler_file="scheduler.json")
    assert "tcp://10.0.0.1:8786 is reached over a network" in told[0]


def test_tls_is_refused_by_name_as_not_built_yet():
    content = JOB.replace("{kind: threads, n_workers: 1}", "{address: 'tls://10.0.0.1:8786'}")
    tried = try_job("run", content)
    assert tried.exit_code == 78
    assert "encrypted clusters (tls) are not built yet" in tried.stderr


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tls://10.0.0.1:8786", "encrypted clusters \\(tls\\) are not built yet"),
        ("inproc://1/2/3", "such clusters are not built yet"),
        ("ucx://10.0.0.1:1", "expected tcp://HOST:PORT"),
    ],
)
def test_other_schemes_in_a_scheduler_file_are_refused_by_name(address, words):
    Path("scheduler.json").write_text(json.dumps({"address": address}))
    with pytest.raises(UnavailableError, match=words):
        read_address(Path("scheduler.json"), 1.0)
