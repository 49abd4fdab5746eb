"""No file of a run is opened through a link, whoever has put it there, before a run or into one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, write_zarr

from dgmm.cli.entry_point import run
from dgmm.errors import OutputExistsError
from dgmm.job import lock
from dgmm.job.output_path import open_run_folder

pytestmark = pytest.mark.timeout(120)
ANOTHER = 54_321


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE_S", 0.2)  # of a number that was taken and never used


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(1500, 2, 2, spread=2.0)[0]
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows)


def job_file(folder: Path, data: Path, *, max_iter: int = 2, output: str = "run") -> Path:
    """A job whose run directory is `run` beside it."""
    path = folder / "job.yaml"
    tree = {
        "data": {"path": str(data)},
        "model": {"n_components": 2, "max_iter": max_iter, "tol": 0},
        "initialisation": {"n_sample_starts": 1},
        "cluster": {"kind": "threads", "n_workers": 1},
        "output": {"path": str(folder / output), "anomaly_quantile": 0.02, "report": False},
        "checkpoint": {"every_s": 1e-6},
        "on_not_converged": "ignore",
    }
    path.write_text(json.dumps(tree))
    return path


@pytest.fixture(scope="module")
def stopped(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that a larger max_iter goes on from."""
    folder = tmp_path_factory.mktemp("stopped")
    assert run(["run", "--quiet", str(job_file(folder, data))]) == 0
    assert (folder / "run" / "checkpoint").is_dir()
    return folder / "run"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Files of somebody who runs dgmm, of the kinds that a run writes."""
    folder = tmp_path / "victim"
    zarr.create_group(str(folder / "group"), attributes={"mine": True})
    zarr.create_array(str(folder / "group" / "labels"), data=np.arange(5))
    (folder / "thesis.txt").write_text("years of work\n")
    (folder / "record.json").write_text("{}\n")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "wedding.png").write_bytes(b"picture")
    (folder / "pictures" / "em.1.checkpoint").write_bytes(b"mine")
    return folder


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, str]:
    """Every file, what is in it, and the names of folders."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        if p.is_file()
        else ""
        for p in folder.rglob("*")
    }


FILES = [
    *("lock", "lock.1", "lock.2", "run.json", "events.jsonl", "metrics.csv", "sample.npz"),
    *("error.txt", "report.html", "report/weights.svg", "model/model.json", "model/arrays.npz"),
    *("checkpoint/em.9.checkpoint", "checkpoint/pass.9.checkpoint", "outputs.zarr/zarr.json"),
    *("outputs.zarr.part/zarr.json", "outputs.zarr.part/labels/c/0", ".run.json.1.tmp"),
]
FOLDERS = [
    *("model", "model.part", "report", "checkpoint", "outputs.zarr", "outputs.zarr.part"),
    *("outputs.zarr.part/labels", ".checkpoint.tmp"),
]


@pytest.fixture(params=[False, True], ids=["before-the-run", "into-a-run"])
def directory(request: pytest.FixtureRequest, tmp_path: Path, stopped: Path) -> Path:
    """Where the run goes: not there yet, or a run that was stopped."""
    folder = tmp_path / "run"
    if request.param:
        shutil.copytree(stopped, folder)
    return folder


