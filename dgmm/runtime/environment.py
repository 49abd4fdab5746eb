"""What decides the bits of a process, and whether driver and workers agree on it."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Any

from dgmm.runtime.blas_threads import blas_report
from dgmm.terminal_text import listed
from dgmm.version import __version__

#: Distributions whose versions decide bits or the way tasks travel.
PACKAGES = ("dgmm", "numpy", "numba", "scipy", "zarr", "dask", "distributed")
#: Those of them that compute: other versions may give other bits.
DECIDING = ("dgmm", "numpy", "scipy", "numba")
#: Variables that steer BLAS; recorded, never set.
VARIABLES = (
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS"),
    *("NPY_DISABLE_CPU_FEATURES", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_DISABLE_JIT"),
)

Environment = dict[str, Any]


def process_environment() -> Environment:
    """What this process computes with; plain values that JSON takes.

    Returns
    -------
    dict
        `python`, `machine`, one version per package of `PACKAGES` (None where absent), `compiled`
        (what compiled passes would be computed with; None where they cannot be), `blas` (see
        `blas_report`), `cpu_features` (sorted names NumPy found) and `variables` (those set of
        `VARIABLES`).
    """
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{package: _version(package) for package in PACKAGES},
        "compiled": _compiled(),
        "blas": blas_report(),
        "cpu_features": cpu_features(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _compiled() -> str | None:
    """Numba with its version, on processors with fused multiplication, found without loading it."""
    version, features = _version("numba"), cpu_features()
    is_old_x86 = any(name.startswith("SSE") for name in features) and "FMA3" not in features
    return None if version is None or is_old_x86 else f"Numba {version}"


def _version(package: str) -> str | None:
    if package == "dgmm":  # metadata is absent where the package lies on PYTHONPATH
        return __version__
    return _installed_version(package)


@cache  # reading a package's metadata takes 2 ms, and every call of an estimator asks
def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_features() -> list[str]:
    """Names of the CPU features NumPy dispatches on, sorted; empty where it reports none."""
    return list(_cpu_features())


@cache  # a processor does not change
def _cpu_features() -> tuple[str, ...]:
    try:
        umath = importlib.import_module("numpy._core._multiarray_umath")  # private: may go away
        features: dict[str, bool] = umath.__cpu_features__
    except (ImportError, AttributeError):
        return ()
    return tuple(sorted(name for name, is_present in features.items() if is_present))


def compare_environments(
    driver: Environment, workers: Mapping[str, Environment]
) -> tuple[bool, list[str]]:
    """Whether any worker differs from the driver in what decides bits, and how.

    Parameters
    ----------
    driver : dict
        The driver's `process_environment`.
    workers : mapping of str to dict
        Each worker's, by the name to call it by.

    Returns
    -------
    mixed : bool
        True where at least one worker differs: results then agree closely, not bit by bit.
    warnings : list of str
        One sentence for each thing that differs, naming the workers.
    """
    expected = _what_decides_bits(driver)
    differing: dict[tuple[str, str], list[str]] = {}
    for name, report in workers.items():
        for topic, found in _what_decides_bits(report).items():
            if found != expected[topic]:
                differing.setdefault((topic, found), []).append(name)
    sentences = [
        f"{topic} differs: driver {expected[topic]}, {_name_some(names)} {found}; "
        "results agree closely but not bit by bit."
        for (topic, found), names in differing.items()
    ]
    return bool(sentences), sentences


def environment_difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In what two reports differ that decides bits, in words; empty where bits are the same.

    Compared are dgmm and the libraries that compute, the machine, the kernels of NumPy's BLAS, the
    CPU features that NumPy uses, and the processor that Numba is set to compile for.
    """
    old, new = _topics(then), _topics(now)
    parts = [
        f"{topic} is {old[topic]!r} there, {new[topic]!r} here"
        for topic in old
        if old[topic] != new[topic]
    ]
    there, here = set(then.get("cpu_features") or ()), set(now.get("cpu_features") or ())
    if there - here:
        parts.append(f"the CPU features {', '.join(sorted(there - here))} are there, not here")
    if here - there:
        parts.append(f"the CPU features {', '.join(sorted(here - there))} are here, not there")
    return "; ".join(parts)


def _topics(report: Mapping[str, Any]) -> dict[str, Any]:
    """What else decides bits on resume, by name."""
    blas, variables = report.get("blas") or [], report.get("variables") or {}
    kernels = {
        f"{library.get('internal_api')} {library.get('version')} {library.get('architecture')}"
        for library in blas
        if library.get("package") == "numpy"
    }
    return {
        **{package: report.get(package) for package in DECIDING},
        "machine": report.get("machine"),
        "BLAS": " + ".join(sorted(kernels)) or None,
        **{name: variables.get(name) for name in VARIABLES if name.startswith("NUMBA")},
    }


def all_compile_alike(environment: Mapping[str, Any]) -> bool:
    """Whether driver and workers would all compute compiled passes with the same.

    Parameters
    ----------
    environment : mapping
        An executor's `environment()`.
    """
    reports = (environment["driver"], *(group["environment"] for group in environment["workers"]))
    found = {report["compiled"] for report in reports}
    return len(found) == 1 and None not in found


def _what_decides_bits(report: Environment) -> dict[str, str]:
    """Topic to value in words; SciPy's own BLAS is left out: nothing is computed with it."""
    blas = [
        f"{library['internal_api']} {library['version']} {library['architecture']}"
        for library in report["blas"]
        if library["package"] != "scipy"
    ]
    return {
        "Python": report["python"],
        "machine": report["machine"],
        **{package: str(report[package]) for package in PACKAGES},
        "BLAS": " + ".join(sorted(set(blas))) or "unknown",
        "CPU features": " ".join(report["cpu_features"]) or "unknown",
    }


def _name_some(names: Sequence[str], limit: int = 3) -> str:
    return ("worker " if len(names) == 1 else "workers ") + listed(names, limit)


def group_reports(reports: Mapping[str, Environment]) -> list[dict[str, Any]]:
    """Identical reports once each: their `environment`, `count` and `workers` (names)."""
    groups: list[dict[str, Any]] = []
    for name, report in reports.items():
        for group in groups:
            if group["environment"] == report:
                group["count"] += 1
                group["workers"].append(name)
                break
        else:
            groups.append({"workers": [name], "count": 1, "environment": report})
    return groups
