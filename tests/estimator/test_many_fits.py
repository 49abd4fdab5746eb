"""Fits in a loop leave nothing behind: a service that fits small data runs for days."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Fits before the first look, and between it and the second.
WARM_UP, MEASURED = 10, 15
PROGRAM = """
import gc, json, os, tempfile, threading, tracemalloc
import numpy as np
from dgmm import GaussianMixture

X = np.random.default_rng(0).normal(size=(1000, 4)) + 6.0 * (np.arange(1000) % 2)[:, None]

def fits(n):
    for seed in range(n):
        mixture = GaussianMixture(2, random_state=seed).fit(X)
        mixture.predict(X), mixture.score(X)

def held():
    gc.collect()
    return {
        "objects": len(gc.get_objects()),
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
        "temporary": len(os.listdir(tempfile.gettempdir())),
    }

fits(WARM_UP)
before = held()
fits(MEASURED)
after = held()
tracemalloc.start()
fits(2)
gc.collect()
begun = tracemalloc.get_traced_memory()[0]
fits(5)
gc.collect()
print(json.dumps([before, after, (tracemalloc.get_traced_memory()[0] - begun) / 5]))
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
    before, after, bytes_of_a_fit = json.loads(done.stdout)
    for counted in ("threads", "files", "temporary"):
        assert after[counted] == before[counted], counted
    # The second look finds the record of the first; no fit leaves as much as one object.
    assert after["objects"] - before["objects"] < MEASURED / 2
    # Arrays are no such objects: half a copy of the rows. (Python's caches of names take 1 kB.)
    assert bytes_of_a_fit < 1000 * 4 * 8 / 2
