"""A run that is killed anywhere resumes with the same command and ends bit-identical."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from clusters import gaussian_clusters, write_zarr

from dgmm import load_model
from dgmm.errors import OutputExistsError
from dgmm.job.resume_check import accepted_workers
from dgmm.runtime.environment import cpu_features, process_environment
from dgmm.storage.atomic_files import read_json

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="kills processes"),
]

TESTS = Path(__file__).resolve().parent.parent
#: 9 blocks of 8192 rows; clusters overlap, so that EM has a long way and every bit counts.
N, D = 70_001, 32
LISTED = ("rows.csv", "rows.parquet")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(N, D, 4, spread=1.5)[0].astype(np.float32)
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows, chunks=(10_000, D))


def job_file(folder: Path, data: Path, **sections: Any) -> Path:
    """A job in a folder of its own, with its run directory beside it."""
    tree = {
        "data": {"path": str(data)},
        "model": {"n_components": 4, "max_iter": 6, "tol": 0, "n_init": 2},
        "initialisation": {"n_sample_starts": 2},
        "cluster": {"kind": "threads", "n_workers": 2},
        "output": {"path": str(folder / "run"), "anomaly_quantile": 0.01, "report": False},
        "anomalies": {"top": 20},
        "checkpoint": {"every_s": 1e-6},
        "on_not_converged": "ignore",
    }
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section} if isinstance(section, dict) else section
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "job.yaml"
    path.write_text(json.dumps(tree))  # JSON is YAML
    return path


def dgmm(
    job: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "dgmm", "run", *words, str(job)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, **(env or {})},
    )


def killed(job: Path, point: str, nth: int) -> int:
    command = [sys.executable, str(TESTS / "killed_run.py"), point, str(nth), str(job)]
    named = os.environ | {"DGMM_TEST_FOLDER": str(job.parent)}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # workers hold pipes open
    return subprocess.run(command, **silent, env=named, timeout=200, check=False).returncode


def bits(job: Path) -> dict[str, Any]:
    """Everything that a run computes: model, outputs, likelihood, metrics without their seconds."""
    directory = job.parent / "run"
    told = read_json(directory / "run.json")
    with (directory / "metrics.csv").open() as file:
        metrics = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return {
        "status": told["status"],
        "model": hashlib.sha256((directory / "model" / "arrays.npz").read_bytes()).hexdigest(),
        "likelihood": float(told["log_likelihood"]).hex(),
        "outputs": {name: array["sha256"] for name, array in told["outputs"].items()},
        "anomaly": told["anomaly"],
        "listed": [(directory / "anomalies" / name).read_bytes() for name in LISTED],
        "rows": told["rows"],
        "component_log": told["component_log"],
        "restarts": told["restarts"],
        "metrics": metrics,
    }


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    job = job_file(tmp_path_factory.mktemp("undisturbed"), data)
    ended = dgmm(job)
    assert ended.returncode == 0, ended.stderr
    return bits(job)


KILLS = [
    ("before a file gets its name", 1),
    ("before a map", 1),
    ("before a map", 2),
    ("inside the summary", 5),
    ("inside an E-step", 30),
    ("inside an E-step", 55),
    ("inside the scoring pass", 1),
    ("inside the scoring pass", 6),
    ("after a reduce", 1),
    ("after a reduce", 4),
    ("before the state of EM is kept", 3),
    ("half-way through a checkpoint", 7),
    ("half-way through a checkpoint", 60),
    ("before a file gets its name", 4),
    ("after a file got its name", 4),
    ("before a file gets its name", 9),
    ("after a file got its name", 9),
    ("between outputs", 2),
    ("after an output, before it is synced", 3),
    ("before outputs are published", 1),
    ("after outputs are published", 1),
    ("between files of the anomalies", 1),
    ("before the model is saved", 1),
    ("before the model is saved", 2),
    ("before the end is told", 1),
    ("after the end is told", 1),
]


@pytest.mark.parametrize(("point", "nth"), KILLS, ids=lambda value: str(value).replace(" ", "-"))
def test_a_run_killed_at_any_point_ends_with_the_same_bits(
    tmp_path: Path, data: Path, undisturbed: dict[str, Any], point: str, nth: int
) -> None:
    job = job_file(tmp_path, data)
    assert killed(job, point, nth) == -signal.SIGKILL, "the run never came by this point"
    ended = dgmm(job)
    assert ended.returncode == 0, ended.stderr
    assert bits(job) == undisturbed
    leftovers = [p.name for p in (tmp_path / "run").rglob("*") if p.name.endswith(".tmp")]
    assert leftovers == []


@pytest.mark.parametrize(
    ("start", "nth"),
    [
        ({"n_sample_starts": 0}, 2),  # EM on the sample is on the driver, some seconds at most
        ({"method": "kmeans_parallel"}, 3),
    ],
    ids=["kmeans", "kmeans_parallel"],
)
def test_a_run_that_is_killed_again_and_again_comes_to_its_end(
    tmp_path: Path, data: Path, start: dict[str, Any], nth: int
) -> None:
    reference = job_file(tmp_path / "reference", data, initialisation=start)
    assert dgmm(reference).returncode == 0
    job = job_file(tmp_path, data, initialisation=start)
    kills = 0
    while (code := killed(job, "after a reduce", nth)) == -signal.SIGKILL:
        kills += 1
        assert kills < 20, "the run does not get on"
    assert code == 0
    assert kills >= 5
    assert bits(job) == bits(reference)
    assert len(read_json(tmp_path / "run" / "run.json")["attempts"]) == kills


def test_a_finished_run_says_so_and_keeps_no_state(tmp_path: Path, data: Path) -> None:
    job = job_file(tmp_path, data, model={"n_components": 3, "max_iter": 100, "tol": 1e-2})
    assert dgmm(job).returncode == 0
    assert not (tmp_path / "run" / "checkpoint").exists()
    again = dgmm(job)
    assert again.returncode == 0
    assert "finished before" in again.stderr
    assert dgmm(job, "--exit-skip").returncode == 99


def test_a_larger_max_iter_goes_on_with_the_bits_of_a_run_that_had_it_from_the_start(
    tmp_path: Path, data: Path, undisturbed: dict[str, Any]
) -> None:
    job = job_file(tmp_path, data, model={"max_iter": 4})
    assert dgmm(job).returncode == 0
    assert read_json(tmp_path / "run" / "run.json")["outcome"] == "MAX_ITER_REACHED"
    ended = dgmm(job_file(tmp_path, data))  # six
    assert ended.returncode == 0, ended.stderr
    assert bits(job) == undisturbed
    refused = dgmm(job_file(tmp_path, data, model={"max_iter": 5}))
    assert refused.returncode == 73
    assert "max_iter 6, here it is 5" in refused.stderr


def test_a_killed_run_may_go_on_with_a_larger_max_iter(
    tmp_path: Path, data: Path, undisturbed: dict[str, Any]
) -> None:
    job = job_file(tmp_path, data, model={"max_iter": 4})
    assert killed(job, "inside the scoring pass", 3) == -signal.SIGKILL
    assert dgmm(job_file(tmp_path, data)).returncode == 0
    assert bits(job) == undisturbed


def newest(folder: Path, name: str) -> Path:
    return max(folder.glob(f"{name}.*.checkpoint"), key=lambda p: int(p.name.split(".")[1]))


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
@pytest.mark.parametrize("name", ["em", "summary"])
def test_a_damaged_state_is_said_and_an_earlier_one_taken(
    tmp_path: Path, data: Path, undisturbed: dict[str, Any], name: str, damage: str
) -> None:
    job = job_file(tmp_path, data)
    assert killed(job, "inside an E-step", 50) == -signal.SIGKILL
    file = newest(tmp_path / "run" / "checkpoint", name)
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    file.write_bytes({"cut": content[:-9], "flipped": content, "emptied": b""}[damage])
    ended = dgmm(job)
    assert ended.returncode == 0, ended.stderr
    assert f"{file.name} is damaged" in ended.stderr
    assert any("is damaged" in text for text in read_json(tmp_path / "run/run.json")["warnings"])
    assert bits(job) == undisturbed


def test_two_generations_of_each_state_are_kept(tmp_path: Path, data: Path) -> None:
    job = job_file(tmp_path, data)
    assert killed(job, "inside an E-step", 55) == -signal.SIGKILL
    names = [p.name for p in (tmp_path / "run" / "checkpoint").iterdir()]
    counts = {name: sum(n.startswith(f"{name}.") for n in names) for name in ("em", "summary")}
    assert counts == {"em": 2, "summary": 1}


def test_the_state_of_another_job_or_of_other_data_is_refused_with_the_difference(
    tmp_path: Path, data: Path
) -> None:
    job = job_file(tmp_path, data)
    assert killed(job, "inside an E-step", 50) == -signal.SIGKILL
    before = tree(tmp_path / "run")
    other = dgmm(job_file(tmp_path, data, seed=1))
    assert other.returncode == 73
    assert "seed is 0 there, 1 here" in other.stderr
    copy = tmp_path / "copy.zarr"
    write_zarr(copy, gaussian_clusters(N, D, 4, spread=1.5, seed=2)[0].astype(np.float32))
    tmp_path.joinpath("run/run.json").write_text(
        tmp_path.joinpath("run/run.json").read_text().replace(str(data), str(copy))
    )
    before["run.json"] = hashed(tmp_path / "run" / "run.json")
    changed = dgmm(job_file(tmp_path, copy))
    assert changed.returncode == 73
    assert "values" in changed.stderr or "chunks_sha256 is" in changed.stderr
    assert tree(tmp_path / "run") == before


def test_a_state_copied_from_another_run_is_refused(tmp_path: Path, data: Path) -> None:
    one, two = job_file(tmp_path / "one", data), job_file(tmp_path / "two", data, seed=1)
    for job in (one, two):
        assert killed(job, "inside an E-step", 50) == -signal.SIGKILL
    theirs = newest(tmp_path / "one" / "run" / "checkpoint", "summary")
    theirs.replace(tmp_path / "two" / "run" / "checkpoint" / theirs.name)
    ended = dgmm(two)
    assert ended.returncode == 73
    assert "belongs to another job" in ended.stderr


def test_other_versions_are_refused_unless_they_are_accepted(tmp_path: Path, data: Path) -> None:
    job = job_file(tmp_path, data)
    assert killed(job, "inside an E-step", 50) == -signal.SIGKILL
    path = tmp_path / "run" / "run.json"
    told = read_json(path)
    told["environment"]["driver"]["numpy"] = "1.0.0"
    path.write_text(json.dumps(told))
    refused = dgmm(job)
    assert refused.returncode == 73
    assert "numpy is '1.0.0' there" in refused.stderr
    assert "--accept-versions" in refused.stderr
    assert dgmm(job, "--accept-versions").returncode == 0
    warnings = read_json(path)["warnings"]
    assert any("not those of an undisturbed run" in text for text in warnings)


def _edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change what run.json says of the driver that began the run."""
    told = read_json(path)
    edit(told["environment"]["driver"])
    path.write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda d: d["cpu_features"].append("XYZ512"), "CPU features XYZ512 are there, not here"),
        (lambda d: d["cpu_features"].remove("POPCNT"), "CPU features POPCNT are here, not there"),
        (lambda d: d.update(machine="sparc"), "machine is 'sparc' there"),
        (lambda d: d["blas"][0].update(architecture="Prescott"), "BLAS is"),
        (lambda d: d["variables"].update(NUMBA_CPU_NAME="generic"), "NUMBA_CPU_NAME is 'generic'"),
    ],
    ids=["feature less", "feature more", "machine", "BLAS kernel", "Numba's target"],
)
def test_another_processor_is_refused_by_what_differs(
    tmp_path: Path, data: Path, edit: Callable[[dict[str, Any]], None], named: str
) -> None:
    if platform.machine() not in {"x86_64", "AMD64"}:
        pytest.skip("the names are those of x86")
    job, path = job_file(tmp_path, data), tmp_path / "run" / "run.json"
    assert killed(job, "inside the scoring pass", 1) == -signal.SIGKILL
    _edited(path, edit)
    refused = dgmm(job)
    assert refused.returncode == 73
    assert named in refused.stderr
    assert "--accept-versions" in refused.stderr
    assert dgmm(job, "--accept-versions").returncode == 0
    assert any("another processor" in text for text in read_json(path)["warnings"])


