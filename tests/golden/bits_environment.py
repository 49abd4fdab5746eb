"""What the bits of a job's results follow besides code, data and job; as a script, its JSON.

A process of its own says it: other tests have loaded SciPy's BLAS, with which nothing is computed.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Any

_VARIABLES = ("OPENBLAS_L2_SIZE", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_DISABLE_JIT")


@cache
def environment() -> dict[str, Any]:
    """Of a job that is started from here."""
    told = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, timeout=60, check=True
    )
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def differences(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Which keys differ, and how."""
    return [
        f"{key}: recorded {recorded.get(key)}, here {here.get(key)}"
        for key in sorted({*recorded, *here})
        if recorded.get(key) != here.get(key)
    ]


def least_different(recorded: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """The place of the recorded environment closest to this one, and in what they differ."""
    found = [differences(each, environment()) for each in recorded]
    place = min(range(len(found)), key=lambda i: len(found[i]))
    return place, found[place]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _measured() -> dict[str, Any]:
    umath = importlib.import_module("numpy._core._multiarray_umath")
    libraries = importlib.import_module("threadpoolctl").threadpool_info()
    blas = [f"{b['internal_api']} {b['version']} {b.get('architecture')}" for b in libraries]
    return {
        "python": platform.python_version().rpartition(".")[0],
        "machine": platform.machine(),
        "blas": sorted(blas),
        "cpu_features": sorted(name for name, has in umath.__cpu_features__.items() if has),
        **{package: _version(package) for package in ("numpy", "scipy", "numba", "llvmlite")},
        "zarr": (_version("zarr") or "").partition(".")[0],
        **{name: os.environ.get(name) for name in _VARIABLES},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measured()))
