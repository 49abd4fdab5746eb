"""dgmm's own local cluster: closed to other users, deaf to the user's Dask configuration."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from clusters import gaussian_clusters, write_zarr
from distributed.security import Security

from dgmm.execution import local_processes
from dgmm.execution.dask_cluster import DaskExecutor, local_cluster
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import split_ranges

pytestmark = [
    pytest.mark.timeout(150),
    pytest.mark.skipif(sys.platform == "win32", reason="looks at sockets as POSIX has them"),
]


def listening_ports() -> set[int]:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return {
        connection.laddr.port
        for process in family
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }


CONNECT = """
import json, sys
from distributed import Client
from distributed.security import Security
own = json.loads(sys.argv[2])
security = Security(require_encryption=True, **own) if own else None
print(len(Client(sys.argv[1], security=security, timeout=4).get_versions()["workers"]))
"""


def connecting(address: str, security: Security | None) -> subprocess.Popen[str]:
    """Another process that asks the cluster for its workers, with a certificate or without."""
    names = ["tls_ca_file", "tls_client_cert", "tls_client_key"]
    own = {} if security is None else {name: getattr(security, name) for name in names}
    call = [sys.executable, "-c", CONNECT, address, json.dumps(own)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Running(NamedTuple):
    """A local cluster of one worker, its ports, and the folder for temporary files meanwhile."""

    executor: DaskExecutor
    ports: set[int]
    temporary: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """For the tests that only look at it."""
    temporary = tmp_path_factory.mktemp("temporary")
    before = listening_ports()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        with local_cluster(1) as executor:
            yield Running(executor, listening_ports() - before, temporary)


def test_no_process_without_the_certificate_gets_into_a_local_cluster(running: Running) -> None:
    executor = running.executor
    address = executor._client.scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    strangers = [
        (address, None, "TypeError: TLS expects a `ssl_context` argument"),
        (address.replace("tls", "tcp"), None, "CommClosedError: in <TCP"),
        (address, Security.temporary(), "TLS certificate does not match"),
    ]
    owner = connecting(address, executor._client.security)
    started = [connecting(target, security) for target, security, _ in strangers]
    out, err = owner.communicate(timeout=60)
    ended = [stranger.communicate(timeout=60) for stranger in started]  # they wait side by side
    assert (owner.returncode, out) == (0, "1\n"), err
    for (target, _, error), stranger, (_, refused) in zip(strangers, started, ended, strict=True):
        assert stranger.returncode != 0, f"{target} let a stranger in"
        assert error in refused
    assert [found for _, found in executor.run(answer, split_ranges(1, 1))] == [42]


def test_a_client_that_checks_nothing_is_asked_for_the_certificate(running: Running) -> None:
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    port = int(running.executor._client.scheduler.address.rpartition(":")[2])
    with (
        pytest.raises(ssl.SSLError, match=r"(?i)certificate.required|handshake.failure"),
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        careless.wrap_socket(plain) as stranger,
    ):
        assert stranger.recv(1000)


def test_the_key_of_a_local_cluster_stays_in_no_file(running: Running) -> None:
    assert running.executor._client.security.tls_client_key.startswith("-----BEGIN PRIVATE KEY")
    left = [path for path in running.temporary.rglob("*") if path.is_file()]
    assert list(running.temporary.iterdir()), "the workers' folder lies elsewhere"
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in left)
    assert not list(running.temporary.rglob("dask.pem"))


def answer(blocks: BlockRange) -> int:
    return 42


@pytest.mark.skipif(find_spec("bokeh") is not None, reason="Bokeh's dashboard is served")
def test_no_port_of_a_local_cluster_serves_a_page(running: Running) -> None:
    pages = ("info/main/workers.html", "info/logs.html", "health", "json/identity.json", "metrics")
    found = [f"{port}/{page}" for port in running.ports for page in pages if is_served(port, page)]
    assert running.ports
    assert found == []


def is_served(port: int, page: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def test_without_cryptography_a_warning_says_who_may_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent() -> Security:
        raise ImportError("no cryptography")

    monkeypatch.setattr(local_processes.Security, "temporary", absent)
    with local_cluster(1) as executor:
        (text,) = executor.warnings
    assert "every user of this machine" in text
    assert "cluster.kind: threads" in text


BROKEN = """
temporary-directory: /nonexistent/for/anyone
scheduler-address: tcp://127.0.0.1:1
distributed:
  scheduler: {idle-timeout: 1s, preload: [no_such_module_a], allowed-failures: 0}
  worker:
    preload: [no_such_module_b]
    lifetime: {duration: 2s}
    memory: {pause: 0.01, terminate: 0.02, target: 0.01, spill: 0.01}
  nanny: {preload: [no_such_module_c]}
  comm: {require-encryption: true, tls: {ca-file: /nonexistent/ca.pem}}