def plant(directory: Path, name: str, target: Path, *, hard: bool) -> None:
    """Put a link to a target where the run has, or will have, a file."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.hardlink_to(target) if hard else path.symlink_to(target)


def attempted(folder: Path, data: Path, victim: Path, **how: object) -> int:
    """Run a job; nobody's files may change, and what the run leaves is its own."""
    expected = tree(victim)
    code = run(["run", "--quiet", str(job_file(folder, data, **how))])  # type: ignore[arg-type]
    assert tree(victim) == expected
    assert code in {0, 73, 74}
    return code


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_written_through_a_link_in_place_of_a_file(
    tmp_path: Path,
    data: Path,
    directory: Path,
    victim: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    target = {"run.json": "record.json", "sample.npz": "absent"}.get(name, "thesis.txt")
    plant(directory, name, victim / target, hard=False)
    code = attempted(tmp_path, data, victim, max_iter=6)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "internal" not in said
    if code:
        words = ("link", "it is not a run of dgmm", "no Zarr group; move it away")
        assert any(text in said for text in words), said
    else:
        links = {p.relative_to(directory) for p in directory.rglob("*") if p.is_symlink()}
        kept = Path("outputs.zarr.replaced-1", "zarr.json")  # with what it made a group of others
        untouched = {"lock.2", "em.9.damaged", "weights.svg", ".run.json.1.tmp"}
        assert {p.name for p in links - {kept}} <= untouched, links


@pytest.mark.parametrize("name", [name for name in FILES if "zarr" not in name])
def test_nothing_is_written_to_a_file_that_has_another_name(
    tmp_path: Path, data: Path, directory: Path, victim: Path, name: str
) -> None:
    plant(directory, name, victim / "thesis.txt", hard=True)
    attempted(tmp_path, data, victim, max_iter=6)


@pytest.mark.parametrize("name", FOLDERS)
def test_nothing_is_written_or_removed_through_a_link_in_place_of_a_folder(
    tmp_path: Path,
    data: Path,
    directory: Path,
    victim: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    target = "group" if "zarr" in name else "pictures"
    plant(directory, name, victim / target, hard=False)
    code = attempted(tmp_path, data, victim, max_iter=6)
    said = capsys.readouterr().err
    assert "internal" not in said
    if not code and "finished before" not in said:
        links = {p.name for p in directory.rglob("*") if p.is_symlink()}
        assert links <= {"report"}, links  # no report is asked for


def test_a_report_is_not_drawn_through_links(
    tmp_path: Path, stopped: Path, victim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run"
    shutil.copytree(stopped, directory)
    plant(directory, "report", victim / "pictures", hard=False)
    plant(directory, "report.html", victim / "thesis.txt", hard=False)
    expected = tree(victim)
    assert run(["report", str(directory)]) == 74
    assert "it is a symbolic link" in capsys.readouterr().err
    (directory / "report").unlink()
    assert run(["report", str(directory)]) == 0
    assert not (directory / "report.html").is_symlink()
    assert tree(victim) == expected


def test_an_output_path_that_is_its_own_users_link_is_followed(tmp_path: Path, data: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "runs").symlink_to("scratch")
    (tmp_path / "scratch" / "latest").symlink_to("monday")
    (tmp_path / "scratch" / "monday").mkdir()
    assert run(["run", "--quiet", str(job_file(tmp_path, data, output="runs/latest"))]) == 0
    assert (tmp_path / "scratch" / "monday" / "run.json").is_file()


def test_a_path_through_its_own_links_and_absent_folders_is_that_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    (tmp_path / "absolute").symlink_to(tmp_path / "link" / ".." / "b")
    monkeypatch.chdir(tmp_path)
    for path in ("link/../x", "absolute/y/z", "absent/../w", "./link/./v", tmp_path / "link" / "u"):
        with open_run_folder(path) as folder:
            assert folder.path == Path(os.path.realpath(path))
            assert folder.path.is_dir()
    assert not (tmp_path / "absent").exists()
    (tmp_path / "round").symlink_to("trip")
    (tmp_path / "trip").symlink_to("round")
    with pytest.raises(OutputExistsError, match="cannot create the run directory"):
        open_run_folder("round/run")
    (tmp_path / "file").touch()
    with pytest.raises(OutputExistsError, match="cannot create the run directory"):
        open_run_folder("file")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@as_root
def test_a_directory_of_another_user_is_refused_before_anything_is_read(
    tmp_path: Path, data: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run"
    shutil.copytree(stopped, directory)
    os.chown(directory, ANOTHER, -1)
    expected = tree(directory)
    assert run(["run", str(job_file(tmp_path, data, max_iter=6))]) == 73
    assert f"belongs to another user (uid {ANOTHER}; this process" in capsys.readouterr().err
    assert tree(directory) == expected


@as_root
def test_a_directory_within_that_of_another_user_is_ones_own(tmp_path: Path, data: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", ANOTHER, -1)
    assert run(["run", "--quiet", str(job_file(tmp_path, data, output="theirs/run"))]) == 0


@as_root
@pytest.mark.parametrize("mode", [0o1777, 0o777])
@pytest.mark.parametrize("place", ["last", "on-the-way"])
def test_a_link_that_a_stranger_has_put_where_everybody_writes_is_not_followed(
    tmp_path: Path,
    data: Path,
    victim: Path,
    capsys: pytest.CaptureFixture[str],
    mode: int,
    place: str,
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    link = shared / "run"
    link.symlink_to(victim / "pictures")
    os.chown(link, ANOTHER, -1, follow_symlinks=False)
    output = "shared/run" if place == "last" else "shared/run/tonight"
    assert attempted(tmp_path, data, victim, output=output) == 73
    said = capsys.readouterr().err
    assert f"a symbolic link of another user (uid {ANOTHER})" in said
    os.chown(link, os.geteuid(), -1, follow_symlinks=False)
    link.unlink()
    link.symlink_to(tmp_path / "mine")
    assert run(["run", "--quiet", str(job_file(tmp_path, data, output=output))]) == 0


def test_where_all_files_seem_to_be_anothers_a_directory_is_known_by_a_file_made_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mapped(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[stat.ST_UID] = ANOTHER  # a network mount that maps users
        return os.stat_result(found)

    real = os.fstat
    monkeypatch.setattr(os, "fstat", mapped)
    with open_run_folder(tmp_path / "run") as folder:
        assert folder.names() == []
