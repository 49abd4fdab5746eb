"""Passes of EM against those of an earlier commit of dgmm: what an exponential of its own gained.

Both trees run in processes of their own, with two threads on the same two cores, alternately. The
earlier one is taken from the repository: outside a checkout with its history there is none.
Beside the ratio of times stands that of processor times, which others' work changes less.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import goals
from benchmarks.goals import Shape
from benchmarks.measuring import PROJECT, alternate, ratio_of_pairs
from benchmarks.results import Results

#: The last commit whose compiled passes took exponentials from NumPy.
COMMIT = "67d7625d5c1673767a413a2ab9a0dd22399d626e"
_SECONDS_FOR_A_CASE, _ROUNDS = 12.0, 60
_TRIAL_ROWS = 2000


def run(results: Results) -> None:
    """Every case that has a goal."""
    with tempfile.TemporaryDirectory(prefix="dgmm-earlier-") as folder:
        try:
            _extract(COMMIT, Path(folder))
        except (OSError, subprocess.CalledProcessError) as error:
            results.remark(f"the earlier commit {COMMIT[:10]} cannot be had here: {error}")
            return
        with _side(Path(folder)) as earlier, _side(PROJECT) as ours:
            for case, goal in goals.PASS_AGAINST_EARLIER.items():
                _measure(results, case, goal, (earlier, ours))


def _measure(
    results: Results, case: tuple[str, str, Shape], goal: float, sides: tuple[Any, Any]
) -> None:
    family, dtype, shape = case
    n = min(shape.n, _TRIAL_ROWS) if results.is_trial else shape.n
    for side in sides:
        side([family, dtype, n, shape.d, shape.k])
    budget, most = (0.0, 1) if results.is_trial else (_SECONDS_FOR_A_CASE, _ROUNDS)
    used: tuple[list[float], list[float]] = ([], [])

    def turn(i: int) -> list[float]:
        found = sides[i]("step")
        used[i].append(found["processor"])
        return list(found["seconds"])

    turns = [lambda: turn(0), lambda: turn(1)]
    rounds = alternate(turns, budget=budget, least=1 if results.is_trial else 5, most=most)
    before, now = (1e3 * median(side) for side in rounds)
    processor = ratio_of_pairs(*used)
    results.measured(
        f"a pass against commit {COMMIT[:10]}",
        f"{family}, {dtype}, {shape}",
        ratio_of_pairs(*rounds),
        "×",
        goal=goal,
        note=f"{now:.1f} ms against {before:.1f} ms, {len(rounds[0])} rounds; "
        f"processor time {processor:.2f} ×",
        detail={"before_ms": before, "now_ms": now, "processor": processor},
    )


def _extract(commit: str, folder: Path) -> None:
    """Write a commit's package and benchmarks into a folder."""
    command = ["git", "archive", commit, "dgmm", "benchmarks"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


@contextmanager
def _side(tree: Path) -> Iterator[Any]:
    """A process with a tree's own package: a function from a request to its answer."""
    script = Path(__file__).resolve().parent / "earlier_side.py"
    process = subprocess.Popen(
        [sys.executable, str(script), str(tree)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    requests, answers = process.stdin, process.stdout
    if requests is None or answers is None:
        raise RuntimeError("a process without pipes")

    def ask(request: Any) -> Any:
        print(json.dumps(request), file=requests, flush=True)
        return json.loads(answers.readline())

    try:
        yield ask
    finally:
        requests.close()
        process.wait(30.0)
        answers.close()