def test_a_run_that_goes_on_without_avx2_is_refused_or_keeps_its_units(
    tmp_path: Path, data: Path
) -> None:
    whole = job_file(tmp_path / "whole", data)
    assert dgmm(whole).returncode == 0
    job = job_file(tmp_path / "cut", data)
    assert killed(job, "inside the scoring pass", 1) == -signal.SIGKILL
    off = {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
    assert dgmm(job, env=off).returncode == (73 if _has_avx2() else 0)
    ended = dgmm(job, "--accept-versions", env=off)
    assert ended.returncode == 0, ended.stderr
    first, second = (load_model(tmp_path / name / "run" / "model") for name in ("whole", "cut"))
    # The parameters were kept: only the standardised scoring pass is computed elsewhere.
    np.testing.assert_array_equal(second.means, first.means)
    np.testing.assert_array_equal(second.standardisation.shift, first.standardisation.shift)


def _opened_again(*workers: dict[str, Any]) -> SimpleNamespace:
    """A run directory whose earlier attempt ran on such workers; none: in the driver."""
    groups = [{"workers": [str(i)], "count": 1, "environment": w} for i, w in enumerate(workers)]
    record = {"environment": {"driver": process_environment(), "workers": groups, "mixed": False}}
    return SimpleNamespace(previous=record, is_resumed=True, shown="runs/one")


def _now(*workers: dict[str, Any]) -> dict[str, Any]:
    environment: dict[str, Any] = _opened_again(*workers).previous["environment"]
    return environment


def test_workers_on_another_processor_than_before_are_refused_or_recorded() -> None:
    here = process_environment()
    other = here | {"cpu_features": [*here["cpu_features"], "ABC9"]}
    for before, now in (((), (other,)), ((here,), (here, other)), ((other,), ())):
        directory = _opened_again(*before)
        with pytest.raises(OutputExistsError, match=r"worker|this process"):
            accepted_workers(directory, _now(*now), accept_versions=False)
        (text,) = accepted_workers(directory, _now(*now), accept_versions=True)
        assert "ABC9" in text
        assert "not those of an undisturbed run" in text
    for before, now in (((), (here,)), ((here,), ()), ((here, other), (other, here))):
        assert accepted_workers(_opened_again(*before), _now(*now), accept_versions=False) == []


def _has_avx2() -> bool:
    return "AVX2" in cpu_features()


def hashed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("lock"))
    return {str(p.relative_to(folder)): hashed(p) for p in files}


