"""Registries: built-in, registered and declared members, and what their errors say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from dgmm.data.formats import FORMATS
from dgmm.errors import DataError, UnavailableError
from dgmm.execution.open_cluster import CLUSTERS
from dgmm.fitting.initialisation import INITIALISERS
from dgmm.mixture.covariance import FAMILIES
from dgmm.registry import Registry
from dgmm.scoring.output_registry import ROW_OUTPUTS


def install(
    folder: Path, package: str, entry_points: str, source: str, *, group: str = "dgmm.shapes"
) -> None:
    """A distribution with entry points of a group, and one module."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry_points}\n")
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


class Named:
    """A member that has a name of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    #: Of the class, so that the registry knows of it.
    name = ""


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        (3, "expected a Named, found a int"),
        (Named, "expected a Named, found a type"),
        (Named("stern"), "its own name is 'stern': both have to be the same"),
    ],
)
def test_no_member_of_another_kind_or_name_is_registered(member: Any, fault: str) -> None:
    named: Registry[Named] = Registry("data.shape", "dgmm.shapes", {}, Named)
    with pytest.raises(ValueError, match=rf"^data\.shape 'star' cannot be registered: {fault}"):
        named["star"] = member
    named["star"] = Named("star")
    assert named.names() == ("star",)


@pytest.mark.parametrize("registry", [FORMATS, FAMILIES, INITIALISERS, CLUSTERS, ROW_OUTPUTS])
def test_a_package_that_declares_something_else_is_named(
    registry: Registry[Any], packages: Path
) -> None:
    install(packages, "odd", "odd = odd:N", "N = 5\n", group=registry.group)
    with pytest.raises(UnavailableError, match=r" 'odd' of odd .* cannot be loaded: expected a "):
        registry.named("odd")
    assert "odd" not in list(registry)
    del sys.modules["odd"]


def test_a_name_that_two_packages_declare_is_refused(shapes: Registry[int], packages: Path) -> None:
    install(packages, "stars_a", "star = stars_a:N", "N = 1\n")
    install(packages, "stars_b", "star = stars_b:N", "N = 2\n")
    with pytest.raises(UnavailableError, match=r"declared by stars_. .* and by stars_. "):
        shapes.named("star")