"""


@pytest.fixture
def job_folder(tmp_path: Path) -> Path:
    write_zarr(tmp_path / "rows.zarr", gaussian_clusters(2000, 2)[0])
    (tmp_path / "job.yaml").write_text(
        "data: {path: rows.zarr}\nmodel: {n_components: 3}\n"
        "cluster: {kind: local, n_workers: 1}\noutput: {path: run, report: false}\n"
    )
    return tmp_path


def dgmm(
    folder: Path, *arguments: str, program: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(arguments or ("-m", "dgmm", "run", "job.yaml"))],
        cwd=folder,
        env=os.environ | environment,
        input=program,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_users_dask_configuration_does_not_reach_a_local_cluster(job_folder: Path) -> None:
    (job_folder / "dask").mkdir()
    (job_folder / "dask" / "mine.yaml").write_text(BROKEN)
    ended = dgmm(
        job_folder,
        DASK_CONFIG=str(job_folder / "dask"),
        DASK_DISTRIBUTED__SCHEDULER__IDLE_TIMEOUT="1s",
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("text", ["distributed: [1, {", "- a list"])
def test_a_malformed_configuration_file_is_named_without_a_traceback(
    job_folder: Path, text: str
) -> None:
    (job_folder / "dask").mkdir()
    (job_folder / "dask" / "mine.yaml").write_text(text)
    ended = dgmm(job_folder, DASK_CONFIG=str(job_folder / "dask"))
    assert ended.returncode == 69
    assert "mine.yaml' is malformed" in ended.stderr
    assert "Traceback" not in ended.stderr


UNUSABLE = {
    "{distributed: {logging: {tornado: loudest}}}": "distributed.logging.tornado to 'loudest'",
    "{logging: {distributed.client: shout}}": "logging.distributed.client to 'shout'",
    "{distributed: {logging: 7}}": "distributed.logging to 7",
    "{distributed: {logging-file-config: /nowhere.ini}}": "distributed.logging-file-config to",
    "{distributed: {comm: 11}}": "distributed.comm to 11",
}


@pytest.mark.parametrize(("text", "named"), UNUSABLE.items(), ids=UNUSABLE)
def test_values_that_dask_cannot_start_with_are_named_with_file_and_key(
    job_folder: Path, text: str, named: str
) -> None:
    (job_folder / "mine.yaml").write_text(text)
    ended = dgmm(job_folder, DASK_CONFIG=str(job_folder / "mine.yaml"))
    assert ended.returncode == 69
    assert f"{job_folder / 'mine.yaml'} sets {named}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("DASK_DISTRIBUTED__LOGGING__TORNADO", "low", "sets distributed.logging.tornado to 'low'"),
        ("DASK_INTERNAL_INHERIT_CONFIG", "x", "may be no copy of a configuration"),
    ],
)
def test_variables_that_dask_cannot_start_with_are_named(
    job_folder: Path, name: str, value: str, named: str
) -> None:
    ended = dgmm(job_folder, **{name: value})
    assert ended.returncode == 69
    assert f"the variable {name} {named}" in ended.stderr


OVERLAPPING = """
import dask
from dgmm.execution.dask_cluster import local_cluster
NAME = "distributed.scheduler.idle-timeout"
if __name__ == "__main__":
    dask.config.set({NAME: "5 hours"})
    first = local_cluster(1)
    assert dask.config.get(NAME) is None
    dask.config.set({NAME: "1 s"})
    second = local_cluster(1)
    assert dask.config.get(NAME) is None
    first.close()
    assert dask.config.get(NAME) is None
    second.close()
    assert dask.config.get(NAME) == "5 hours"
