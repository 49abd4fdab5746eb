from __future__ import annotations

import copy
import json

import pytest

from dgmm.runtime import environment as environment_module
from dgmm.runtime.environment import (
    PACKAGES,
    VARIABLES,
    all_compile_alike,
    compare_environments,
    group_reports,
    process_environment,
)


def test_an_environment_is_plain_json_and_names_what_decides_bits() -> None:
    report = json.loads(json.dumps(process_environment()))
    assert {"python", "machine", *PACKAGES} <= set(report)
    assert all(report[package] for package in PACKAGES)
    assert report["blas"]


def test_only_variables_that_steer_blas_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("A_PASSWORD", "secret")
    report = process_environment()
    assert report["variables"]["OPENBLAS_CORETYPE"] == "Haswell"
    assert set(report["variables"]) <= set(VARIABLES)
    assert "secret" not in json.dumps(report)


def test_equal_environments_are_not_mixed() -> None:
    driver = process_environment()
    worker = copy.deepcopy(driver) | {"variables": {"OMP_NUM_THREADS": "1"}}
    assert compare_environments(driver, {"0": worker}) == (False, [])


def test_another_blas_kernel_is_named_with_its_workers() -> None:
    driver = process_environment()
    other = copy.deepcopy(driver)
    for library in other["blas"]:
        library["architecture"] = "Prescott"
    mixed, warnings = compare_environments(driver, {"0": driver, "1": other, "2": other})
    assert mixed
    (sentence,) = warnings
    assert sentence.startswith("BLAS differs: driver ")
    assert "workers 1, 2 " in sentence
    assert "Prescott" in sentence


@pytest.mark.parametrize("topic", ["numpy", "python", "machine", "zarr"])
def test_another_version_is_named(topic: str) -> None:
    driver = process_environment()
    mixed, warnings = compare_environments(driver, {"7": driver | {topic: "0.0"}})
    assert mixed
    assert "worker 7 0.0" in warnings[0]


def test_another_cpu_is_named() -> None:
    driver = process_environment()
    mixed, warnings = compare_environments(driver, {"7": driver | {"cpu_features": ["SSE2"]}})
    assert mixed
    assert "CPU features" in warnings[0]


def test_scipys_own_blas_does_not_count_because_nothing_is_computed_with_it() -> None:
    driver = process_environment()
    other = copy.deepcopy(driver)
    other["blas"].append({**driver["blas"][0], "package": "scipy", "version": "0.0"})
    assert compare_environments(driver, {"0": other})[0] is False


def test_many_workers_that_differ_are_counted_not_listed() -> None:
    driver = process_environment()
    others = {str(i): driver | {"numpy": "0.0"} for i in range(50)}
    (sentence,) = compare_environments(driver, others)[1]
    assert "workers 0, 1, 2 and 47 more 0.0" in sentence


def test_equal_reports_are_grouped() -> None:
    a, b = {"numpy": "1"}, {"numpy": "2"}
    groups = group_reports({"0": a, "1": b, "2": a})
    assert [(group["workers"], group["count"]) for group in groups] == [(["0", "2"], 2), (["1"], 1)]


@pytest.mark.parametrize(
    ("versions", "expected"),
    [([], True), (["1.0", "1.0"], True), (["1.0", "2.0"], False), ([None, "1.0"], False)],
)
def test_all_compile_alike_or_they_do_not(versions: list[str | None], expected: bool) -> None:
    driver = process_environment() | {"compiled": "1.0"}
    workers = {str(i): driver | {"compiled": version} for i, version in enumerate(versions)}
    environment = {"driver": driver, "workers": group_reports(workers)}
    assert all_compile_alike(environment) is expected


def test_nobody_compiles_alike_where_nobody_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_module, "cpu_features", lambda: ["AVX", "SSE42"])
    driver = process_environment()
    assert driver["compiled"] is None
    assert not all_compile_alike({"driver": driver, "workers": []})


def test_what_does_not_change_in_a_process_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = process_environment()

    def refuse(name: str) -> str:
        raise AssertionError(f"the metadata of {name} is read again")

    monkeypatch.setattr(environment_module.metadata, "version", refuse)
    again = process_environment()
    assert again == first
    again["cpu_features"].append("none")  # a report is the caller's own
    assert process_environment() == first
