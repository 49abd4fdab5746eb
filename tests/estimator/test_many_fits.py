"""Fits in a loop leave nothing behind: a service that fits small data runs for days."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Fits before the first look, and between it and the second.
WARM_UP, MEASURED = 20, 40
PROGRAM = """
import gc, json, os, tempfile, threading, tracemalloc
import numpy as np
from dgmm import GaussianMixture

X = np.random.default_rng(0).normal(size=(200, 2)) + 6.0 * (np.arange(200) % 2)[:, None]

def fits(seeds):
    for seed in seeds:
        mixture = GaussianMixture(2, random_state=seed).fit(X)
        mixture.predict(X), mixture.score(X)

def held():
    gc.collect()
    return {
        "bytes": tracemalloc.get_traced_memory()[0],
        "objects": len(gc.get_objects()),
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
        "temporary": len(os.listdir(tempfile.gettempdir())),
    }

fits(range(WARM_UP))
tracemalloc.start()
fits(range(2))
before = held()
fits(range(MEASURED))
print(json.dumps([before, held()]))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts files as Linux lists them")
def test_a_loop_of_fits_holds_no_more_after_each(tmp_path: Path) -> None:
    program = PROGRAM.replace("WARM_UP", str(WARM_UP)).replace("MEASURED", str(MEASURED))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    for counted in ("threads", "files", "temporary"):
        assert after[counted] == before[counted], counted
    # Less than one float for each fit, and not one object.
    assert after["bytes"] - before["bytes"] < 8 * MEASURED * 16
    assert after["objects"] - before["objects"] < MEASURED
