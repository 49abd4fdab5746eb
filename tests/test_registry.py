"""Registries: built-in, registered and declared members, and what their errors say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dgmm.errors import DataError, UnavailableError
from dgmm.registry import Registry


def install(folder: Path, package: str, entry_points: str, source: str) -> None:
    """A distribution with entry points of the group `dgmm.shapes`, and one module."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[dgmm.shapes]\n{entry_points}\n")
    (folder / f"{package}.py").write_text(source)


@pytest.fixture
def shapes() -> Registry[int]:
    return Registry("data.shape", "dgmm.shapes", {"round": 1, "square": 2})


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_registered_member_is_found_by_name(shapes: Registry[int]) -> None:
    shapes["star"] = 3
    assert (shapes.named("star"), shapes.named("round")) == (3, 1)
    assert list(shapes) == ["round", "square", "star"]


@pytest.mark.parametrize("name", ["sphere", "", 3, None, ["round"]])
def test_an_unknown_name_is_a_data_error_that_lists_all(shapes: Registry[int], name: str) -> None:
    with pytest.raises(DataError, match=r"^data\.shape is .*; expected one of round, square$"):
        shapes.named(name)
    assert name not in shapes


def test_a_declared_member_is_loaded_only_when_asked_for(
    shapes: Registry[int], packages: Path
) -> None:
    install(packages, "stars", "star = stars:N", "N = 5\n")
    assert shapes.named("round") == 1
    assert shapes.names() == ("round", "square", "star")
    assert "stars" not in sys.modules
    assert shapes.named("star") == 5
    assert list(shapes) == ["round", "square", "star"]
    del sys.modules["stars"]


def test_no_declared_member_takes_the_place_of_one_built_in(
    shapes: Registry[int], packages: Path
) -> None:
    install(packages, "rounder", "round = rounder:N", "raise RuntimeError\n")
    assert shapes.named("round") == 1
    assert shapes.names() == ("round", "square")


def test_a_package_that_cannot_be_loaded_is_named(shapes: Registry[int], packages: Path) -> None:
    install(packages, "broken_stars", "star = broken_stars:N", "import no_such_library\n")
    with pytest.raises(UnavailableError) as raised:
        shapes.named("star")
    assert str(raised.value) == (
        "data.shape 'star' of broken_stars (entry point broken_stars:N of dgmm.shapes) cannot be "
        "loaded: ModuleNotFoundError: No module named 'no_such_library'. Install or repair that "
        "package"
    )


def test_a_name_that_two_packages_declare_is_refused(shapes: Registry[int], packages: Path) -> None:
    install(packages, "stars_a", "star = stars_a:N", "N = 1\n")
    install(packages, "stars_b", "star = stars_b:N", "N = 2\n")
    with pytest.raises(UnavailableError, match=r"declared by stars_. .* and by stars_. "):
        shapes.named("star")
