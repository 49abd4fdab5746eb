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
from unittest.mock import patch

import numpy as np
import zarr
from threadpoolctl import threadpool_limits

from benchmarks.measuring import alternate, ratio_of_pairs, seconds
from benchmarks.mixtures import clustered_rows
from benchmarks.results import Results
from dgmm import GaussianMixture
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.restarts import AUTO_STARTS

N_ROWS, N_FEATURES, N_COMPONENTS = 1000, 4, 4
#: Milliseconds of predict; a job's seconds; MiB from the 50th fit to the last.
PREDICT_GOAL, RUN_GOAL, GROWTH_GOAL = 1.5, 1.6, 1.0
#: Iterations from the same start: none of them is a search.
N_ITERATIONS = 30
#: Scikit-learn's that are tried to get as far as a default fit, nats per row below it at most.
_TOLERANCES, _LESS_LIKELY = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7), 1e-3
_SEEDS = range(5)
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
    """Calls of a process that has made some before, BLAS and OpenMP with one thread.

    Scikit-learn's k-means starts a thread for each CPU, which waits for work by spinning: on two
    CPUs with other work that made 230 ms of CPU time of 11.
    """
    _peer()  # its libraries are loaded now, and limited
    with threadpool_limits(1):
        _predict(rows, budget / 2, results)
        _fits(rows, budget / 2, results)
        _as_likely(rows, budget / 2, results)


def _predict(rows: Any, budget: float, results: Results) -> None:
    """One call of a fitted mixture."""
    mine, peer = _alternately(_ours().fit(rows).predict, _peer().fit(rows).predict, rows, budget)
    detail = {"ours_s": mine, "scikit_learn_s": peer}
    results.measured(
        PART, "predict", 1e3 * median(mine), "ms of CPU time",
        goal=PREDICT_GOAL, at_least=False, detail=detail,
    )  # fmt: skip
    what = "predict: CPU time over scikit-learn's"
    results.measured(PART, what, ratio_of_pairs(mine, peer), "×", detail=detail)


def _fits(rows: Any, budget: float, results: Results) -> None:
    """Fits as users get them, with as much of a search on each side, and without any."""
    k = N_COMPONENTS
    begin = {  # all of it: a part would be completed from starts that are searched for
        "weights_init": np.full(k, 1 / k),
        "means_init": rows[:k],
        "precisions_init": np.stack([np.linalg.inv(np.cov(rows.T))] * k),
        "max_iter": N_ITERATIONS,
        "tol": 0.0,
    }
    n = AUTO_STARTS
    sides = {
        "fit": (_ours(), _peer(), 1.0),
        f"fit, {n} starts on both sides": (_ours(), _peer(n_init=n), None),
        f"fit, one start, {N_ITERATIONS} plain iterations on both sides": (
            _ours(**begin, acceleration="none"),
            _peer(**begin, init_params="random_from_data"),
            None,
        ),
    }
    for name, (ours, theirs, goal) in sides.items():
        mine, peer = _alternately(ours.fit, theirs.fit, rows, budget / len(sides))
        steps = _steps_of(ours, rows)
        note = (
            f"{1e3 * median(mine):.1f} and {1e3 * median(peer):.1f} ms; {steps} M-steps in all, of "
            f"scikit-learn's likeliest start {theirs.n_iter_}; mean log-likelihoods "
            f"{ours.score(rows):.4f} and {theirs.score(rows):.4f}"
        )
        results.measured(
            PART, f"{name}: CPU time over scikit-learn's", ratio_of_pairs(mine, peer), "×",
            goal=goal, at_least=False, note=note, detail={"ours_s": mine, "scikit_learn_s": peer},
        )  # fmt: skip


def _as_likely(rows: Any, budget: float, results: Results) -> None:
    """Default fits against scikit-learn's with the loosest tolerance that gets as far.

    Its default ends at the first small step, and dgmm's search goes on: with the same starts and
    defaults they are not fits of the same quality.
    """
    mine = _ours()
    found = _mean_score(mine, rows)
    for tol in _TOLERANCES:
        theirs = _peer(tol=tol, max_iter=10_000)
        reached = _mean_score(theirs, rows)
        if reached >= found - _LESS_LIKELY:
            break
    sides = [partial(_seeds, side, rows) for side in (mine, theirs)]
    ours, peer = alternate(
        [partial(_cpu, side, 1) for side in sides], budget=budget, least=3, most=20
    )
    n = len(_SEEDS)
    note = (
        f"{1e3 * median(ours) / n:.1f} and {1e3 * median(peer) / n:.1f} ms, tol = {tol:g} there; "
        f"mean log-likelihoods {found:.4f} and {reached:.4f}, means of {n} seeds"
    )
    results.measured(
        PART, "fit, scikit-learn's to the same likelihood: CPU time over its",
        ratio_of_pairs(ours, peer), "×", note=note, detail={"ours_s": ours, "scikit_learn_s": peer},
    )  # fmt: skip


def _mean_score(mixture: Any, rows: Any) -> float:
    """Mean log-likelihood of fits from all seeds."""
    fits = (mixture.set_params(random_state=seed).fit(rows) for seed in _SEEDS)
    return float(np.mean([fit.score(rows) for fit in fits]))


def _seeds(mixture: Any, rows: Any) -> None:
    for seed in _SEEDS:
        mixture.set_params(random_state=seed).fit(rows)


def _ours(**more: Any) -> GaussianMixture:
    return GaussianMixture(N_COMPONENTS, random_state=0, n_threads=1, **more)


def _peer(**more: Any) -> Any:
    from sklearn.mixture import GaussianMixture as Peer  # noqa: PLC0415 - a peer

    return Peer(N_COMPONENTS, random_state=0, **more)


def _alternately(
    ours: Callable[[Any], object], theirs: Callable[[Any], object], rows: Any, budget: float
) -> list[list[float]]:
    """Each side's CPU times, one median a round."""
    for side in (ours, theirs):
        side(rows)
    sides = [partial(_cpu, partial(side, rows)) for side in (ours, theirs)]
    return alternate(sides, budget=budget, least=5, most=60)


def _steps_of(mixture: GaussianMixture, rows: Any) -> int:
    """M-steps of a fit, those on the sample among them."""
    steps, run = [], em.run

    def counted(*arguments: Any, **more: Any) -> tuple[FitCandidate, ...]:
        ended = run(*arguments, **more)
        steps.extend(c.n_iter for c in ended)
        return ended

    with patch.object(em, "run", counted):
        mixture.fit(rows)
    return sum(steps)


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
