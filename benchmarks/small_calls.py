"""Small data: a call of predict and of fit, a job of 1,000 rows, the first fit ever, 1,000 fits.

Calls are timed by the CPU time of this process, on one thread: what others do beside them counts
less. Processes are timed by the clock, alternately where there are two sides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import zarr

from benchmarks.measuring import alternate, ratio_of_pairs, seconds
from benchmarks.mixtures import clustered_rows
from benchmarks.results import Results
from dgmm import GaussianMixture

N_ROWS, N_FEATURES, N_COMPONENTS = 1000, 4, 4
#: Milliseconds of predict; a job's seconds; MiB from the 50th fit to the last.
PREDICT_GOAL, RUN_GOAL, GROWTH_GOAL = 1.5, 1.6, 1.0
PART = f"{N_ROWS:,} × {N_FEATURES}, k = {N_COMPONENTS}"
_BUDGET_S = 30.0

JOB = """\
data: {{path: rows.zarr}}
model: {{n_components: {k}}}
cluster: {{kind: threads}}
output: {{path: run}}
"""
PEER = """
import numpy as np
from sklearn.mixture import GaussianMixture
rows = np.load("rows.npy")
mixture = GaussianMixture({k}, random_state=0).fit(rows)
np.save("labels.npy", mixture.predict(rows))
"""
LOOP = """
import gc, json, os, sys, tempfile, threading
from pathlib import Path
import numpy as np
from dgmm import GaussianMixture
rows, seen = np.load("rows.npy"), []
for i in range(int(sys.argv[1])):
    GaussianMixture({k}, random_state=i).fit(rows).predict(rows)
    if i + 1 in (int(sys.argv[1]) // 20, int(sys.argv[1])):
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files, temporary = os.listdir("/proc/self/fd"), os.listdir(tempfile.gettempdir())
        counts = [threading.active_count(), len(files), len(temporary)]
        seen.append([pages * os.sysconf("SC_PAGESIZE") / 2**20, counts])
print(json.dumps(seen))
"""
FIRST = """
import time
import numpy as np
from dgmm import GaussianMixture
rows = np.load("rows.npy")
begun = time.perf_counter()
GaussianMixture({k}, random_state=0, backend="numba").fit(rows)
print(time.perf_counter() - begun)
"""


def run(results: Results) -> None:
    """Every figure."""
    warnings.simplefilter("ignore")  # of fits that do not converge: the peer's, too
    rows = clustered_rows(N_ROWS, N_FEATURES, N_COMPONENTS)[0].astype(np.float64)
    budget = 0.0 if results.is_trial else _BUDGET_S
    _calls(rows, budget, results)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "rows.npy", rows)
        zarr.create_array(store=str(Path(folder) / "rows.zarr"), data=rows)
        (Path(folder) / "job.yaml").write_text(JOB.format(k=N_COMPONENTS))
        _job(Path(folder), budget, results)
        _first_fit(Path(folder), results)
        _loop(Path(folder), 40 if results.is_trial else 1000, results)


def _calls(rows: Any, budget: float, results: Results) -> None:
    """Calls of a process that has made some before."""
    from sklearn.mixture import GaussianMixture as Peer  # noqa: PLC0415 - a peer

    ours = GaussianMixture(N_COMPONENTS, random_state=0, n_threads=1)
    theirs = Peer(N_COMPONENTS, random_state=0)
    ours.fit(rows)
    theirs.fit(rows)
    for name, goal in (("predict", None), ("fit", 1.0)):
        sides = [partial(_cpu, partial(getattr(m, name), rows)) for m in (ours, theirs)]
        mine, peer = alternate(sides, budget=budget / 2, least=5, most=60)
        detail = {"ours_s": mine, "scikit_learn_s": peer}
        if name == "predict":
            results.measured(
                PART, "predict", 1e3 * median(mine), "ms of CPU time",
                goal=PREDICT_GOAL, at_least=False, detail=detail,
            )  # fmt: skip
        results.measured(
            PART, f"{name}: CPU time over scikit-learn's", ratio_of_pairs(mine, peer), "×",
            goal=goal, at_least=False, detail=detail,
        )  # fmt: skip


def _cpu(action: Callable[[], object], times: int = 5) -> list[float]:
    """Seconds of CPU time of an action, several times."""
    found = []
    for _ in range(times):
        begun = time.process_time()
        action()
        found.append(time.process_time() - begun)
    return found


def _job(folder: Path, budget: float, results: Results) -> None:
    """`dgmm run` with report against a script that fits and saves labels."""
    runs = count()

    def ours() -> None:
        own = f"output.path=run-{next(runs)}"
        _process(["-m", "dgmm", "run", "--quiet", "job.yaml", "--set", own], folder)

    theirs = partial(_process, ["-c", PEER.format(k=N_COMPONENTS)], folder)
    ours()
    theirs()
    sides = [lambda: [seconds(ours)], lambda: [seconds(theirs)]]
    mine, peer = alternate(sides, budget=budget, least=3)
    detail = {"ours_s": mine, "scikit_learn_s": peer}
    results.measured(
        PART, "dgmm run with report", median(mine), "s",
        goal=RUN_GOAL, at_least=False, detail=detail,
    )  # fmt: skip
    ratio = ratio_of_pairs(mine, peer)
    results.measured(PART, "the same over scikit-learn's script", ratio, "×", detail=detail)


def _first_fit(folder: Path, results: Results) -> None:
    """A fit that compiles all it needs; nothing of this size does so by itself."""
    with tempfile.TemporaryDirectory() as cache:
        # Code is found in every place: beside the package there is some.
        environment = {"NUMBA_CACHE_DIR": cache, "NUMBA_CACHE_LOCATOR_CLASSES": _ONE_PLACE}
        printed = _process(["-c", FIRST.format(k=N_COMPONENTS)], folder, environment)
    what = "first fit of compute.backend numba, nothing compiled before"
    results.measured(PART, what, float(printed), "s")


#: Numba's name for NUMBA_CACHE_DIR alone.
_ONE_PLACE = "UserProvidedCacheLocator"


def _loop(folder: Path, n_fits: int, results: Results) -> None:
    """Fits one after another in a process of their own."""
    temporary = folder / "temporary"
    temporary.mkdir()
    call = ["-c", LOOP.format(k=N_COMPONENTS), str(n_fits)]
    printed = _process(call, folder, {"TMPDIR": str(temporary)})
    (before, held_before), (after, held) = json.loads(printed)
    same = "the same" if held == held_before else f"{held_before} and {held}"
    results.measured(
        PART, f"{n_fits:,} fits: resident memory since fit {n_fits // 20}", after - before, "MiB",
        goal=GROWTH_GOAL, at_least=False, note=f"threads, open and temporary files: {same}",
    )  # fmt: skip


def _process(arguments: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """What a Python process prints."""
    call = [sys.executable, "-W", "ignore", *arguments]
    own = os.environ | (environment or {})
    done = subprocess.run(call, cwd=folder, env=own, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout
