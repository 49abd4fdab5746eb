"""Versions are compared before anything of dgmm's is sent to a cluster."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from shell_cluster import scheduler

from dgmm.errors import UnavailableError
from dgmm.execution import versions
from dgmm.execution.dask_cluster import existing_cluster
from dgmm.execution.versions import own_versions, version_refusal

pytestmark = pytest.mark.timeout(120)


def changed(package: str, version: str) -> dict[str, Any]:
    found = copy.deepcopy(own_versions())
    if package == "python":
        found["host"]["python"] = version
    else:
        found["packages"][package] = version
    return found


def test_equal_versions_are_not_refused() -> None:
    assert version_refusal(own_versions()) is None


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("python", "3.10.2.final.0"),
        ("python", "3.14.0.final.0"),
        ("dask", "2024.1.0"),
        ("distributed", "2024.1.0"),
        ("numpy", "1.26.4"),
        ("msgpack", "0.6.2"),
    ],
)
def test_versions_that_do_not_fit_are_refused_with_both(package: str, version: str) -> None:
    reason = version_refusal(changed(package, version))
    own = own_versions()
    here = own["host"]["python"] if package == "python" else own["packages"][package]
    shown = version.removesuffix(".final.0")
    assert reason is not None
    assert re.search(rf"{package} {re.escape(shown)} instead of ", reason, re.IGNORECASE)
    assert ".".join(here.split(".")[:3]) in reason


def test_another_patch_of_python_is_not_refused() -> None:
    major, minor, *_ = own_versions()["host"]["python"].split(".")
    assert version_refusal(changed("python", f"{major}.{minor}.99.final.0")) is None


#: A worker, or a scheduler, that answers as one of another Python would. Nothing else may reach it.
ANOTHER_PYTHON = """
import distributed.versions as versions
real = versions.get_system_info
versions.get_system_info = lambda: real() | {"python": "3.9.1.final.0"}
"""


def test_workers_of_another_python_are_refused_and_receive_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ANOTHER_PYTHON)
    sent: list[Any] = []
    monkeypatch.setattr(Client, "run", lambda self, *call, **options: sent.append(call))
    monkeypatch.setattr(Client, "submit", lambda self, *call, **options: sent.append(call))
    with (
        scheduler(tmp_path) as found,
        found.worker("--no-nanny", "--name", "old", environment={"PYTHONPATH": str(folder)}),
        pytest.raises(UnavailableError, match=r"Python 3\.9\.1 instead of 3\.") as caught,
    ):
        existing_cluster(found.address, wait_workers_s=60)
    assert caught.value.exit_code == 69
    assert "run dgmm with the same Python" in str(caught.value)
    assert "tcp://127.0.0.1" in str(caught.value)
    assert sent == []


def test_a_scheduler_of_another_python_is_refused_before_its_workers_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = changed("python", "3.8.0.final.0")
    with scheduler(tmp_path) as found:
        with Client(found.address, set_as_default=False):
            monkeypatch.setattr(versions, "own_versions", lambda: other)
        with pytest.raises(UnavailableError, match=r"scheduler at .* instead of 3\.8\.0 here"):
            existing_cluster(found.address)
