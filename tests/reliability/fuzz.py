"""Throw random job files and arrays at dgmm: `python tests/reliability/fuzz.py --jobs 20000`.

Prints how often each command ended with each exit code. Of every kind of undocumented outcome the
shortest example is written to a folder, and the script returns 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from random_arrays import array_cases
from random_jobs import job_files
from sandbox import Sandbox, Tried, try_array

#: Hypothesis remembers what it drew; in batches that memory stays small.
_BATCH = 500


class Findings:
    """Counts of outcomes, and the shortest example of each kind of undocumented one."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        self.examples: dict[str, tuple[str, Tried]] = {}
        self.n_undocumented = 0

    def add(self, example: Any, tried: Tried) -> None:
        """Take in one outcome."""
        self.counts[tried.attempt.command[0], tried.attempt.exit_code] += 1
        if not tried.faults:
            return
        self.n_undocumented += 1
        kind, text = _kind(tried), repr(example)
        if kind not in self.examples or len(text) < len(self.examples[kind][0]):
            self.examples[kind] = text, tried

    def table(self, title: str) -> str:
        """Commands down, exit codes across."""
        codes = sorted({code for _, code in self.counts})
        commands = sorted({command for command, _ in self.counts})
        lines = [f"{title:<10}" + "".join(f"{code:>9}" for code in codes)]
        lines += [
            f"{command:<10}" + "".join(f"{self.counts[command, code]:>9,}" for code in codes)
            for command in commands
        ]
        return "\n".join(lines)

    def write(self, folder: Path, title: str) -> None:
        """One file for each kind."""
        for number, (text, tried) in enumerate(self.examples.values()):
            a = tried.attempt
            folder.mkdir(parents=True, exist_ok=True)
            parts = [text, " ".join(a.command), f"exit code {a.exit_code}", *tried.faults, a.stderr]
            content = "\n\n".join([*parts, tried.trace]).encode("utf-8", "backslashreplace")
            (folder / f"{title}-{number}.txt").write_bytes(content)


def _kind(tried: Tried) -> str:
    """What two failures of one cause have in common."""
    said = tried.attempt.stderr.strip().splitlines()[-1:] if tried.attempt.exit_code == 70 else []
    return re.sub(r"\d+|/tmp\S+", "…", " ".join([*tried.faults, *said]))[:120]


def drawn(
    strategy: st.SearchStrategy[Any], n: int, first_seed: int, body: Callable[[Any], None]
) -> None:
    """Call `body` on n examples."""
    for batch, start in enumerate(range(0, n, _BATCH)):
        size = min(_BATCH, n - start)
        decorate = settings(
            max_examples=size,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        seed(first_seed * 1_000_003 + batch)(decorate(given(strategy)(body)))()


def fuzz(
    title: str,
    strategy: st.SearchStrategy[Any],
    trials: Callable[[Any], Iterator[Tried]],
    arguments: argparse.Namespace,
    n: int,
) -> bool:
    """Try n examples; whether every outcome was a documented one."""
    findings, begun = Findings(), time.perf_counter()
    total = Counter[str]()

    def body(example: Any) -> None:
        total["examples"] += 1
        for tried in trials(example):
            findings.add(example, tried)
            if tried.faults:
                findings.write(arguments.out, title)

    drawn(strategy, n, arguments.seed, body)
    seconds = time.perf_counter() - begun
    print(findings.table(title))  # noqa: T201 - what the script is for
    print(  # noqa: T201 - the same
        f"{total['examples']:,} {title} in {seconds:.0f} s, seed {arguments.seed}: "
        f"{findings.n_undocumented} undocumented outcomes of {len(findings.examples)} kinds\n",
        flush=True,
    )
    return not findings.examples


def main() -> int:
    """Draw, try, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000, help="job files")
    parser.add_argument("--arrays", type=int, default=2_000, help="arrays, each with a job")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="for examples")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "jobs").mkdir()
        sandbox = Sandbox(folder / "jobs")
        fine = [
            fuzz("jobs", job_files(), sandbox.try_job, arguments, arguments.jobs),
            fuzz(
                "arrays",
                array_cases(),
                lambda case: try_array(case, folder / "arrays"),
                arguments,
                arguments.arrays,
            ),
        ]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