"""


def test_the_drivers_own_configuration_is_back_afterwards_whoever_closes_first(
    job_folder: Path,
) -> None:
    (job_folder / "script.py").write_text(OVERLAPPING)
    ended = dgmm(job_folder, "script.py")
    assert ended.returncode == 0, ended.stderr


UNGUARDED = "from dgmm.cli import main\nprint('once', flush=True)\nmain(['run', 'job.yaml'])\n"
GUARDED = "from dgmm.cli import main\nif __name__ == '__main__':\n    main(['run', 'job.yaml'])\n"
IN_A_THREAD = (
    "import threading\nfrom dgmm.execution.dask_cluster import local_cluster\n"
    "def start():\n    with local_cluster(1): pass\n"
    "thread = threading.Thread(target=start)\nthread.start(); thread.join()\n"
)
DAEMONIC = (
    "import multiprocessing\nfrom dgmm.cli.entry_point import run\n"
    "def work(): raise SystemExit(run(['run', 'job.yaml']))\n"
    "if __name__ == '__main__':\n"
    "    process = multiprocessing.get_context('spawn').Process(target=work, daemon=True)\n"
    "    process.start(); process.join(); raise SystemExit(process.exitcode)\n"
)


def test_a_script_without_the_guard_is_told_so_and_not_run_again(job_folder: Path) -> None:
    (job_folder / "script.py").write_text(UNGUARDED)
    ended = dgmm(job_folder, "script.py")
    assert ended.returncode == 69
    assert 'outside `if __name__ == "__main__":`' in ended.stderr
    assert ended.stdout.count("once") == 1


def test_a_script_with_the_guard_runs(job_folder: Path) -> None:
    (job_folder / "script.py").write_text(GUARDED)
    ended = dgmm(job_folder, "script.py")
    assert ended.returncode == 0, ended.stderr


def test_an_unguarded_start_from_a_thread_names_the_guard(job_folder: Path) -> None:
    (job_folder / "script.py").write_text(IN_A_THREAD)
    ended = dgmm(job_folder, "script.py")
    assert "UnavailableError" in ended.stderr
    assert '`if __name__ == "__main__":`' in ended.stderr


#: Nothing but `if True:` before the call; `__name__` stands in a comment and in a logger's name.
ONLY_A_COMMENT = (
    "import logging\nfrom dgmm.cli import main\n# no __name__ == '__main__' here\n"
    "logging.getLogger(__name__)\nprint('once', flush=True)\n"
    "if True:\n    main(['run', 'job.yaml'])\n"
)
#: A condition that may or may not hold in a worker, which only the failure shows.
UNSURE = "import sys\nfrom dgmm.cli import main\nif sys.argv:\n    main(['run', 'job.yaml'])\n"
UNGUARDED_STARTS = {
    "python -m": (UNGUARDED, "jobs_of/night.py", ("-m", "jobs_of.night")),
    "python -m, unsure": (UNSURE, "night.py", ("-m", "night")),
    "no suffix": (UNGUARDED, "night", ("night",)),
    "no suffix, unsure": (UNSURE, "night", ("night",)),
    "a constant condition": (ONLY_A_COMMENT, "night.py", ("night.py",)),
}


@pytest.mark.parametrize(
    ("program", "name", "call"), UNGUARDED_STARTS.values(), ids=UNGUARDED_STARTS
)
def test_every_way_to_start_without_the_guard_names_the_file_and_the_guard(
    job_folder: Path, program: str, name: str, call: tuple[str, ...]
) -> None:
    (job_folder / name).parent.mkdir(exist_ok=True)
    (job_folder / name).write_text(program)
    ended = dgmm(job_folder, *call)
    assert ended.returncode == 69
    assert f"{name}" in ended.stderr
    assert 'outside `if __name__ == "__main__":`' in ended.stderr
    assert ended.stdout.count("once") == program.count("once")


@pytest.mark.parametrize(("name", "call"), [("night.py", ("-m", "night")), ("night", ("night",))])
def test_modules_and_files_without_a_suffix_run_under_the_guard(
    job_folder: Path, name: str, call: tuple[str, ...]
) -> None:
    (job_folder / name).write_text(GUARDED)
    ended = dgmm(job_folder, *call)
    assert ended.returncode == 0, ended.stderr


def test_a_program_from_standard_input_is_named_as_the_cause(job_folder: Path) -> None:
    ended = dgmm(job_folder, "-", program=GUARDED)
    assert ended.returncode == 69
    assert "read from standard input" in ended.stderr
    assert "cluster.kind: threads" in ended.stderr


def test_a_daemonic_process_is_named_as_the_cause(job_folder: Path) -> None:
    (job_folder / "script.py").write_text(DAEMONIC)
    ended = dgmm(job_folder, "script.py")
    assert ended.returncode == 69
    assert "daemonic process" in ended.stderr
    assert "cluster.kind: threads" in ended.stderr
