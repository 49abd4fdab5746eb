"""Clocks, pairs and machines: how the benchmarks measure.

Two sides are run alternately in one go (A B A B …), because a machine that many share is a third
slower one minute and not the next; the ratio of a pair outlives that, a time does not. Each side
has two threads, on the same two cores.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from dgmm.runtime.environment import process_environment

PROJECT = Path(__file__).resolve().parent.parent
N_THREADS = 2
#: Variables that force a BLAS kernel or its blocking; no side keeps them.
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

#: Share of the processors' time that others may have in a round, and how many budgets are spent on
#: rounds without them.
_UNDISTURBED, _MOST_BUDGETS = 0.05, 4.0

#: Runs once or more and returns the seconds of each time.
Side = Callable[[], list[float]]


def hold_to_two_cores() -> None:
    """Keep this process, and those it starts, on two of the cores that it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:N_THREADS])


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def times_within(once: float, at_least: float = 0.1, most: int = 10) -> int:
    """How often to run what takes `once` seconds, so that together it takes `at_least`."""
    return int(min(max(at_least / max(once, 1e-9), 1), most))


def alternate(
    sides: Sequence[Side], *, budget: float, least: int = 3, most: int = 15
) -> list[list[float]]:
    """Run the sides one after another, again and again, and return each side's median per round.

    Parameters
    ----------
    sides
        Each runs what it has to run and returns its seconds; all have been warmed up.
    budget
        Seconds after which no round is begun, once there are `least` of them.
    least, most
        Rounds.
    """
    medians: list[list[float]] = [[] for _ in sides]
    begun = time.perf_counter()
    while len(medians[0]) < most:
        if len(medians[0]) >= least and time.perf_counter() - begun > budget:
            break
        for values, side in zip(medians, sides, strict=True):
            values.append(median(side()))
    return medians


def alternate_undisturbed(
    sides: Sequence[Side], *, budget: float, least: int = 3, most: int = 9
) -> tuple[list[list[float]], float]:
    """As `alternate`, but rounds that others disturb are repeated while there is time.

    Returns
    -------
    Each side's median per round, and the largest share of the processors' time that others had in
    one of these rounds. Where too few were undisturbed, they are those that were disturbed least.
    """
    rounds: list[tuple[float, list[float]]] = []
    begun, undisturbed = time.perf_counter(), 0
    while undisturbed < most and (undisturbed < least or time.perf_counter() - begun <= budget):
        if time.perf_counter() - begun > _MOST_BUDGETS * budget and len(rounds) >= least:
            break
        clock = OthersClock()
        medians = [median(side()) for side in sides]
        rounds.append((clock.share(), medians))
        undisturbed += rounds[-1][0] <= _UNDISTURBED
    rounds.sort(key=lambda found: found[0])
    kept = rounds[: max(undisturbed, least)]
    return [list(side) for side in zip(*(times for _, times in kept), strict=True)], kept[-1][0]


class OthersClock:
    """How much of the processors' time other processes take from now on; those started here too."""

    def __init__(self) -> None:
        self._wall, self._busy, self._own = time.perf_counter(), _busy_s(), _own_s()

    def share(self) -> float:
        """Of all processors that this process may use; 0 where the system does not tell."""
        n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else N_THREADS
        others = (_busy_s() - self._busy) - (_own_s() - self._own)
        return max(others, 0.0) / (n * (time.perf_counter() - self._wall))


def _busy_s() -> float:
    """Seconds that the processors of this process have worked, or were taken by the host."""
    try:
        lines = Path("/proc/stat").read_text("ascii").splitlines()
    except OSError:
        return 0.0
    ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    busy = 0
    for words in map(str.split, lines):
        if words and words[0] in ours:
            user, nice, system, _, _, irq, soft, steal = map(int, words[1:9])
            busy += user + nice + system + irq + soft + steal
    return busy / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """Seconds of this process, and of those it has started and that still run."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def ratio_of_pairs(slow: Sequence[float], fast: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return median(a / b for a, b in zip(slow, fast, strict=True))


def machine() -> dict[str, Any]:
    """Where and with what is measured; plain values that JSON takes."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "memory_GiB": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "dgmm": process_environment(),
        "peers": {},
    }


def machine_in_words(about: dict[str, Any]) -> str:
    """The machine in one line, for a page."""
    ours = about["dgmm"]
    kernels = sorted({blas_kernels(ours["blas"])} - {""})
    return (
        f"{about['cores']} cores of {about['processor']}, {about['memory_GiB']} GiB, "
        f"{about['system']}; Python {ours['python']}, NumPy {ours['numpy']}"
        f"{', ' if kernels else ''}{', '.join(kernels)}, Numba {ours.get('numba', 'absent')}"
    )


def blas_kernels(report: Sequence[dict[str, Any]]) -> str:
    """The kernels of a BLAS report, NumPy's own only: `OpenBLAS SkylakeX`."""
    names = [
        f"{library['internal_api']} {library.get('architecture') or '(kernel not told)'}"
        for library in report
        if library.get("package", "numpy") == "numpy"
    ]
    return ", ".join(sorted(set(names)))


def processor() -> str:
    """What this machine computes with, as it calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    told = {name.strip(): value.strip() for name, value in fields.items()}
    name = told.get("model name", "unknown processor")
    return f"{name} (family {told.get('cpu family', '?')}, model {told.get('model', '?')})"


def _memory_gib() -> int:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    except (ValueError, OSError):
        return 0


def _commit() -> str:
    """The commit that is measured; `+` where tracked files differ from it."""
    try:
        commit = _git("rev-parse", "--short=10", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "dgmm", "benchmarks")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    lines = [line for line in changed.splitlines() if "benchmarks/results" not in line]
    return commit + ("+" if lines else "")


def _git(*words: str) -> str:
    command = ["git", *words]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