@pytest.mark.parametrize("kind", ["threads", "local"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_within_ten_seconds_and_it_goes_on(
    tmp_path: Path, data: Path, number: signal.Signals, kind: str
) -> None:
    job = job_file(
        tmp_path,
        data,
        model={"n_components": 24, "max_iter": 400, "n_init": 1},
        cluster={"kind": kind},
    )
    command = [sys.executable, "-m", "dgmm", "run", str(job)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if line.startswith("iteration 3:"):
                break
        process.send_signal(number)
        begun = time.monotonic()
        said = process.stderr.read() if process.stderr else ""
        assert process.wait(30) == 75, said
    assert time.monotonic() - begun < 10
    assert "run the same command again to continue" in said
    told = read_json(tmp_path / "run" / "run.json")
    assert told["status"] == "stopped"
    assert told["timings"]["em"] > 0
    again = job_file(
        tmp_path,
        data,
        model={"n_components": 24, "max_iter": 400, "n_init": 1, "tol": 0},
        cluster={"kind": kind},
    )
    with subprocess.Popen(
        [sys.executable, "-m", "dgmm", "run", str(again)], stderr=subprocess.PIPE, text=True
    ) as process:
        lines = [next(iter(process.stderr or ())) for _ in range(12)]
        process.kill()
    assert any("EM goes on after" in line for line in lines), lines


def test_a_second_signal_ends_a_run_at_once(tmp_path: Path, data: Path) -> None:
    job = job_file(tmp_path, data, model={"n_components": 24, "max_iter": 400, "n_init": 1})
    command = [sys.executable, "-m", "dgmm", "run", str(job)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if line.startswith("iteration 2:"):
                break
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in {75, -signal.SIGTERM, -signal.SIGINT}


def test_a_run_whose_single_pass_exceeds_its_time_limit_still_ends(tmp_path: Path) -> None:
    rows = gaussian_clusters(40 * 4096, 64, 2, spread=1.5)[0].astype(np.float32)
    data = write_zarr(tmp_path / "rows.zarr", rows, chunks=(4096, 64))
    wanted = {
        "model": {"n_components": 2, "max_iter": 2, "tol": 0},
        "initialisation": {"sample_rows": 1000, "n_sample_starts": 0},
    }

    def command(seconds: float, job: Path) -> list[str]:
        return [sys.executable, str(TESTS / "slow_run.py"), str(seconds), str(job)]

    reference = job_file(tmp_path / "reference", data, **wanted)
    assert subprocess.run(command(0, reference), timeout=100, check=False).returncode == 0
    job = job_file(tmp_path / "limited", data, checkpoint={"every_s": 0.2}, **wanted)
    attempts = 0
    code = None
    while code is None:
        attempts += 1
        assert attempts < 40, "the run does not get on"
        slow = command(0.25, job)
        with subprocess.Popen(slow, stderr=subprocess.DEVNULL) as process:
            try:
                code = process.wait(5)  # a pass takes ten
            except subprocess.TimeoutExpired:
                process.kill()
    assert code == 0
    assert attempts >= 4
    assert bits(job) == bits(reference)


@pytest.mark.parametrize("point", ["after a reduce", "before the model is saved"])
def test_a_killed_driver_of_a_cluster_leaves_no_process_and_a_run_that_goes_on(
    tmp_path: Path, data: Path, undisturbed: dict[str, Any], point: str
) -> None:
    job = job_file(tmp_path, data, cluster={"kind": "local", "n_workers": 2})
    assert killed(job, point, 1) == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while left := [p for p in psutil.process_iter(["cmdline"]) if _is_of(p, tmp_path)]:
        assert time.monotonic() < deadline, f"workers outlive their driver: {left}"
        time.sleep(0.2)
    assert dgmm(job).returncode == 0
    assert bits(job) == undisturbed


def _is_of(process: psutil.Process, folder: Path) -> bool:
    """Whether a process was started for the job in a folder: workers inherit its environment."""
    try:
        return process.environ().get("DGMM_TEST_FOLDER") == str(folder)
    except psutil.Error:
        return False


def test_a_signal_ends_a_run_in_the_middle_of_a_long_task(tmp_path: Path, data: Path) -> None:
    job = job_file(tmp_path, data, initialisation={"n_sample_starts": 0})
    command = [sys.executable, str(TESTS / "slow_run.py"), "6", str(job)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "run" / "run.json").is_file():
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert process.wait(30) == 75
    assert time.monotonic() - begun < 10  # a task of two blocks would take twelve


def test_what_an_earlier_attempt_was_warned_of_is_not_forgotten(tmp_path: Path, data: Path) -> None:
    job = job_file(tmp_path, data)
    assert killed(job, "inside an E-step", 50) == -signal.SIGKILL
    path = tmp_path / "run" / "run.json"
    told = read_json(path)
    told["environment"]["driver"]["numpy"] = "1.0.0"
    path.write_text(json.dumps(told))
    command = [
        sys.executable,
        str(TESTS / "killed_run.py"),
        "inside the scoring pass",
        "2",
        str(job),
    ]
    assert dgmm(job).returncode == 73
    ended = subprocess.run([*command, "--accept-versions"], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert dgmm(job).returncode == 0
    warnings = read_json(path)["warnings"]
    assert sum("not those of an undisturbed run" in text for text in warnings) == 1
